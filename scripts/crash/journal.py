"""What was asked and what was answered: one JSON line per request, one file per client, in the order in which it sent them."""

import dataclasses
import json
import typing

from .workload import Request

UNANSWERED = 0
FIELDS = [field.name for field in dataclasses.fields(Request)]


class Answer(typing.NamedTuple):
    # 0 when the connection ended without an answer.
    status: int
    # The number in `dropped=`, of a 422.
    dropped: int | None = None
    # What the node said, or what happened to the connection.
    message: str = ""


class Entry:
    """One request and its answer."""

    __slots__ = ("request", "answer", "settled")

    def __init__(self, request, answer):
        self.request, self.answer = request, answer
        # How many of its points were found when it was last judged after a clean stop; None before that.
        self.settled = None

    @property
    def acknowledged(self):
        return self.answer.status in (204, 422)

    @property
    def unknown(self):
        """It may have been written wholly or not at all."""
        return self.answer.status in (UNANSWERED, 503)

    def __str__(self):
        request = self.request
        said = f"answered {self.answer.status}" if self.answer.status else "not answered"
        message = f" ({self.answer.message})" if self.answer.message else ""
        return (
            f"request {request.number} [{request.kind}, client {request.client}, life {request.life}, bucket {request.bucket}, precision {request.precision}, "
            f"{request.size} points, {shortened(request.extra)}, {'+'.join(request.sending) or 'plain'}], {said}{message}"
        )


def shortened(extra):
    text = json.dumps(extra)
    return text if len(text) < 400 else f"{text[:400]}..."


class Writer:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1 << 16)

    def add(self, request, answer):
        values = [getattr(request, name) for name in FIELDS]
        self.file.write(json.dumps([values, list(answer)], separators=(",", ":")) + "\n")

    def flush(self):
        self.file.flush()


class Reader:
    """Follows the files of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.offsets = {}

    def news(self):
        """Entries since the last call. The writers must have flushed and be quiet."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path) as file:
                file.seek(self.offsets.get(path, 0))
                for line in iter(file.readline, ""):
                    values, answer = json.loads(line)
                    yield Entry(Request(*values), Answer(*answer))
                self.offsets[path] = file.tell()
