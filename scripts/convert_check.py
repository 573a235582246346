"""Data out of InfluxDB 1.x into the lake with `ringest convert`, compared value by value: python scripts/convert_check.py BINARY

Lines are written to a real InfluxDB, exported as `influx_inspect export` does, and converted; the lake must hold what an independent reading
makes of the lines. Needs influxd of the Debian package influxdb. An influx_inspect in the PATH (scripts/influx-inspect builds one) makes the exports; without it
this script writes them in the same form from what the server answers to queries.
"""

import environment  # noqa: F401  first of all: the packages below live there

import collections
import decimal
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import lake
import lineproto
from influxdb1 import InfluxDB

LINES = 3_000
BATCH_LINES = 1_000
POLICIES = ("autogen", "one week")
# The first b of `merge`, in both odd policies: influx_inspect exports a value as often as InfluxDB's log has it, a query knows the last one.
OVERWRITTEN = 2
SUMMARY = re.compile(r"^([0-9 ]+) lines?, ([0-9 ]+) points?, ([0-9 ]+) refused, ", re.MULTILINE)

ODD = """types,host=a float=1.5,integer=-9223372036854775808i,boolean=t,string="x" 1767225600000000001
types,host=a float=-0,integer=9223372036854775807i,boolean=FALSE,string="" 1767225600000000002
types,host=b float=1e308,integer=0i,string="# CONTEXT-DATABASE:none" 1767225600000000999
types float=9007199254740993 1767225600000001000
types float=1000000 1767225600000001001
types float=0.00001234,integer=-1i 1767225600000001002
merge,t=1 a=1,b=1i 1767225600000000000
merge,t=1 b=2i,c="new" 1767225600000000000
order,b=2,a=1 f=1 1767225600000000000
order,a=1,b=2 g=1 1767225600000000000
we\\ ird\\,name,tag\\ key=va\\,l\\=ue,uni=é€🦀 field\\ key="quote \\" backslash \\\\ new
line, comma = 🦀
# DDL
# CONTEXT-DATABASE:none
",b="C:\\\\dir\\\\" 1767225600000000000
times f=1 -1
times f=2 0
times f=3 1767225599999999999
times f=4 1767225600000000000
times f=5 -9223372036854775806
times f=6 9223372036854775806
clash,a=1,host=x value=1,Host="field" 1767225600000000000
clash,b=2 value=2,day=1i,hour=2i 1767225600000000000
clash,day=mon,time_ns_rem=x value=3 1767225600000000000
clash,HOST=y VALUE=true 1767225600000000000
""".encode()


def given(binary):
    """{(database, policy): lines}."""
    lines = {("odd one", "autogen"): ODD, ("odd one", "one week"): ODD.replace(b"types", b"kinds")}
    for seed, kind in enumerate(("cpu", "devops", "iot"), 1):
        for policy in POLICIES[: 2 if kind == "cpu" else 1]:
            command = [binary, "generate", kind, "--hosts", "50", "--lines", str(LINES), "--seed", str(seed + len(policy))]
            lines[kind, policy] = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return lines


def fill(server, lines):
    for (database, policy), body in lines.items():
        server.create(database)
        if policy != "autogen":
            server.query(f'CREATE RETENTION POLICY "{policy}" ON "{database}" DURATION INF REPLICATION 1 SHARD DURATION 10000w')
        starts = [start for _, start, _, _ in lineproto.lines(body)]
        cuts = [*starts[::BATCH_LINES], len(body)]
        for begin, end in zip(cuts, cuts[1:]):
            path = "/write?" + urllib.parse.urlencode({"db": database, "rp": policy})
            status, answer = server.request("POST", path, body[begin:end])
            if status != 204:
                raise SystemExit(f"influxd answers {status} {answer.decode()} to lines of {database}")


def exported(server, database, policies):
    """The file that `influx_inspect export` makes of a database, written in its form."""
    identifiers = [f'CREATE DATABASE "{database}" WITH NAME "{policy}"' for policy in policies]
    yield "# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z"
    yield from ["# DDL", *identifiers, "# DML"]
    for policy in policies:
        yield from [f"# CONTEXT-DATABASE:{database}", f"# CONTEXT-RETENTION-POLICY:{policy}"]
        values = collections.defaultdict(list)
        for (measurement, tags, time), fields in server.rows(database, policy).items():
            key = ",".join([escaped(measurement, ", "), *(f"{escaped(name, ',= ')}={escaped(value, ',= ')}" for name, value in tags)])
            for field, (kind, value) in fields.items():
                values[key, escaped(field, ',= "')].append((time, shown(kind, value)))
        # Field by field, as values lie on the disk: those of a table's files first, then those of its log.
        for section, part in ("tsm", 0), ("wal", 1):
            yield f"# writing {section} data"
            for (key, field), points in sorted(values.items()):
                half = len(points) // 2
                yield from (f"{key} {field}={value} {time}" for time, value in (points[:half] if part == 0 else points[half:]))


def escaped(text, special):
    return re.sub("([" + re.escape(special) + "])", r"\\\1", text)


def shown(kind, value):
    if kind == "integer":
        return f"{value}i"
    if kind == "boolean":
        return str(value).lower()
    return go_float(value) if kind == "float" else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def go_float(value):
    """As strconv.AppendFloat(value, 'g', -1, 64) writes it."""
    sign, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    point = len(digits) + exponent - 1
    if value == 0 or -4 <= point < 6:
        return repr(value).removesuffix(".0")
    digits = "".join(map(str, digits))
    return f"{'-' * sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{'-' if point < 0 else '+'}{abs(point):02}"


def export(server, folder, databases):
    """Writes one file for each database; every second one is compressed. Returns the paths."""
    inspect = shutil.which("influx_inspect")
    paths = []
    for index, (database, policies) in enumerate(databases.items()):
        path = folder / f"{index}.lp{'.gz' if index % 2 else ''}"
        paths.append(path)
        if inspect:
            data = pathlib.Path(server.folder.name)
            command = [inspect, "export", "-datadir", data / "data", "-waldir", data / "wal", "-database", database, "-out", path]
            subprocess.run([*command, *(["-compress"] if index % 2 else [])], check=True, stdout=subprocess.DEVNULL)
        else:
            text = "".join(f"{line}\n" for line in exported(server, database, policies)).encode()
            path.write_bytes(gzip.compress(text) if index % 2 else text)
    return paths, "influx_inspect" if inspect else "queries"


def convert(binary, *arguments, stdin=None):
    """The summary's (lines, points, refused)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGEST_")}
    ran = subprocess.run([binary, "convert", *arguments], input=stdin, capture_output=True, env=environment, timeout=60)
    found = SUMMARY.search(ran.stdout.decode())
    if ran.returncode != 0 or not found:
        raise SystemExit(f"ringest convert ends with {ran.returncode}: {ran.stdout.decode()}{ran.stderr.decode()}")
    return tuple(int(number.replace(" ", "")) for number in found.groups())


def compare(output, lines):
    """Everything in the lake with the lines; returns the number of points and values that are equal."""
    tables = {(table.bucket, table.measurement): table for table in lake.tables(output / "lake")}
    points = values = 0
    for (database, policy), body in lines.items():
        bucket = database if policy == "autogen" else f"{database}/{policy}"
        merged = lineproto.Merged()
        merged.add(lineproto.Reader().parse(body)[0])
        points += merged.rows()
        for measurement, expected in merged.tables.items():
            types = {field: kind for (of, field), kind in merged.types.items() if of == measurement}
            table = tables.pop((bucket, measurement), None)
            if table is None:
                raise SystemExit(f"{bucket}: there is no table {measurement!r}")
            values += table.compare(expected, types)
    if tables:
        raise SystemExit(f"tables that nobody wrote: {sorted(tables)}")
    return points, values


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    binary = sys.argv[1]
    lines = given(binary)
    databases = collections.defaultdict(list)
    for database, policy in lines:
        databases[database].append(policy)
    with tempfile.TemporaryDirectory(prefix="ringest-convert-") as name:
        folder = pathlib.Path(name)
        (folder / "export").mkdir()
        with InfluxDB() as server:
            fill(server, lines)
            paths, by = export(server, folder / "export", databases)
        dry = convert(binary, folder / "export", "--dry-run")
        files = convert(binary, folder / "export", "--output", folder / "files")
        points, values = compare(folder / "files", lines)
        count = values + (OVERWRITTEN if by == "influx_inspect" else 0)
        if files != (count, count, 0) or dry != files:
            raise SystemExit(f"{count} values were exported; a dry run says {dry}, the conversion {files}")
        # All files as one stream of gzip members, with little memory.
        members = b"".join(path.read_bytes() if path.suffix == ".gz" else gzip.compress(path.read_bytes()) for path in paths)
        convert(binary, "-", "--output", folder / "stream", "--memory-limit", "192MiB", "--flush-size", "1MiB", "--threads", "3", stdin=members)
        if compare(folder / "stream", lines) != (points, values):
            raise SystemExit("a stream of gzip members comes to something else than the files")
        # The lines as they were written, into the same lake once more: nothing changes.
        for (database, policy), body in lines.items():
            bucket = database if policy == "autogen" else f"{database}/{policy}"
            convert(binary, "-", "--bucket", bucket, "--output", folder / "files", stdin=body)
        if compare(folder / "files", lines) != (points, values):
            raise SystemExit("the same lines once more change the lake")
    print(f"{points} points, {values} values of {len(lines)} retention policies, exported by {by}, are equal")


if __name__ == "__main__":
    main()
