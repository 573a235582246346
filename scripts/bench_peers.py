"""ringest beside InfluxDB 1.x and VictoriaMetrics: the same data, the same generator, in turn; writes the table of docs/BENCHMARKS.md.

    python scripts/bench_peers.py BINARY [--rounds N] [--seconds N] [--only WORD] [--write]

Every run has a fresh server with an empty folder on the same disk. What a server has to do after the last answer to have the points in
its files counts: the final flush of ringest does, the others have no such request and are given their time until they idle.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from node import Node, free_port

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"
# A server that has used less than this share of a processor for IDLE_SECONDS has nothing more to do.
IDLE_SHARE, IDLE_SECONDS, IDLE_SECONDS_MAX = 0.05, 2, 60


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    options: tuple


def case(kind, hosts, batch, connections, *more):
    packed = ", gzip" if "--gzip" in more else ""
    name = f"{kind}, {hosts:,} hosts, {batch:,} x {connections}{packed}"
    return Case(name, (kind, "--hosts", str(hosts), "--batch", str(batch), "--connections", str(connections), *more))


CASES = [
    case("cpu", 4_000, 5_000, 4),
    case("cpu", 4_000, 5_000, 4, "--gzip"),
    case("cpu", 4_000, 100, 16),
    case("cpu", 4_000, 100, 16, "--gzip"),
    case("cpu", 4_000, 1, 64),
    case("cpu", 100, 5_000, 4),
    case("cpu", 1_000_000, 5_000, 4),
    case("devops", 4_000, 5_000, 4),
    case("iot", 4_000, 5_000, 4),
    case("series", 4_000, 5_000, 4),
]


class Ringest:
    name = "ringest"
    durability = "synced log"
    more = ("--flush",)

    def __init__(self, binary, *options):
        self.node = Node(binary, *options)
        # The log keeps its segments to use them again: no data.
        self.port, self.folder = self.node.port, self.node.lake

    def __enter__(self):
        self.node.__enter__()
        self.pid = self.node.process.pid
        return self

    def __exit__(self, *how):
        self.node.__exit__(*how)


class Unsynced(Ringest):
    name = "ringest, `--durability write`"
    durability = "handed to the kernel"

    def __init__(self, binary):
        super().__init__(binary, "--durability", "write")


class Unlogged(Ringest):
    name = "ringest, `--durability memory`"
    durability = "memory"

    def __init__(self, binary):
        super().__init__(binary, "--durability", "memory")


class Peer:
    """A server that is started by a command line, with a folder of its own."""

    def __init__(self, _binary):
        self.temporary = tempfile.TemporaryDirectory(prefix="peer-")
        self.folder = pathlib.Path(self.temporary.name)
        self.port = free_port()

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder)}
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environment)
        self.pid = self.process.pid
        deadline = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"{self.name} did not start; its log:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.temporary.cleanup()

    def answers(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ping}", timeout=2).status < 300
        except OSError:
            return False


class InfluxDB(Peer):
    name = "InfluxDB"
    durability = "synced log"
    more = ("--create",)
    ping = "/ping"

    def command(self):
        configuration = self.folder / "influxdb.conf"
        configuration.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
  dir = "{self.folder}/meta"
[data]
  dir = "{self.folder}/data"
  wal-dir = "{self.folder}/wal"
  index-version = "tsi1"
  max-series-per-database = 0
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{self.port}"
  log-enabled = false
"""
        )
        return ["influxd", "-config", configuration]


class VictoriaMetrics(Peer):
    name = "VictoriaMetrics"
    durability = "memory, on disk within seconds"
    more = ()
    ping = "/health"

    def command(self):
        folder = self.folder / "storage"
        return ["victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=10y"]


SERVERS = [Ringest, VictoriaMetrics, InfluxDB]
DURABILITIES = [Unsynced, Unlogged]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(pid):
    deadline = time.monotonic() + IDLE_SECONDS_MAX
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        if cpu_seconds(pid) - before < IDLE_SHARE * IDLE_SECONDS:
            return


def disk_bytes(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def run(binary, server, given, seconds):
    """One report of `ringest load`, with what the server used until it was done."""
    with server(binary) as running:
        before = cpu_seconds(running.pid)
        command = [binary, "load", *given.options, "--url", f"http://127.0.0.1:{running.port}", "--duration", f"{seconds}s"]
        command += ["--pid", str(running.pid), "--json", *running.more]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode != 0:
            raise SystemExit(f"{server.name}, {given.name}: {ended.stderr}")
        report = json.loads(ended.stdout)
        wait_until_idle(running.pid)
        used = cpu_seconds(running.pid) - before
        report["per_cpu_second"] = report["lines"] / used if used else 0.0
        report["disk_per_line"] = disk_bytes(running.folder) / max(report["lines"], 1)
        refused = {status: count for status, count in report["statuses"].items() if not status.startswith("2")}
        if refused:
            print(f"  {server.name}: {refused}: {report['first_refusal']}", file=sys.stderr)
        return report


def versions():
    def first_line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()[0]

    def package(name):
        return first_line("dpkg-query", "-W", "-f", "${Version}", name)

    return f"InfluxDB {package('influxdb')}, VictoriaMetrics {package('victoria-metrics')} (Debian)"


def machine():
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def rows(reports):
    """The table's rows of one case: medians over the rounds."""
    for (given, server), of_rounds in reports.items():
        def middle(value):
            return statistics.median(value(report) for report in of_rounds)

        refused = sum(count for report in of_rounds for status, count in report["statuses"].items() if not status.startswith("2"))
        cells = [
            given.name,
            server.name + (f" ({refused} requests refused)" if refused else ""),
            f"{middle(lambda r: r['lines_per_second']):,.0f}",
            f"{middle(lambda r: r['per_cpu_second']):,.0f}",
            f"{middle(lambda r: r['latency_ms']['p50']):.2f}",
            f"{middle(lambda r: r['latency_ms']['p99']):.2f}",
            f"{middle(lambda r: r['server']['peak_resident_bytes']) / 2**20:,.0f}",
            f"{middle(lambda r: r['disk_per_line']):,.1f}",
            server.durability,
        ]
        yield f"| {' | '.join(cells)} |"


def table(reports, command):
    head = "| data, batch x connections | server | lines/s | lines per CPU-second | p50 ms | p99 ms | peak MiB | disk bytes per line | acknowledged when |"
    about = f"`{command}`, {datetime.date.today()}, {machine()}; {versions()}. Medians; the generator runs on the same machine."
    return "\n".join([about, "", head, "|---" * 9 + "|", *rows(reports)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--write", action="store_true", help="put the table into docs/BENCHMARKS.md")
    args = parser.parse_args()
    given = [one for one in CASES if one.name.startswith(args.only)]
    pairs = [(one, server) for one in given for server in SERVERS] + [(given[0], server) for server in DURABILITIES]
    reports = {pair: [] for pair in pairs}
    for number in range(args.rounds):
        for one, server in pairs:
            report = run(args.binary, server, one, args.seconds)
            reports[one, server].append(report)
            print(f"round {number + 1}: {one.name}: {server.name}: {report['per_cpu_second']:,.0f} lines per CPU-second", flush=True)
    text = table(reports, f"scripts/bench-peers BINARY --rounds {args.rounds} --seconds {args.seconds:g}")
    print(text)
    if args.write:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
