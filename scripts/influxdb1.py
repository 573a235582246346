"""An InfluxDB 1.x server for the time of a `with` block: influxd with a configuration, folders and ports of its own."""

import collections
import http.client
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.parse

from influxdb1_reading import SHARDS
from node import free_port

START_SECONDS_MAX = 20

CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[coordinator]
  write-timeout = "60s"
[retention]
  enabled = false
[shard-precreation]
  enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
  pprof-enabled = false
  max-body-size = 25000000
[continuous_queries]
  enabled = false
"""


class InfluxDB:
    def __init__(self):
        # In memory where there is such a folder: every shard syncs files, and nothing of it is kept.
        shared_memory = pathlib.Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(prefix="influxdb-", dir=shared_memory if shared_memory.is_dir() else None)
        folder = pathlib.Path(self.folder.name)
        self.port = free_port()
        configuration = folder / "influxdb.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, rpc=free_port(), http=self.port))
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
            self.process = subprocess.Popen(["influxd", "-config", configuration], stdout=log, stderr=log, env=environment)
        self.connection = None

    def __enter__(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                if self.request("GET", "/ping")[0] == 204:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"influxd did not start; its log:\n{self.log.read_text()}")
            time.sleep(0.02)

    def __exit__(self, *_):
        # What it holds is thrown away.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()

    def request(self, method, path, body=None):
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def query(self, text, **parameters):
        """The series of all statements; numbers are exact."""
        parameters = urllib.parse.urlencode({"q": text, "epoch": "ns"} | parameters)
        status, answer = self.request("POST", f"/query?{parameters}")
        # Bytes that are not UTF-8 come as one U+FFFD each; how many they were does not matter.
        answer = re.sub(r"(\\ufffd)+", r"\\ufffd", answer.decode())
        results = json.loads(answer, parse_int=Number, parse_float=Number)
        if status != 200 or any("error" in result for result in results["results"]):
            raise SystemExit(f"influxd answers {status} {answer:.500} to {text!r}")
        return [series for result in results["results"] for series in result.get("series", [])]

    def create(self, database):
        # Few shards: each costs files.
        self.query(f'CREATE DATABASE "{database}" WITH DURATION INF SHARD DURATION 10000w NAME "autogen"')

    def write(self, database, body, precision="ns"):
        """(status, error or "")."""
        precision = {"us": "u"}.get(precision, precision)
        status, answer = self.request("POST", f"/write?db={database}&precision={precision}", body)
        return status, json.loads(answer)["error"] if answer else ""

    def rows(self, database, policy="autogen"):
        """{(measurement, tags, time): {field: (type, value)}} of a retention policy. The type is "number" where a field has two that look alike."""
        rows = {}
        # Without a source only measurements of the default policy are shown.
        sources = "" if policy == "autogen" else f"FROM {identifier(policy)}./.*/"
        for series in self.query(f"SHOW FIELD KEYS {sources}", db=database):
            kinds = collections.defaultdict(set)
            for field, kind in series["values"]:
                kinds[field].add(kind)
            # Of two types of a field a query shows only one, unless it is of one shard.
            several = any(len(of_field) > 1 for of_field in kinds.values())
            for condition in map(between, SHARDS) if several else [""]:
                query = f"SELECT *::field FROM {identifier(policy)}.{source(series['name'])} {condition} GROUP BY *"
                for found in self.query(query, db=database):
                    if found["name"] == series["name"]:
                        rows |= rows_of(found, kinds)
        return rows


def between(shard):
    return f"WHERE time >= {shard.start} AND time < {shard.stop}"


def identifier(name):
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def source(measurement):
    """The measurement as a query names it: quoted, or as an expression (which others may fit, too) where a byte cannot be quoted."""
    if measurement.isprintable() and "\ufffd" not in measurement:
        return identifier(measurement)
    letters = (letter if (letter.isalnum() and letter.isascii()) or letter == "\ufffd" else "." for letter in measurement)
    return "/(?s)^" + "".join(".+" if letter == "\ufffd" else letter for letter in letters) + "$/"


def rows_of(series, kinds):
    # A tag that the series does not have is empty.
    tags = tuple(sorted((key, value) for key, value in series.get("tags", {}).items() if value != ""))
    rows = {}
    for time_ns, *values in series["values"]:
        fields = zip(series["columns"][1:], values, strict=True)
        row = {field: typed(value, kinds[field]) for field, value in fields if value is not None}
        if row:
            rows[series["name"], tags, int(time_ns)] = row
    return rows


class Number(str):
    """A number as it was written in JSON, so that -0 and large integers stay what they are."""


def typed(value, kinds):
    """(type, value) of a field that has these types."""
    if isinstance(value, bool):
        return "boolean", value
    if not isinstance(value, Number):
        return "string", value
    if {"float", "integer"} <= kinds:
        return "number", float(value)
    return ("integer", int(value)) if "integer" in kinds else ("float", float(value))
