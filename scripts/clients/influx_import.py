"""`influx`, the command line client of InfluxDB 1.x: `-import` and `-execute`."""

import gzip as compression
import pathlib
import subprocess
import tempfile

from clients.weather import GOOD_PART, PARTLY_GOOD, TIME, expect, expect_in, expect_stored

NAME = "influx (command line)"
NOT_OFFERED = {}


def influx(node, *options):
    """What it prints, standard error included."""
    command = ["influx", "-host", "127.0.0.1", "-port", str(node.port), "-precision", "ns", *options]
    with tempfile.TemporaryDirectory(prefix="influx-") as home:
        # It keeps a history in its home.
        environment = {"PATH": "/usr/bin:/bin", "HOME": home}
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=60)
    return ran.stdout


def run(node, database, lines, *options, compressed=False):
    text = f'# DDL\nCREATE DATABASE "{database}"\n# DML\n# CONTEXT-DATABASE: {database}\n' + "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory(prefix="influx-") as folder:
        file = pathlib.Path(folder) / "points"
        file.write_bytes(compression.compress(text.encode()) if compressed else text.encode())
        return influx(node, "-import", "-path", file, *(["-compressed"] if compressed else []), *options)


def write_many(node, database, **options):
    # It sends 5 000 lines at once.
    points = [f"weather,place=p{number} degrees={number} {TIME}" for number in range(12_000)]
    said = run(node, database, points, **options)
    expect_in("it reports", said, "Processed 1 commands", "Processed 12000 inserts", "Failed 0 inserts")
    expect("it reports an error", "error" in said, False)
    expect_stored(node, database, [(TIME, f"p{number}", float(number)) for number in range(12_000)])


def success(node):
    write_many(node, "import")
    expect("CREATE DATABASE prints", influx(node, "-execute", 'CREATE DATABASE "import two"').strip(), "")
    expect_in("SHOW DATABASES prints", influx(node, "-execute", "SHOW DATABASES"), "\nimport two\n")
    insert = f"INSERT weather,place=a degrees=1 {TIME}"
    expect("INSERT prints", influx(node, "-database", "import two", "-execute", insert).strip(), "")
    expect_stored(node, "import%20two", [(TIME, "a", 1.0)])
    # The data is in files; a query says so and is not taken for an empty result.
    expect_in("SELECT prints", influx(node, "-database", "import two", "-execute", "SELECT * FROM weather"), "SELECT is not supported")


def gzip(node):
    """The file is compressed; its requests never are."""
    write_many(node, "import_gzip", compressed=True)


def partial_write(node):
    said = run(node, "import_partial", PARTLY_GOOD)
    expect_in("it reports", said, "partial write: ", "dropped=1", "ERROR: 3 points were not inserted")
    expect_stored(node, "import_partial", GOOD_PART)


def credentials(node):
    line = [f"weather,place=a degrees=1 {TIME}"]
    expect_in("without credentials it reports", run(node, "import_guarded", line), "no authorization token")
    said = run(node, "import_guarded", line, "-username", "any", "-password", "any")
    expect_in("with an unknown token it reports", said, "unauthorized")
    said = run(node, "import_guarded", line, "-username", "any", "-password", node.tokens["elsewhere"])
    expect_in("with a token for another bucket it reports", said, "ERROR: 1 point was not inserted")
    said = run(node, "import_guarded", line, "-username", "any", "-password", node.tokens["writer"])
    expect_in("with a token it reports", said, "Failed 0 inserts")
    expect_stored(node, "import_guarded", [(TIME, "a", 1.0)])


def quota(node):
    token = node.metered()
    said = run(node, "import_quota", node.over_quota(), "-username", "any", "-password", token)
    expect_in("within the quota it reports", said, "Failed 0 inserts")
    said = run(node, "import_quota", node.over_quota(), "-username", "any", "-password", token)
    expect_in("over its quota it reports", said, "quota", "ERROR: 8 points were not inserted")


def overload(node):
    line = [f"weather,place=a degrees=1 {TIME}"]
    said = run(node, "import_overload", line)
    expect_in("it reports", said, "nothing was written", "ERROR: 1 point was not inserted")
    node.wait_for_room()
    expect_in("with room it reports", run(node, "import_overload", line), "Failed 0 inserts")
    expect_stored(node, "import_overload", [(TIME, "a", 1.0)])
