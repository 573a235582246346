"""One life of the node: its settings, its start, what can be watched of it, and its end."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from . import connection, manifest

LISTEN_SECONDS_MAX = 30
READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 90
FLUSH_SECONDS_MAX = 90
LOG_TAIL_LINES = 25
OPTION = re.compile(r"^\s+--([a-z0-9-]+)(?: <([^>]*)>)?", re.MULTILINE)
# Small enough to meet the limits now and then, large enough for every body of the campaign.
CHOICES = {
    "shards": ["1", "2", "3", "4"],
    "lake-threads": ["1", "2", "3"],
    "default-retention": ["inf", "120h", "inf", "10d"],
    "memory-limit": ["192MiB", "256MiB", "512MiB", "1GiB"],
    "flush-interval": ["100ms", "250ms", "700ms", "2s", "1h", "1h"],
    "flush-size": ["1MiB", "8MiB", "40MiB", "40MiB"],
    "max-body-size": ["5MB", "10MB", "20MB"],
    "wal-size-limit": ["128MiB", "192MiB", "512MiB", "2GiB"],
    "durability": ["sync", "sync", "write"],
    "simd": ["auto", "portable"],
    "compaction": ["auto", "auto", "off"],
}


class Broken(Exception):
    """The node did something that no configuration and no kill excuses."""


class Binary:
    def __init__(self, path):
        self.path = path
        help_text = subprocess.run([path, "serve", "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.options = dict(OPTION.findall(help_text))
        commands = subprocess.run([path, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.reads_log = re.search(r"^\s+wal\s", commands, re.MULTILINE) is not None

    def settings(self, rng):
        """Options for one life, of those that the binary knows. The log is always on where there is one."""
        settings = {}
        for name, choices in CHOICES.items():
            allowed = [choice for choice in choices if self.allows(name, choice)]
            # The default is a choice, too, but not where it would be no durability.
            if allowed and (rng.random() < 0.8 or name in ("durability", "default-retention")):
                settings[name] = rng.choice(allowed)
        return settings

    def allows(self, name, choice):
        values = self.options.get(name)
        # The help lists words in lower case; other values have a name in capitals.
        return values is not None and (not values.islower() or choice in values.split("|"))

    def log_is_sound(self, data_dir):
        """What `ringest wal verify` finds wrong with the log, or None."""
        if not self.reads_log:
            return None
        command = [self.path, "wal", "verify", "--data-dir", data_dir]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
        return None if done.returncode == 0 else f"ringest wal verify exits with {done.returncode}: {done.stdout.strip()}"


def environment():
    """Variables of the caller's own node must not reach this one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RINGEST_")}


class Life:
    def __init__(self, binary, number, data_dir, log, settings):
        self.number, self.data_dir, self.log, self.settings = number, data_dir, log, settings
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [binary.path, "serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log-format", "json", *options]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=environment())
        self.options = binary.options
        self.began = time.monotonic()
        self.port = None
        self.was_ready = False
        self.flush = self.compaction = None
        self.stopping = False

    def __str__(self):
        return f"life {self.number} ({' '.join(f'--{name}={value}' for name, value in self.settings.items())})"

    def need(self, condition, sentence):
        if not condition:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise Broken(f"{self}: {sentence}; the end of its log, {self.log}:\n{tail}")

    def need_alive(self):
        code = self.process.poll()
        self.need(code is None, f"the node ended by itself with {code}")

    def find_port(self):
        """Looks for the line that names the port, which is open before the node is ready; returns whether it is known."""
        if self.port is None:
            for line in self.log.read_bytes().splitlines(keepends=True):
                if line.startswith(b"{") and line.endswith(b"\n"):
                    said = json.loads(line)
                    address = said.get("listen") or said.get("address")
                    if address:
                        self.port = int(address.rpartition(":")[2])
                        break
        return self.port is not None

    def replays(self):
        """The bytes of log that it says it replays, or None as long as it has not said so."""
        for line in self.log.read_bytes().splitlines(keepends=True):
            if b'"replaying the log"' in line and line.endswith(b"\n"):
                return json.loads(line).get("bytes", 0)
        return None

    def need_in_time(self):
        """Neither ended nor overdue on its way to being ready."""
        self.need_alive()
        seconds = time.monotonic() - self.began
        self.need(self.port is not None or seconds < LISTEN_SECONDS_MAX, f"the node does not say within {LISTEN_SECONDS_MAX} s where it listens")
        self.need(seconds < READY_SECONDS_MAX, f"the node is not ready after {READY_SECONDS_MAX} s")

    def wait_for_port(self):
        while not self.find_port():
            self.need_in_time()
            time.sleep(0.002)

    def is_ready(self):
        """A node without /ready is ready when it answers."""
        try:
            status = connection.get(self.port, "/ready")[0]
        except (OSError, connection.Dead):
            self.need_alive()
            return False
        self.need(status in (200, 404, 503), f"/ready answers {status}")
        self.was_ready = status != 503
        return self.was_ready

    def wait_until_ready(self):
        while not self.is_ready():
            self.need_in_time()
            time.sleep(0.003)

    def need_healthy(self):
        status, _, body = connection.get(self.port, "/health")
        self.need(status == 200, f"/health answers {status} {body.decode(errors='replace')}")

    def publish(self):
        """POST /api/flush, and wait for it."""
        flush = Order(self.port, "/api/flush")
        flush.join(FLUSH_SECONDS_MAX)
        self.need(flush.status == 204, f"POST /api/flush is answered {flush.status or 'not at all'}")

    def knows(self, option):
        return option in self.options

    def compact(self):
        """POST /api/compact, and wait for it, where the binary has it."""
        if self.knows("compaction"):
            self.begin_compaction()
            self.compaction.join(FLUSH_SECONDS_MAX)
            # Tables of many columns may be too much for the least memory-limit; they stay as they are.
            is_done = self.compaction.status == 200 or "raise memory-limit" in self.compaction.said
            self.need(is_done, f"POST /api/compact is answered {self.compaction.status or 'not at all'}: {self.compaction.said}")

    def begin_flush(self):
        self.flush = Order(self.port, "/api/flush")

    def begin_compaction(self):
        self.compaction = Order(self.port, "/api/compact")

    def begin_stop(self):
        self.stopping = True
        self.process.send_signal(signal.SIGTERM)

    def sleep(self, seconds):
        """A node that ends meanwhile is noticed."""
        time.sleep(seconds)
        self.need_alive()

    def kill(self, with_signal):
        """The end that the campaign is about; returns what the node was doing."""
        if not self.stopping:
            self.need_alive()
        flushing = self.flush is not None and self.flush.status is None
        # A second SIGTERM would tell the node to leave at once.
        if not (self.stopping and with_signal == signal.SIGTERM):
            self.process.send_signal(with_signal)
        code = self.process.wait(STOP_SECONDS_MAX)
        if with_signal == signal.SIGTERM:
            # Before the node has handlers, the signal's default ends it.
            self.need(code == 0 or (not self.find_port() and code == -signal.SIGTERM), f"the node ends with {code} after SIGTERM, not with 0")
        self.need(code in (0, -with_signal, -signal.SIGTERM), f"the node ended by itself with {code}")
        record = manifest.read(self.data_dir / "state" / "manifest")
        publishing = bool(record.intended) or record.torn or any_file(self.data_dir / "tmp")
        compacting = self.compaction is not None and self.compaction.status is None
        compacting = compacting or any(pathlib.Path(self.data_dir / "tmp").glob("compaction-*"))
        return {"recovery": not self.was_ready, "flush": flushing, "publication": publishing, "compaction": compacting}

    def stop(self):
        """A clean stop: everything is published after it."""
        self.need_alive()
        self.begin_stop()
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.need(False, f"the node does not end within {STOP_SECONDS_MAX} s after SIGTERM")
        self.need(code == 0, f"the node ends with {code} after SIGTERM, not with 0")

    def end(self):
        """For a campaign that gives up."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def watch(self, what, seconds):
        """Waits until the node is seen publishing (`tmp`, `manifest`, `commit`) or the log's files change (`wal`)."""
        deadline = time.monotonic() + seconds
        first = self.look(what)
        changes = 0
        while time.monotonic() < deadline:
            seen = self.look(what)
            if seen != first:
                first, changes = seen, changes + 1
                # An intent is followed by its commit.
                if what != "commit" or changes == 2:
                    return
            time.sleep(0.0002)
        self.need_alive()

    def look(self, what):
        try:
            if what == "tmp":
                return any_file(self.data_dir / "tmp")
            if what == "wal":
                return sorted(os.listdir(self.data_dir / "wal"))
            return os.stat(self.data_dir / "state" / "manifest").st_size
        except FileNotFoundError:
            return None


class Order(threading.Thread):
    """A POST without a body in the background."""

    def __init__(self, port, path):
        super().__init__(daemon=True)
        self.port, self.path = port, path
        # None while it is under way; 0 when the connection died.
        self.status, self.said = None, ""
        self.start()

    def run(self):
        try:
            client = connection.Connection(self.port, FLUSH_SECONDS_MAX)
            status, _, said = client.exchange(connection.post(self.path, b""))
            self.said, self.status = said.decode(errors="replace"), status
            client.close()
        except (OSError, connection.Dead):
            self.status = 0


def any_file(folder):
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except FileNotFoundError:
        return False
