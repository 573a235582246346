"""Opens thousands of connections that then do nothing, and checks what they cost a node: memory, and time of those that work.

    python scripts/idle_check.py BINARY [--connections 10000]

A third of them never says anything, a third has written a small body, a third one of 10 KB. Needs a limit of open files (ulimit -Hn)
above the number of connections; both ends raise theirs to it. Only Python's own library is used.
"""

import argparse
import pathlib
import resource
import socket
import statistics
import sys
import time

from node import Node

MIB = 2**20
RESIDENT_BYTES_MAX = 200 * MIB
# What those that work may take more of the server's time while the others are there: the measurement itself varies by a few percent.
SLOWDOWN_MAX = 1.25
WORKERS = 8
LINE = b"cpu,host=server%d,region=eu usage_user=%d.5,usage_system=2i 17000000000%08d\n"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, body):
        self.socket.sendall(b"POST /write?db=idle HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = self.socket.recv(4096)
        if not answer.startswith(b"HTTP/1.1 204") or not answer.endswith(b"\r\n\r\n"):
            raise SystemExit(f"a write was not answered with 204: {answer!r}")


def raise_descriptor_limit(needed):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"the system allows {hard} open files (ulimit -Hn), {needed} are needed; raise its limit or give fewer --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes(node):
    status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


def body(lines, first):
    return b"".join(LINE % (number % 100, number % 90, first + number) for number in range(lines))


def work(node, requests, lines):
    """Microseconds of the server per request, and the median until its answer."""
    workers = [Connection(node.port) for _ in range(WORKERS)]
    content = body(lines, 0)
    for worker in workers:
        worker.write(content)
    times = []
    cpu = node.cpu_seconds()
    for number in range(requests):
        began = time.monotonic()
        workers[number % WORKERS].write(content)
        times.append(time.monotonic() - began)
    cpu = node.cpu_seconds() - cpu
    return cpu / requests * 1e6, statistics.median(times) * 1e6


def open_idle(node, count):
    small, large = body(1, 0), body(140, 0)
    idle = []
    for number in range(count):
        connection = Connection(node.port)
        if number % 3:
            connection.write(small if number % 3 == 1 else large)
        idle.append(connection)
    return idle


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=4_000, help="requests of one measurement of those that work")
    parser.add_argument("--lines", type=int, default=140, help="lines of one such request; 140 are 10 KB")
    args = parser.parse_args()
    raise_descriptor_limit(args.connections + 1_000)
    options = ["--max-connections", str(args.connections + 100), "--durability", "memory", "--shards", "2"]
    with Node(args.binary, *options) as node:
        work(node, args.requests // 4, args.lines)
        before = resident_bytes(node)
        alone = work(node, args.requests, args.lines)
        idle = open_idle(node, args.connections)
        node.flush()
        resident = resident_bytes(node)
        cpu = node.cpu_seconds()
        time.sleep(4)
        idle_cpu = (node.cpu_seconds() - cpu) / 4
        beside = work(node, args.requests, args.lines)
        for connection in idle[:: len(idle) // 10]:
            connection.write(body(1, 0))
        for connection in idle:
            connection.socket.close()
        again = work(node, args.requests, args.lines)
    print(f"{args.connections} idle connections: {resident / MIB:.0f} MiB resident, {before / MIB:.0f} MiB without them; {idle_cpu * 100:.1f} % of a core")
    for name, (cpu, latency) in {"alone": alone, "beside them": beside, "after them": again}.items():
        print(f"{name}: {cpu:.0f} us of the server per request, {latency:.0f} us until the answer")
    if resident > RESIDENT_BYTES_MAX:
        raise SystemExit(f"more than {RESIDENT_BYTES_MAX // MIB} MiB")
    if beside[0] > SLOWDOWN_MAX * max(alone[0], again[0]):
        raise SystemExit(f"requests beside idle connections take more than {SLOWDOWN_MAX} times the server's time")


if __name__ == "__main__":
    sys.exit(main())
