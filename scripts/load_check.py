"""Loads line protocol into a node and compares what the lake holds with an independent reading of the same bytes, value by value, before
and after its files are merged.

    python scripts/load_check.py BINARY INPUT...     INPUT: a file (.lp, .lp.gz), cpu, devops or iot (made by `BINARY generate`), edge, life
                                                     (columns born later, late data: a flush after each body), groups (several row
                                                     groups) or wide (5 000 fields with names in many scripts)

Then DuckDB, Polars, pyarrow, pandas and DataFusion read every table, and must see every value; of groups they may read only what they need.
Prints what the server needed: lines per CPU-second and peak resident memory. --floor fails the check when the first is lower.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import dataclasses
import gzip
import pathlib
import queue
import subprocess
import sys
import threading
import time

import lake
import lineproto
import pruning
import readers
from node import Client, Node

BATCH_LINES = 5_000
HOSTS = 1_000

# What people really write at the edges: escapes, Unicode, all types, times before 1970, gaps, duplicates, clashes of names.
EDGE = rb"""# every type, and the ends of its range
types,host=a float=1.5,integer=-9223372036854775808i,unsigned=18446744073709551615u,boolean=t,string="x" 1767225600000000001
types,host=a float=-0,integer=9223372036854775807i,unsigned=0u,boolean=FALSE,string="" 1767225600000000002
types,host=b float=1e308 1767225600000000999
types float=9007199254740993 1767225600000001000
# merged field by field, the last wins
merge,t=1 a=1,b=1i 1767225600000000000
merge,t=1 b=2i,c="new" 1767225600000000000
merge,t=1 a=3,a=4 1767225600000000000
# the same series, its tags in another order
order,b=2,a=1 f=1 1767225600000000000
order,a=1,b=2 g=1 1767225600000000000
# names and values with everything in them
we\ ird\,name,tag\ key=va\,l\=ue,uni=\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x80 field\ key="quote \" backslash \\ new
line, comma = \xf0\x9f\xa6\x80",b\\s="C:\\dir\\" 1767225600000000000
we/ird..name,%25=a%20b f=1 1767225600000000000
o'dd"m*[1]?{a}=b;--,t.a=1,t`b=2,"q"=3,per%cent=4,time_=5,TIME_=6 f.a=1,f[0]=2i,"quoted"=3u,'apos'="4",$x=t,a\ b=7,select=8,*=9,f\,g=10 1767225600000000000
.hidden f=1 1767225600000000000
_under f=1 1767225600000000000
# times on both sides of 1970 and of midnight, the first and the last possible
times f=1 -1
times f=2 0
times f=3 1767225599999999999
times f=4 1767225600000000000
times f=5 -9223372036854775806
times f=6 9223372036854775806
# tags that come and go, one name as tag and field, names that differ in case, reserved column names
clash,a=1,host=x value=1,Host="field" 1767225600000000000
clash,b=2 host="field",value=2,day=1i,hour=2i 1767225600000000000
clash,day=mon,time_ns_rem=x value=3 1767225600000000000
clash,HOST=y VALUE=true 1767225600000000000
""".replace(rb"\xc3\xa9\xe2\x82\xac", "é€".encode()).replace(rb"\xf0\x9f\xa6\x80", "🦀".encode())


# The first day of 2026, in nanoseconds.
DAY_1 = 1_767_225_600 * 10**9
DAY_NS = 86_400 * 10**9
EVERY_CHARACTER = "".join(map(chr, [*range(0x250), 0x202E, 0x3042, 0xD7FF, 0xE000, 0xFFFF, 0x1F980, 0x10FFFF]))
AS_STRING = EVERY_CHARACTER.replace("\\", "\\\\").replace('"', '\\"')
AS_TAG = EVERY_CHARACTER[ord("!") :].translate({ord(letter): None for letter in "\\,= "})
# One value throughout, which some readers take from the statistics: what is too long for those, and both zeros.
CONSTANT = f'constant,host={"t" * 100} zero=0,minus=-0,long="{"x" * 100}",last="{chr(0x10FFFF) * 30}",u=18446744073709551615u'
# A table's life, flushed after each body: in `grown` the oldest file comes first for every reader, in `life` one with all columns.
LIFE = [
    f"""life,host=a f=1.5,i=1i {DAY_1}
life,host=b f=2.5,i=-5i {DAY_1 + 1}
grown,host=a f=1,i=9007199254740993i {DAY_1}
{CONSTANT} {DAY_1}
{CONSTANT} {DAY_1 + 1}
""",
    f"""life,az=x,host=a f=-0,s="",u=18446744073709551615u {DAY_1 + DAY_NS}
life,az={AS_TAG},host=a s="{AS_STRING}",b=t {DAY_1 + DAY_NS + 999}
grown,host=a,rack=7 f=2,b=false,u=9223372036854775809u {DAY_1 + DAY_NS}
grown,host=a b=true,s="" {DAY_1 + DAY_NS}
""",
    f"""life,host=a f=9,s="late" {DAY_1}
life,az=y b=f,i=9223372036854775807i {DAY_1 - 1}
life,host=c f=5e-324 -1
grown,host=a f=3,i=-9223372036854775808i {DAY_1}
""",
]
GROUP_ROWS = 256 * 1024
# Letters of several scripts, right to left and beyond 16 bits too; each is a part of field names.
SCRIPTS = ["temperature", "größe", "температура", "温度", "درجة", "טמפ", "तापमान", "온도", "🌡", "A.B-c_d", "с пробелом", "quote'd", 'dou"ble', "semi;colon", "per%cent"]
WIDE_FIELDS = 5_000


@dataclasses.dataclass
class Input:
    name: str
    batches: list
    lines: int
    merged: lineproto.Merged
    # Whether batches may overtake each other: not if two of them write the same field of the same point.
    any_order: bool
    flush_each: bool


def groups_body():
    """One day of two hosts, one after the other, in more than one row group, and another day: conditions on day, time and host have what to skip."""
    rows = [f"groups,host={'a' if row < GROUP_ROWS / 2 else 'b'} f={row / 8},i={row}i {DAY_1 + row * 10**8}" for row in range(GROUP_ROWS + 4000)]
    rows += [f"groups,host=c f={row} {DAY_1 + DAY_NS + row}" for row in range(2000)]
    return "\n".join(rows).encode()


def wide_body():
    """A table of 5 000 fields, each line another 125 of them, every second field a double."""
    names = [f"{SCRIPTS[field % len(SCRIPTS)]}{field}".replace(" ", "\\ ") for field in range(WIDE_FIELDS)]
    fields = [f"{name}={index}" + ("i" if index % 2 else ".5") for index, name in enumerate(names)]
    rows = [f"wide,host=h{row % 3} {','.join(fields[row % 40::40])} {DAY_1 + row}" for row in range(80)]
    return "\n".join(rows).encode()


def read_bytes(name, binary, lines):
    if name == "edge":
        return EDGE
    if name == "life":
        return "".join(LIFE).encode()
    if name == "groups":
        return groups_body()
    if name == "wide":
        return wide_body()
    if name in ("cpu", "devops", "iot"):
        command = [binary, "generate", name, "--hosts", str(HOSTS), "--lines", str(lines)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    path = pathlib.Path(name)
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def read_input(name, binary, lines):
    body = read_bytes(name, binary, lines)
    points, errors = lineproto.Reader().parse(body)
    if errors:
        raise SystemExit(f"{name} is not line protocol: line {errors[0][0]}: {errors[0][1]}")
    starts = [start for _, start, _, _ in lineproto.lines(body)]
    cuts = [*starts[::BATCH_LINES], len(body)]
    flush_each = name == "life"
    batches = [part.encode() for part in LIFE] if flush_each else [body[a:b] for a, b in zip(cuts, cuts[1:])]
    merged = lineproto.Merged()
    merged.add(points)
    return Input(name, batches, len(points), merged, not (flush_each or batches_conflict(points)), flush_each)


def batches_conflict(points):
    """Whether two batches hold the same point."""
    seen = {}
    return any(
        seen.setdefault((point["measurement"], point["tags"], point["time"]), index // BATCH_LINES) != index // BATCH_LINES
        for index, point in enumerate(points)
    )


def load(node, given, bucket, connections):
    """Every second batch goes compressed."""
    waiting = queue.SimpleQueue()
    for index, batch in enumerate(given.batches):
        waiting.put((index, batch))
    faults = []

    def send():
        client = Client(node)
        try:
            while not faults:
                index, batch = waiting.get_nowait()
                client.post(f"/write?db={bucket}&precision=ns", batch, compressed=index % 2 == 1)
                if given.flush_each:
                    node.flush()
        except queue.Empty:
            pass
        except Exception as fault:
            faults.append(fault)

    workers = [threading.Thread(target=send) for _ in range(connections if given.any_order else 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if faults:
        raise SystemExit(f"{given.name}: {faults[0]}")
    node.flush()


def compare(node, given, bucket):
    tables = {table.measurement: table for table in lake.tables(node.lake) if table.bucket == bucket}
    if tables.keys() != given.merged.tables.keys():
        raise SystemExit(f"{given.name}: written {sorted(given.merged.tables)}, in the lake {sorted(tables)}")
    values = rows = 0
    for measurement, expected in given.merged.tables.items():
        types = {field: kind for (of, field), kind in given.merged.types.items() if of == measurement}
        values += tables[measurement].compare(expected, types)
        rows += readers.agree(tables[measurement])
    files = sum(len(table.files) for table in tables.values())
    print(f"{given.name}: {given.merged.rows()} points, {values} values in {files} files equal; {rows} rows that five readers read too")
    if given.name == "groups":
        skipped = pruning.check(tables["groups"], ["day", "time", "host"])
        print(f"{given.name}: five readers skip the row groups that a condition excludes: {', '.join(skipped)}")


def need_one_file_a_day(node, bucket):
    """What is loaded here is far below the size of one file."""
    days = [day for day in (node.lake / bucket).glob("*/*") if len(list(day.iterdir())) != 1]
    if days:
        raise SystemExit(f"not merged into one file: {days}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("inputs", nargs="+", metavar="INPUT")
    parser.add_argument("--lines", type=int, default=100_000, help="lines of a generated input")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--flush-interval", default="10s", help="the node's; a short one makes many epochs")
    parser.add_argument("--again", action="store_true", help="send everything twice, as clients do that got no answer: nothing may differ")
    parser.add_argument("--floor", type=float, help="least lines per CPU-second of the whole load")
    parser.add_argument("--option", action="append", default=[], help="an option of the node, such as --option=--shards=2")
    args = parser.parse_args()

    inputs = [read_input(name, args.binary, args.lines) for name in args.inputs]
    with Node(args.binary, "--flush-interval", args.flush_interval, *args.option) as node:
        idle, begin = node.cpu_seconds(), time.monotonic()
        for index, given in enumerate(inputs * (2 if args.again else 1)):
            load(node, given, f"check{index % len(inputs)}", args.connections)
        cpu, elapsed = node.cpu_seconds() - idle, time.monotonic() - begin
        peak = node.peak_resident_bytes()
        for index, given in enumerate(inputs):
            compare(node, given, f"check{index}")
        idle = node.cpu_seconds()
        node.compact()
        print(f"merged, in {node.cpu_seconds() - idle:.2f} CPU-seconds:")
        for index, given in enumerate(inputs):
            compare(node, given, f"check{index}")
            need_one_file_a_day(node, f"check{index}")
    lines = sum(given.lines for given in inputs) * (2 if args.again else 1)
    rate = lines / cpu if cpu else float("inf")
    print(f"{lines} lines in {elapsed:.2f} s, {cpu:.2f} CPU-seconds of the server: {rate:,.0f} lines per CPU-second; {peak / 2**20:.0f} MiB at most")
    if args.floor and rate < args.floor:
        raise SystemExit(f"fewer than {args.floor:,.0f} lines per CPU-second")


if __name__ == "__main__":
    sys.exit(main())
