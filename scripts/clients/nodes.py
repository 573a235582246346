"""The nodes that the clients meet: one open to all, one that asks for tokens, one whose log is full."""

import threading
import time

from clients.weather import Unexpected
from node import Client, Node

METERED_MAX = 20
QUOTA_BYTES = 2048
FILLING_MAX = 1000
RELIEF_SECONDS_MAX = 60


class Open(Node):
    def __init__(self, binary):
        super().__init__(binary, "--flush-interval", "1h")


class Guarded(Node):
    """Takes tokens only: "writer" may write everywhere, "elsewhere" to other buckets than those of the checks."""

    def __init__(self, binary):
        metered = {f"metered{number}": ["--write", "*", "--quota", str(QUOTA_BYTES)] for number in range(METERED_MAX)}
        tokens = {"writer": ["--write", "*"], "elsewhere": ["--write", "elsewhere"]} | metered
        super().__init__(binary, "--flush-interval", "1h", "--auth", "required", tokens=tokens)
        self.unused = list(metered)

    def metered(self):
        """A token with a small quota that nobody has used yet."""
        return self.tokens[self.unused.pop()]

    def flush(self):
        status, answer = Client(self).request("POST", "/api/flush", b"", {"Authorization": f"Token {self.tokens['writer']}"})
        if status != 204:
            raise Unexpected(f"POST /api/flush: {status} {answer}")

    def over_quota(self):
        """Lines of several seconds' quota."""
        note = "x" * (QUOTA_BYTES // 2)
        return [f'weather,place=p{number} degrees={number},note="{note}" {number + 1}' for number in range(8)]


class Full(Node):
    """Its log is full, and nothing can be published, until `relieve` is called."""

    def __init__(self, binary):
        super().__init__(binary, "--flush-interval", "1h", "--wal-size-limit", "32MiB", "--max-body-size", "4MB", "--shards", "1")
        self.room = threading.Event()

    def __enter__(self):
        super().__enter__()
        # Files are made in tmp/ before they are published.
        self.tmp, self.aside = self.data_dir / "tmp", self.data_dir / "aside"
        self.tmp.rename(self.aside)
        self.tmp.touch()
        try:
            self.fill()
        except BaseException:
            self.process.kill()
            raise
        return self

    def fill(self):
        client = Client(self)
        for size in (900_000, 9_000, 20):
            line = b'fill text="%s" 1' % (b"x" * size)
            for _ in range(FILLING_MAX):
                status, _ = client.request("POST", "/write?db=fill", line)
                if status != 204:
                    break
            else:
                raise Unexpected(f"a log of 32 MiB takes {FILLING_MAX} times {size} bytes")

    def relieve(self):
        self.tmp.unlink()
        self.aside.rename(self.tmp)
        client, deadline = Client(self), time.monotonic() + RELIEF_SECONDS_MAX
        while client.request("POST", "/write?db=fill", b"relief f=1")[0] != 204:
            if time.monotonic() > deadline:
                raise Unexpected(f"no room in the log after {RELIEF_SECONDS_MAX} s")
            time.sleep(0.1)
        self.room.set()

    def wait_for_room(self):
        if not self.room.wait(RELIEF_SECONDS_MAX):
            raise Unexpected("nobody relieves the node")
