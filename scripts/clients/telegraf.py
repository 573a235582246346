"""Telegraf's outputs.influxdb and outputs.influxdb_v2, replayed.

This is a replay, not Telegraf: its requests are written here byte for byte, as plugins/outputs/influxdb/http.go, plugins/outputs/influxdb_v2/http.go
and Go's net/http make them, and its reaction to an answer is what those files do with it.
"""

import base64
import gzip as compression
import json
import socket
import struct
import zlib

from clients.weather import GOOD_PART, MALFORMED, PARTLY_GOOD, SECOND, expect, expect_stored, stored
from node import Node

NAME = "Telegraf (replayed)"
NOT_OFFERED = {}

# An example of a version.
AGENT = "Telegraf/1.36.1 Go/1.25.1"
# What one gather of the inputs cpu and mem looks like.
GATHERED = [
    f"cpu,cpu=cpu-total,host=a usage_idle=97.97979797987,usage_user=1.0101010101 {SECOND}000000000",
    f"mem,host=a used_percent=41.5,total=16777216000i,active=true {SECOND}000000000",
]
# As many as one request has, unless metric_batch_size says otherwise.
BATCH = [f"load,host=h{number} load1={number * 0.1} {SECOND}000000000" for number in range(1000)]
SECONDS_MAX = 60


def accepted(lines):
    return "".join(line + "\n" for line in lines).encode()


def gzip_pieces(data):
    """What Go's compress/gzip hands on, piece by piece: head, deflated data 240 bytes at a time, checksum and size.

    Each becomes a chunk. The data is deflated by zlib, whose choices are not quite Go's.
    """
    deflate = zlib.compressobj(wbits=-15)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    deflated = deflate.compress(data) + deflate.flush()
    middle = [deflated[start : start + 240] for start in range(0, len(deflated), 240)]
    return [head, *middle, struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)]


def request(address, path, headers, pieces, chunked):
    """What is sent, in net/http's order: Host, User-Agent, the body's framing, the plugin's headers sorted, what the transport adds."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
    lines = [f"POST {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", f"User-Agent: {AGENT}", framing]
    lines += [f"{name}: {value}" for name, value in sorted(headers.items()) if value is not None]
    yield "\r\n".join([*lines, "Accept-Encoding: gzip", "", ""]).encode()
    if not chunked:
        yield from pieces
        return
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


class Connection:
    """A kept connection, as Go's transport keeps it: a new one only after an answer that says `Connection: close`."""

    def __init__(self, node):
        self.address = ("127.0.0.1", node.port)
        self.socket = None

    def open(self):
        self.socket = socket.create_connection(self.address, SECONDS_MAX)
        self.answers = self.socket.makefile("rb")

    def close(self):
        self.answers.close()
        self.socket.close()
        self.socket = None

    def post(self, path, headers, pieces, chunked):
        if not self.socket:
            self.open()
        for part in request(self.address, path, headers, pieces, chunked):
            self.socket.sendall(part)
        return self.answer()

    def answer(self):
        """(status, headers in lower case, body)."""
        status = int(self.answers.readline().split()[1])
        headers = {}
        while (line := self.answers.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = b"" if status == 204 else self.answers.read(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return status, headers, body.decode()


class V1:
    """outputs.influxdb with content_encoding = "gzip", and with username and password where given."""

    def __init__(self, node, database, user=None, password=None, compressed=True):
        self.connection = Connection(node)
        self.database = database
        self.compressed = compressed
        self.authorization = None
        if user:
            self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def create_database(self):
        """At the start, and when a write says "database not found"; True when Telegraf takes it as done."""
        headers = {"Authorization": self.authorization, "Content-Type": "application/x-www-form-urlencoded"}
        body = f"q=CREATE+DATABASE+%22{self.database}%22".encode()
        status, _, answer = self.connection.post("/query", headers, [body], chunked=False)
        return status == 200 and "error" not in json.loads(answer)["results"][0]

    def write(self, lines):
        headers = {
            "Authorization": self.authorization,
            "Content-Encoding": "gzip" if self.compressed else None,
            "Content-Type": "text/plain; charset=utf-8",
        }
        data = accepted(lines)
        pieces = gzip_pieces(data) if self.compressed else [data]
        return self.connection.post(f"/write?db={self.database}", headers, pieces, chunked=True)

    def reaction(self, answer):
        """What writeBatch does with an answer."""
        status, _, body = answer
        if status == 204:
            return "done"
        try:
            error = json.loads(body).get("error", "")
        except ValueError:
            # An answer that is not the node's, but a proxy's page.
            return "keep and retry"
        if "database not found" in error:
            return "create the database, then again"
        if 400 <= status < 500:
            return "drop"
        gone = ("retention policy not found", "hinted handoff queue not empty", "points beyond retention policy", "partial write", "unable to parse")
        return "drop" if any(text in error for text in gone) else "keep and retry"


class V2:
    """outputs.influxdb_v2, whose content_encoding is "gzip" unless told otherwise."""

    def __init__(self, node, bucket, token="any", compressed=True):
        self.connection = Connection(node)
        self.path = f"/api/v2/write?bucket={bucket}&org=any"
        self.token = token
        self.compressed = compressed

    def write(self, lines):
        headers = {
            "Authorization": f"Token {self.token}",
            "Content-Encoding": "gzip" if self.compressed else None,
            "Content-Type": "text/plain; charset=utf-8",
        }
        data = accepted(lines)
        # It has the whole body at hand, but does not let net/http know.
        pieces = [b"".join(gzip_pieces(data))] if self.compressed else [data]
        return self.connection.post(self.path, headers, pieces, chunked=True)

    def reaction(self, answer):
        """What writeBatch does with an answer."""
        status, headers, _ = answer
        if status in (200, 201, 202, 204, 206, 207, 208):
            return "done"
        if status == 413:
            return "split and retry"
        if status in (401, 403):
            return "keep and retry"
        if status in (429, 502, 503, 504):
            return "wait and retry" if float(headers.get("retry-after", 0)) > 0 else "retry at once"
        return "drop" if 400 <= status < 500 else "keep and retry"


def expect_reaction(output, answer, status, reaction):
    expect(f"status and reaction of {type(output).__name__} are", (answer[0], output.reaction(answer)), (status, reaction))


def expect_gathered(node, bucket):
    at = SECOND * 10**9
    expect(f"cpu of {bucket}", stored(node, bucket, "host, cpu, usage_idle", "cpu"), [(at, "a", "cpu-total", 97.97979797987)])
    expect(f"mem of {bucket}", stored(node, bucket, "used_percent, total, active", "mem"), [(at, 41.5, 16777216000, True)])


def write_gathered(node, name, compressed):
    v1, v2 = V1(node, f"{name}_v1", compressed=compressed), V2(node, f"{name}_v2", compressed=compressed)
    expect("Telegraf takes its database as created", v1.create_database(), True)
    # Each keeps its connection for the next interval.
    for lines in (GATHERED, BATCH):
        for output in (v1, v2):
            expect_reaction(output, output.write(lines), 204, "done")
    expect_gathered(node, f"{name}_v1")
    expect_gathered(node, f"{name}_v2")
    loads = [(SECOND * 10**9, f"h{number}", number * 0.1) for number in range(1000)]
    expect_stored(node, f"{name}_v2", loads, "host, load1", "load")


def create_when_told(node):
    """Where a write makes no bucket, its answer makes Telegraf create the database and write again."""
    with Node(node.binary, "--auto-create-buckets=false", "--flush-interval", "1h") as strict:
        output = V1(strict, "telegraf_strict")
        expect_reaction(output, output.write(GATHERED), 404, "create the database, then again")
        expect("Telegraf takes its database as created", output.create_database(), True)
        expect_reaction(output, output.write(GATHERED), 204, "done")
        expect_gathered(strict, "telegraf_strict")


def success(node):
    write_gathered(node, "telegraf", compressed=False)
    # The default limit of a body is 25 MB; outputs.influxdb_v2 sends halves then.
    output = V2(node, "telegraf_large")
    expect_reaction(output, output.write(["m f=1 " + str(SECOND), "#" * 26_000_000]), 413, "split and retry")
    create_when_told(node)


def gzip(node):
    write_gathered(node, "telegraf_gzip", compressed=True)


def partial_write(node):
    for output, bucket in ((V1(node, "telegraf_partial"), "telegraf_partial"), (V2(node, "telegraf_partial_v2"), "telegraf_partial_v2")):
        # What was taken is stored, what was not would be refused again.
        expect_reaction(output, output.write(PARTLY_GOOD), 422, "drop")
        expect_reaction(output, output.write([MALFORMED]), 400, "drop")
        expect_stored(node, bucket, GOOD_PART)


def credentials(node):
    writer, elsewhere = node.tokens["writer"], node.tokens["elsewhere"]
    # outputs.influxdb drops what it cannot write for want of credentials; outputs.influxdb_v2 keeps it.
    for output, status in ((V1(node, "telegraf_guarded"), 403), (V1(node, "telegraf_guarded", "any", elsewhere), 401)):
        expect_reaction(output, output.write(GATHERED), status, "drop")
    for token in ("any", elsewhere):
        output = V2(node, "telegraf_guarded_v2", token)
        expect_reaction(output, output.write(GATHERED), 401, "keep and retry")
    v1 = V1(node, "telegraf_guarded", "any", writer)
    expect("Telegraf takes its database as created", v1.create_database(), True)
    expect_reaction(v1, v1.write(GATHERED), 204, "done")
    expect_gathered(node, "telegraf_guarded")


def quota(node):
    v1 = V1(node, "telegraf_quota", "any", node.metered(), compressed=False)
    expect_reaction(v1, v1.write(node.over_quota()), 204, "done")
    # This one loses the batch: docs/CLIENTS.md says so.
    expect_reaction(v1, v1.write(GATHERED), 429, "drop")
    v2 = V2(node, "telegraf_quota", node.metered(), compressed=False)
    expect_reaction(v2, v2.write(node.over_quota()), 204, "done")
    expect_reaction(v2, v2.write(GATHERED), 429, "wait and retry")


def overload(node):
    v1, v2 = V1(node, "telegraf_overload_v1"), V2(node, "telegraf_overload_v2")
    expect_reaction(v1, v1.write(GATHERED), 503, "keep and retry")
    expect_reaction(v2, v2.write(GATHERED), 503, "wait and retry")
    node.wait_for_room()
    for output in (v1, v2):
        expect_reaction(output, output.write(GATHERED), 204, "done")
    expect_gathered(node, "telegraf_overload_v1")
    expect_gathered(node, "telegraf_overload_v2")
