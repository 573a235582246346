"""The clients: threads of a few processes, each with one connection at a time and a journal of what it sent and was told."""

import multiprocessing
import random
import sys
import threading
import time

from . import connection, workload
from .journal import UNANSWERED, Answer, Writer
from .requests import Points, Registers

PROCESSES = 2
CLIENTS = 12
# Every third client owns registers, and sends nothing else.
REGISTER_CLIENTS = 3
ANSWER_SECONDS_MAX = 60
# A node that is not ready says so at once; clients of a campaign come back sooner than a polite client would.
PAUSE_SECONDS = 0.01
BUSY_SECONDS = 0.03
THINK_SECONDS = 0.006
CHUNK_BYTES = 700


def start(stage, folder, seed, origin):
    """Forks the writers' processes."""
    fork = multiprocessing.get_context("fork")
    shares = [range(first, CLIENTS, PROCESSES) for first in range(PROCESSES)]
    processes = [fork.Process(target=run, args=(stage, folder, seed, origin, share), daemon=True) for share in shares]
    for process in processes:
        process.start()
    return processes


def run(stage, folder, seed, origin, share):
    # Threads that wait for an answer should get it at once, although others are building bodies.
    sys.setswitchinterval(0.001)
    threads = [threading.Thread(target=Client(stage, folder, seed, origin, index).run) for index in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Client:
    def __init__(self, stage, folder, seed, origin, index):
        self.stage, self.origin, self.index = stage, origin, index
        self.rng = random.Random(f"{seed} {index}")
        self.journal = Writer(folder / f"client-{index:02}.jsonl")
        self.source = Registers(index, self.rng) if index % REGISTER_CLIENTS == 0 else Points(index, self.rng)
        # Another connection is likely to be another shard; the owner of a register changes often.
        self.change = 0.5 if index % REGISTER_CLIENTS == 0 else 0.1
        self.connection = None

    def run(self):
        while not self.stage.ended.value:
            self.stage.quiet[self.index] = 0
            port = self.stage.port.value
            if port == 0:
                self.rest()
                continue
            if not self.connect(port):
                time.sleep(PAUSE_SECONDS)
                continue
            self.step()

    def rest(self):
        self.disconnect()
        self.journal.flush()
        self.stage.quiet[self.index] = 1
        while self.stage.port.value == 0 and not self.stage.ended.value:
            time.sleep(PAUSE_SECONDS / 2)

    def connect(self, port):
        if self.connection is not None and self.rng.random() >= self.change:
            return True
        self.disconnect()
        try:
            self.connection = connection.Connection(port, ANSWER_SECONDS_MAX)
        except OSError:
            return False
        return True

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def step(self):
        request = self.source.next(self.stage.life.value, self.stage.finite.value, self.stage.heavy.value)
        message = self.message(request)
        if request.kind == "race":
            # All that take part send at the same moment.
            time.sleep(max(0, request.extra["moment"] - time.monotonic()))
        answer = self.send(message)
        self.journal.add(request, answer)
        self.source.told(request, answer)
        if answer.status == UNANSWERED:
            self.disconnect()
        time.sleep(BUSY_SECONDS if answer.status == 503 else self.rng.expovariate(1 / THINK_SECONDS))

    def message(self, request):
        body = workload.encode(request, workload.points(request, self.origin))
        bucket, precision = request.bucket, request.precision
        if "v2" in request.sending:
            path = f"/api/v2/write?org=o&bucket={bucket.replace('/', '%2F')}&precision={precision}"
        else:
            database, _, policy = bucket.partition("/")
            path = f"/write?db={database}&precision={precision}" + (f"&rp={policy}" if policy else "")
        headers = ["Content-Encoding: gzip"] if "gzip" in request.sending else []
        return connection.post(path, body, headers, CHUNK_BYTES if "chunked" in request.sending else None)

    def send(self, message):
        try:
            status, headers, body = self.connection.exchange(message)
        except connection.Dead as death:
            return Answer(UNANSWERED, None, str(death))
        if headers.get("connection", "").lower() == "close":
            self.disconnect()
        return judged(status, headers, body)


def judged(status, headers, body):
    if status == 204:
        return Answer(204)
    text = body.decode(errors="replace")
    if status == 503 and "retry-after" not in headers:
        text = f"without Retry-After: {text}"
    _, mark, count = headers.get("x-influxdb-error", "").rpartition(" dropped=")
    dropped = int(count) if status == 422 and mark and count.isdigit() else None
    # Of what can go wrong the beginning tells enough.
    return Answer(status, dropped, text[:300] if status != 503 or "without" in text else "")
