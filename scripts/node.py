"""A ringest node for the time of a `with` block."""

import gzip
import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import time

START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 60


class Refused(Exception):
    """The node answered something other than 2xx."""


class Node:
    def __init__(self, binary, *options, keep_points_of_any_age=True, trusted=None, tokens=None):
        """trusted: a PEM file, for a node that the options give TLS. tokens: options of `ringest token create` by name; the tokens
        themselves are in `self.tokens`."""
        self.context = ssl.create_default_context(cafile=trusted) if trusted else None
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="ringest-")
        self.data_dir = pathlib.Path(self.folder.name) / "data"
        self.lake = self.data_dir / "lake"
        self.port = free_port()
        self.log = pathlib.Path(self.folder.name) / "log"
        retention = ["--default-retention", "inf"] if keep_points_of_any_age else []
        # Scripts look at files: those that are not about compaction keep each as it was written.
        merges = any(str(option).startswith("--compaction") for option in options)
        retention += [] if merges else ["--compaction", "off"]
        arguments = ["serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data_dir, *retention, *options]
        # Variables of the caller's own node must not reach this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGEST_")}
        self.tokens = {}
        for name, scope in (tokens or {}).items():
            create = [binary, "token", "create", "--data-dir", self.data_dir, "--name", name, *scope]
            made = subprocess.run(create, capture_output=True, text=True, env=environment)
            if made.returncode != 0:
                raise SystemExit(f"no token {name}: {made.stderr}")
            self.tokens[name] = made.stdout.strip()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, env=environment)

    def __enter__(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"the node did not start; its log:\n{self.log.read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "no end"
        log = self.log.read_text()
        self.folder.cleanup()
        if kind is not None or code != 0:
            print(f"--- the node's log\n{log}---")
        if kind is None and code != 0:
            raise SystemExit(f"the node ended with {code} after SIGTERM, not with 0")

    def answers(self):
        """Takes writes: the port is open sooner, while the log is replayed."""
        try:
            return Client(self, timeout=5).request("GET", "/ready")[0] == 200
        except OSError:
            return False

    def flush(self):
        Client(self).post("/api/flush", b"")

    def compact(self):
        Client(self).post("/api/compact", b"")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


class Client:
    """One keep-alive connection."""

    def __init__(self, node, timeout=600):
        if node.context:
            self.connection = http.client.HTTPSConnection("localhost", node.port, timeout=timeout, context=node.context)
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def post(self, path, body, compressed=False):
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if compressed:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        status, answer = self.request("POST", path, body, headers)
        if not 200 <= status < 300:
            raise Refused(f"POST {path}: {status} {answer.decode(errors='replace')}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
