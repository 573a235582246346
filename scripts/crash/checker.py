"""Compares the lake with what was answered, after a clean stop.

Files never change, so each is read once; what they hold is kept as numbers. What an answer promises:

    204, 422     every point that was kept is there once, with its values; none that was dropped is there; `dropped=` counts them
    400          nothing is there, and nothing was born
    none, 503    all that would have been kept is there once, or nothing is

A point is kept unless the types of its fields, which the lake shows, or its bucket's retention say otherwise: both are fixed at birth,
so the same rule judges every request of every life.
"""

import collections

import lake

from . import workload
from .registers import Registers
from .workload import BASE_TAGS, BASE_TYPES, NEVER, OLD_DAY, STRING_BYTES_MAX

KIND_OF = {arrow: kind for kind, arrow in lake.TYPES.items()}
BASE_TABLES = {"u0", "u1", "u2", "bulk", "reg0", "reg1"}
# More do not tell more; of each promise so many are shown.
VIOLATIONS_MAX = 500
EXAMPLES_MAX = 5
SOUND_KINDS = {"points", "bulk", "probe"}
# Request kinds of which nothing may ever be found, nor be born.
NOTHING_KINDS = {"ghost", "bad"}

KEPT, DROPPED, UNBORN = "kept", "dropped", "unborn"


class Checker:
    def __init__(self, data_dir, origin):
        self.data_dir, self.origin = data_dir, origin
        self.entries = {}
        # By life: whether a bucket born in it gets a finite retention.
        self.finite_lives = {}
        self.names = set(BASE_TYPES) | BASE_TAGS
        self.tables = set(BASE_TABLES)
        self.buckets = collections.defaultdict(Bucket)
        self.violations = []
        # By promise: how often it was broken.
        self.broken = collections.Counter()
        self.forget_files()

    def forget_files(self):
        self.files = {}
        # Request number -> {place in the request: file}.
        self.found = collections.defaultdict(dict)
        # (bucket, table, field) -> (type, the first file that shows it).
        self.types = {}
        self.registers = Registers(self.origin, self.violate)
        for entry in self.entries.values():
            self.registers.add(entry)

    def violate(self, promise, sentence):
        self.broken[promise] += 1
        if self.broken[promise] <= EXAMPLES_MAX:
            self.violations.append(f"{promise}: {sentence}")

    def add(self, entry):
        """An entry of the journal."""
        request = entry.request
        self.entries[request.number] = entry
        self.registers.add(entry)
        if request.kind in NOTHING_KINDS:
            return
        self.buckets[request.bucket].add(entry, self.finite_lives.get(request.life, False))
        self.tables.update(table for table, _ in request.extra.get("places", ()))
        if request.kind == "race":
            self.tables.add(request.extra["table"])
            self.names.update(name for name, _, _ in request.extra["births"])

    def check(self, last=False):
        """Reads what is new in the lake and judges every request; returns the number of points that were found as promised."""
        if last:
            self.forget_files()
        self.read_files()
        if self.broken.total() >= VIOLATIONS_MAX:
            # What was not read would count as lost.
            return 0
        for bucket in self.buckets.values():
            bucket.guessed = None
        for entry in self.entries.values():
            if self.broken.total() >= VIOLATIONS_MAX:
                break
            self.judge(entry, last)
        self.registers.judge()
        return sum(len(places) for places in self.found.values()) + self.registers.values_found()

    def written_tables(self):
        """(bucket, table) of everything that was acknowledged."""
        acknowledged = (entry.request for entry in self.entries.values() if entry.acknowledged and entry.request.kind not in NOTHING_KINDS)
        tables = set()
        for request in acknowledged:
            if request.kind == "race":
                tables.add((request.bucket, request.extra["table"]))
            if request.kind != "registers":
                tables.update((request.bucket, table) for table, _ in request.extra["places"])
        return tables

    # Reading

    def read_files(self):
        root = self.data_dir / "lake"
        paths = [path for path in root.rglob("*") if path.is_file()] if root.exists() else []
        if self.files.keys() - set(paths):
            # Files were merged into others: what is there now is judged from scratch.
            self.forget_files()
        news = [path for path in paths if path not in self.files]
        self.points = {}
        for path in sorted(news, key=lambda path: (path.parent, path.name)):
            if self.broken.total() >= VIOLATIONS_MAX:
                break
            try:
                self.read_file(lake.File(path))
            except lake.Broken as broken:
                self.violate("a file of the lake is as the format says", str(broken))
        self.points = {}

    def read_file(self, file):
        self.files[file.path] = file.order
        table = (file.bucket, file.measurement)
        if file.bucket.startswith(NEVER) or file.bucket not in self.buckets or file.measurement not in self.tables:
            self.violate("what was refused bears nothing", f"{file.path} is of bucket {file.bucket!r}, table {file.measurement!r}, which no accepted request names")
        columns = [*file.tags, *file.fields]
        for name in {file.original_name(column) for column in columns} - self.names:
            self.violate("what was refused bears nothing", f"{file.path} has column {name!r}, which no accepted point carried")
        for column in file.fields:
            self.read_type(table, file, column)
        for (tags, time), fields in file.rows():
            if "req" in fields:
                self.read_point(file, tags, time, fields)
            else:
                self.registers.read(file, tags, time, fields)

    def read_type(self, table, file, column):
        name = file.original_name(column)
        kind = KIND_OF.get(file.schema.field(column).type, "of no type of line protocol")
        first, where = self.types.setdefault((*table, name), (kind, file.path))
        if kind != first:
            self.violate("a field's type never changes", f"field {name!r} is {kind} in {file.path}, but {first} in {where}")
        if kind != BASE_TYPES.get(name, kind):
            self.violate("a field's type never changes", f"field {name!r} is {kind} in {file.path}, though it was born as {BASE_TYPES[name]}")

    def read_point(self, file, tags, time, fields):
        number, index = fields["req"], fields.get("idx")
        entry = self.entries.get(number)
        if entry is None or index is None or not 0 <= index < entry.request.size:
            self.violate("nothing is there that was not written", f"{file.path} holds {tags} {time} {fields}, which nobody wrote")
            return
        request = entry.request
        if number not in self.points:
            self.points[number] = workload.points(request, self.origin)
        expected = self.points[number][index]
        values = {name: value for name, _, value in expected.fields if name != "time"}
        place = (request.bucket, expected.table, expected.tags, expected.time)
        if place != (file.bucket, file.measurement, tags, time) or values != fields:
            shown = {name: clipped(value) for name, value in fields.items()}
            wanted = {name: clipped(value) for name, value in values.items()}
            self.violate(
                "a point has the values that it was written with",
                f"{file.path} shows {tags} {time} {shown}, written was {expected.table} {expected.tags} {expected.time} {wanted} by {entry}",
            )
        places = self.found[number]
        if index in places:
            self.violate("no point is applied twice", f"point {index} stands in {places[index]} and in {file.path}: {entry}")
        places[index] = file.path

    # Judging

    def judge(self, entry, last):
        request, answer = entry.request, entry.answer
        if not self.answer_is_possible(request, answer):
            self.violate("a request gets the answer that it deserves", str(entry))
            return
        if request.kind == "registers":
            return
        found = self.found.get(request.number, {})
        if entry.settled == len(found) and not last:
            return
        if entry.settled is not None and entry.settled != len(found):
            self.violate("nothing comes or goes after a clean stop", f"{entry.settled} points were there before, now {len(found)}: {entry}")
        entry.settled = len(found)
        fates = self.fates(request)
        kept = {index for index, fate in enumerate(fates) if fate == KEPT}
        self.judge_found(entry, found, fates)
        if entry.acknowledged:
            self.judge_acknowledged(entry, found, kept, fates, last)
        elif entry.unknown and found and found.keys() != kept:
            missing = kept - found.keys()
            self.violate("an unanswered request is there wholly or not at all", f"{len(found)} points are there, {len(missing)} are not, such as {least(missing)}: {entry}")

    def answer_is_possible(self, request, answer):
        if answer.status == 503:
            return "without Retry-After" not in answer.message
        if answer.status == 0:
            return "timed out" not in answer.message
        if request.kind == "bad":
            return answer.status == 400
        if request.kind in SOUND_KINDS or request.kind == "registers":
            return answer.status == 204
        return answer.status in (204, 422)

    def judge_found(self, entry, found, fates):
        for index, path in found.items():
            if fates[index] == DROPPED:
                promise = "a dropped point never appears" if entry.request.kind != "bad" else "nothing of a malformed request appears"
                self.violate(promise, f"point {index} is in {path}: {entry}")
                return

    def judge_acknowledged(self, entry, found, kept, fates, last):
        request, answer = entry.request, entry.answer
        missing = kept - found.keys()
        if missing:
            self.violate("an acknowledged point is there", f"{len(missing)} points are lost, such as {least(missing)}: {entry}")
            return
        # A field that nobody bore drops no point; but before the last look its column may have no file yet.
        unborn = fates.count(UNBORN)
        if unborn and last:
            self.violate("an acknowledged point is there", f"{unborn} points bear fields that the lake does not know: {entry}")
        dropped = answer.dropped if answer.status == 422 else 0
        if dropped != request.size - len(found):
            self.violate("`dropped=` counts the dropped points", f"{request.size - len(found)} of {request.size} points are not there: {entry}")
        stripped = any(fault == "time" for _, fault in request.extra.get("faults", ()))
        if (answer.status == 422) != (dropped != 0 or stripped):
            self.violate("a request gets the answer that it deserves", str(entry))

    def fates(self, request):
        if request.kind in SOUND_KINDS:
            return [KEPT] * request.size
        if request.kind in NOTHING_KINDS:
            return [DROPPED] * request.size
        return [self.fate(request.bucket, point) for point in workload.points(request, self.origin)]

    def fate(self, bucket, point):
        fields = [field for field in point.fields if field[0] != "time"]
        if not fields or any(kind == "string" and len(value) > STRING_BYTES_MAX for _, kind, value in fields):
            return DROPPED
        is_old = point.time < self.origin + OLD_DAY // 2 * workload.DAY_NS
        if is_old and self.is_finite(bucket):
            return DROPPED
        types = [(self.types.get((bucket, point.table, name), (None,))[0], kind) for name, kind, _ in fields]
        if any(born is not None and born != kind for born, kind in types):
            return DROPPED
        return UNBORN if any(born is None for born, _ in types) else KEPT

    def is_finite(self, name):
        """A bucket that either of two lives may have made is judged by what it holds."""
        bucket = self.buckets[name]
        if bucket.finite is None:
            bucket.guessed = not self.holds_old_points(name)
        return bucket.finite

    def holds_old_points(self, bucket):
        for number, places in self.found.items():
            request = self.entries[number].request
            if request.kind == "mix" and request.bucket == bucket:
                if any(fault == "old" and index in places for index, fault in request.extra["faults"]):
                    return True
        return False


class Bucket:
    """When a bucket may have been born, and with what retention."""

    def __init__(self):
        # By life: whether the bucket's retention is finite if that life made it.
        self.lives = {}
        # The life of its first acknowledged request.
        self.born_by = None
        self.guessed = None

    def add(self, entry, finite):
        life = entry.request.life
        self.lives[life] = finite
        if entry.answer.status == 204 and (self.born_by is None or life < self.born_by):
            self.born_by = life

    @property
    def finite(self):
        possible = {finite for life, finite in self.lives.items() if self.born_by is None or life <= self.born_by}
        return possible.pop() if len(possible) == 1 else self.guessed


def clipped(value):
    return f"{value[:40]}... ({len(value)} bytes)" if isinstance(value, str) and len(value) > 80 else value


def least(indexes):
    return min(indexes, default=None)
