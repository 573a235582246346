"""ringest beside InfluxDB 1.x and VictoriaMetrics: the same data, the same generator, in turn; writes the table of docs/BENCHMARKS.md.

    python scripts/bench_peers.py BINARY [--rounds N] [--seconds N] [--only WORD] [--runs FILE] [--write]

Every run has a fresh server with an empty folder on the same disk. Processor time is told twice: until the last answer, for ringest until everything
is published, which the others have no request for; and until the server idles, with what it merges in the background.
A round of all cases takes a quarter of an hour. With --runs each report is kept in the file, and a call with the same file goes on where the last ended.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import dataclasses
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import bench
from node import Node, free_port


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    options: tuple


def case(kind, hosts, batch, connections, *more):
    packed = ", gzip" if "--gzip" in more else ""
    series = "every line a new series" if kind == "series" else f"{hosts:,} hosts"
    name = f"{kind}, {series}, {batch:,} x {connections}{packed}"
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
        self.node = Node(binary, "--compaction", "auto", *options)
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


PEERS = [VictoriaMetrics, InfluxDB]
DURABILITIES = [Unsynced, Unlogged]


def disk_bytes(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def run(binary, server, given, seconds):
    """One report of `ringest load`, with what the server used until it was done."""
    with server(binary) as running:
        before = bench.cpu_seconds(running.pid)
        try:
            report = bench.load(binary, running.port, running.pid, *given.options, "--duration", f"{seconds}s", *running.more)
        except bench.Failed as error:
            raise SystemExit(f"{server.name}, {given.name}: {error}") from error
        bench.wait_until_idle(running.pid)
        used = bench.cpu_seconds(running.pid) - before
        report["lines_until_idle_per_cpu_second"] = report["lines"] / used if used else 0.0
        report["disk_per_line"] = disk_bytes(running.folder) / max(report["lines"], 1)
        if refused(report):
            print(f"  {server.name}: {refused(report)} requests: {report['first_refusal']}", file=sys.stderr)
        del report["timeline"]
        return report


def refused(report):
    return sum(count for status, count in report["statuses"].items() if not status.startswith("2"))


def versions():
    def package(name):
        asked = ("dpkg-query", "-W", "-f", "${Version}", name)
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    return f"InfluxDB {package('influxdb')}, VictoriaMetrics {package('victoria-metrics')} (Debian)"


HEAD = ["data, batch x connections", "server", "lines/s", "lines per CPU-second", "the same, until idle", "of ringest's processor time until idle"]
HEAD += ["p50 ms", "p99 ms", "peak MiB", "disk bytes per line", "acknowledged when"]


def cells(given, server, of_rounds, of_ringest):
    """One row: medians over the rounds."""

    def middle(value, reports=of_rounds):
        return statistics.median(value(report) for report in reports)

    def until_idle(report):
        return report["lines_until_idle_per_cpu_second"]

    refusals = sum(map(refused, of_rounds))
    return [
        given.name,
        server.name + (f" ({refusals} requests refused)" if refusals else ""),
        f"{middle(lambda r: r['lines_per_second']):,.0f}",
        f"{middle(lambda r: r['server']['lines_per_cpu_second']):,.0f}",
        f"{middle(until_idle):,.0f}",
        times(middle(until_idle, of_ringest) / middle(until_idle)) if of_ringest else "",
        f"{middle(lambda r: r['latency_ms']['p50']):.2f}",
        f"{middle(lambda r: r['latency_ms']['p99']):.2f}",
        f"{middle(lambda r: r['server']['peak_resident_bytes']) / 2**20:,.0f}",
        f"{middle(lambda r: r['disk_per_line']):,.1f}",
        server.durability,
    ]


def section(reports, command):
    measured = {pair: of_rounds for pair, of_rounds in reports.items() if of_rounds}
    rows = [cells(given, server, of_rounds, measured.get((given, Ringest))) for (given, server), of_rounds in measured.items()]
    rounds = min(map(len, measured.values()))
    of = "One round" if rounds == 1 else f"Medians of {rounds} rounds"
    about = f"{bench.provenance(command)}; {versions()}. {of}; the generator runs on the same machine."
    return f"{about}\n\n{bench.table(HEAD, rows)}"


def times(ratio):
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def kept_runs(path, seconds):
    """Reports of runs as long as these that were kept, by case and server."""
    if path is None or not path.exists():
        return {}
    runs = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            run = json.loads(line)
        except json.JSONDecodeError as error:
            raise SystemExit(f"{path}, line {number}: {error}; remove the line, and its run is done again") from error
        if run["seconds"] == seconds:
            runs.setdefault((run["case"], run["server"]), []).append(run["report"])
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--runs", type=pathlib.Path, metavar="FILE", help="keep each report here, and go on where the last call, with the same binary, ended")
    parser.add_argument("--write", action="store_true", help="put the table into docs/BENCHMARKS.md")
    args = parser.parse_args()
    if args.write and args.only:
        parser.error("--write puts the table of all cases into the page: it takes no --only")
    given = [one for one in CASES if one.name.startswith(args.only)]
    if not given:
        parser.error(f"no case begins with {args.only}; there are: {'; '.join(one.name for one in CASES)}")
    pairs = [(given[0], server) for server in (Ringest, *DURABILITIES, *PEERS)] + [(one, server) for one in given[1:] for server in (Ringest, *PEERS)]
    kept = kept_runs(args.runs, args.seconds)
    reports = {(one, server): kept.get((one.name, server.name), [])[: args.rounds] for one, server in pairs}
    for number in range(args.rounds):
        for (one, server), of_rounds in reports.items():
            if len(of_rounds) > number:
                continue
            report = run(args.binary, server, one, args.seconds)
            of_rounds.append(report)
            if args.runs:
                with open(args.runs, "a") as runs:
                    runs.write(json.dumps({"case": one.name, "server": server.name, "seconds": args.seconds, "report": report}) + "\n")
            print(f"round {number + 1}: {one.name}: {server.name}: {report['server']['lines_per_cpu_second']:,.0f} lines per CPU-second", flush=True)
    text = section(reports, f"scripts/bench-peers BINARY --rounds {args.rounds} --seconds {args.seconds:g}")
    print(text)
    if args.write:
        bench.write_section("bench-peers", text)


if __name__ == "__main__":
    sys.exit(main())
