"""What the benchmarks of running servers share: a run of `ringest load`, what the kernel says of a process, a section of a page."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import time

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "BENCHMARKS.md"
# A server that has used less than this share of a processor for IDLE_SECONDS has nothing more to do.
IDLE_SHARE, IDLE_SECONDS, IDLE_SECONDS_MAX = 0.05, 2, 60


class Failed(Exception):
    """A run of the generator ended with an error."""


def load(binary, port, pid, *options):
    """The report of one run against the server at the port."""
    command = [binary, "load", *map(str, options), "--url", f"http://127.0.0.1:{port}", "--pid", str(pid), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {ended.stderr.strip()}")
    return json.loads(ended.stdout)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def wait_until_idle(pid):
    deadline = time.monotonic() + IDLE_SECONDS_MAX
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        if cpu_seconds(pid) - before < IDLE_SHARE * IDLE_SECONDS:
            return


def machine():
    model = next(line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def provenance(command):
    """The sentence above a table: how, when and where it was made."""
    return f"`{command}`, {datetime.date.today()}, {machine()}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |".replace("| --- ", "|---").replace("--- |", "---|") for cells in lines)


def write_section(name, text):
    """Puts the text between the page's marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = PAGE.read_text()
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{PAGE} has no {begin} with {end} after it: a section of that name goes between them")
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")
