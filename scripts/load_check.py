"""Loads line protocol into a node and compares what the lake holds with an independent reading of the same bytes, value by value, before
and after its files are merged.

    python scripts/load_check.py BINARY INPUT...     INPUT: a file (.lp, .lp.gz), cpu, devops or iot (made by `BINARY generate`), or edge

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


@dataclasses.dataclass
class Input:
    name: str
    batches: list
    lines: int
    merged: lineproto.Merged
    # Whether batches may overtake each other: not if two of them write the same field of the same point.
    any_order: bool


def read_bytes(name, binary, lines):
    if name == "edge":
        return EDGE
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
    batches = [body[a:b] for a, b in zip(cuts, cuts[1:])]
    merged = lineproto.Merged()
    merged.add(points)
    return Input(name, batches, len(points), merged, not batches_conflict(points))


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
    values = answers = 0
    for measurement, expected in given.merged.tables.items():
        types = {field: kind for (of, field), kind in given.merged.types.items() if of == measurement}
        values += tables[measurement].compare(expected, types)
        answers += readers.agree(tables[measurement])
    files = sum(len(table.files) for table in tables.values())
    print(f"{given.name}: {given.merged.rows()} points, {values} values in {files} files equal; {answers} answers of three readers agree")


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
    parser.add_argument("--floor", type=float, help="least lines per CPU-second of the whole load")
    parser.add_argument("--option", action="append", default=[], help="an option of the node, such as --option=--shards=2")
    args = parser.parse_args()

    inputs = [read_input(name, args.binary, args.lines) for name in args.inputs]
    with Node(args.binary, "--flush-interval", args.flush_interval, *args.option) as node:
        idle, begin = node.cpu_seconds(), time.monotonic()
        for index, given in enumerate(inputs):
            load(node, given, f"check{index}", args.connections)
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
    lines = sum(given.lines for given in inputs)
    rate = lines / cpu if cpu else float("inf")
    print(f"{lines} lines in {elapsed:.2f} s, {cpu:.2f} CPU-seconds of the server: {rate:,.0f} lines per CPU-second; {peak / 2**20:.0f} MiB at most")
    if args.floor and rate < args.floor:
        raise SystemExit(f"fewer than {args.floor:,.0f} lines per CPU-second")


if __name__ == "__main__":
    sys.exit(main())
