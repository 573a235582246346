"""Proves that the crash campaign raises the alarm: made-up answers and a lake that keeps all promises pass, and each broken promise is
reported. What the writers send is read by a second parser.
"""

import environment  # noqa: F401

import collections
import gzip
import json
import pathlib
import random
import struct
import tempfile
import unittest
import zlib

import pyarrow
import pyarrow.parquet

import lake
import lineproto
from crash import journal, manifest, requests, workload
from crash.checker import Checker
from crash.journal import Answer, Entry
from crash.life import Binary
from crash.workload import Request

ORIGIN = 1767225600 * 10**9
OK, LOST = Answer(204), Answer(0, None, "the node closed the connection")
# Two lives: what is born in the first gets an infinite retention, in the second a finite one.
FINITE_LIVES = {1: False, 2: True}


def points(number, size=3, places=(("u0", 0),), kind="points", life=1, bucket="main", **extra):
    return Request(number, kind, 1, life, bucket, "us", number * 1000, size, {"places": list(places), **extra}, [])


def race(number, kind, name="x1"):
    extra = {"table": "race0", "day": 0, "births": [[name, "field", kind]], "places": [["u0", 1]]}
    return Request(number, "race", 1, 1, "main", "ns", number * 1000, 2, extra, [])


def registers(number, *lines):
    return Request(number, "registers", 0, 1, "main", "s", 0, len(lines), {"lines": [list(line) for line in lines]}, [])


def dropped(count):
    return Answer(422, count, "")


REGISTERS = [
    (registers(100, ("reg0", "a", 0, ["f0", "g0"], 1), ("reg1", "b", 1, ["f0", "h0"], 2)), OK),
    (registers(101, ("reg0", "a", 0, ["f0"], 3), ("reg1", "b", 1, ["f0"], 4)), OK),
    (registers(102, ("reg0", "a", 0, ["f0"], 5), ("reg1", "b", 1, ["h0"], 6)), LOST),
]
# What a sound campaign may have seen: (request, answer, places in the request that must be found).
STORY = [
    (points(1), OK, [0, 1, 2]),
    (points(2, 4, [("u0", 0), ("u1", 1)]), OK, [0, 1, 2, 3]),
    (points(3, 4, [("u0", 0), ("u1", 1)]), LOST, []),
    (points(4, 4, [("u0", 0), ("u1", 1)]), Answer(503), [0, 1, 2, 3]),
    (points(5, 4, kind="mix", faults=[[1, "conflict"], [2, "old"]]), dropped(1), [0, 2, 3]),
    (points(6, 1, life=2, bucket="late"), OK, [0]),
    (points(7, 4, kind="mix", life=2, bucket="late", faults=[[1, "conflict-tag"], [2, "old"]]), dropped(2), [0, 3]),
    (points(8, 3, kind="mix", faults=[[0, "time"], [1, "time-only"]]), dropped(1), [0, 2]),
    (points(9, 2, kind="mix", faults=[[0, "time"]]), dropped(0), [0, 1]),
    (points(10, 2, kind="mix", faults=[[0, "conflict"], [1, "conflict"]]), dropped(2), []),
    (points(11, 2, kind="bad", faults=[[0, "bad"]], broken=1, line="u0 v="), Answer(400), []),
    (points(12, 2, [("never2", 0)], "ghost", 2, "never2", faults=[[0, "ghost"], [1, "ghost"]]), dropped(2), []),
    (race(13, "float"), OK, [0, 1]),
    (race(14, "integer"), dropped(1), [1]),
    (race(15, "boolean"), LOST, [1]),
    (race(16, "boolean"), LOST, []),
]


class World:
    """Answers, and a lake with two epochs: the registers' first request lies in the first, all else in the second."""

    def __init__(self, root):
        self.root = root
        self.answers = {request.number: answer for request, answer, _ in STORY} | {request.number: answer for request, answer in REGISTERS}
        self.requests = {request.number: request for request, _, _ in STORY} | {request.number: request for request, _ in REGISTERS}
        # Epoch -> [(bucket, point)].
        self.epochs = collections.defaultdict(list)
        for request, _, found in STORY:
            for index in found:
                self.add(2, request.number, index)
        self.add(1, 100, 0)
        self.add(1, 100, 1)
        self.add(2, 101, 0)
        self.add(2, 101, 1)

    def point(self, number, index):
        point = workload.points(self.requests[number], ORIGIN)[index]
        return point._replace(fields=tuple(field for field in point.fields if field[0] != "time"))

    def add(self, epoch, number, index, change=lambda point: point):
        self.epochs[epoch].append((self.requests[number].bucket, change(self.point(number, index))))

    def remove(self, epoch, number, index):
        self.epochs[epoch].remove((self.requests[number].bucket, self.point(number, index)))

    def replace(self, epoch, number, index, change):
        self.remove(epoch, number, index)
        self.add(epoch, number, index, change)

    def publish(self):
        types = {}
        for epoch, rows in sorted(self.epochs.items()):
            parts = collections.defaultdict(list)
            for bucket, point in rows:
                parts[bucket, point.table, point.time // lake.DAY_NS].append(point)
            for (bucket, table, day), some in parts.items():
                write_file(self.root / "lake", epoch, bucket, table, day, some, types)
        self.epochs.clear()

    def checker(self):
        checker = Checker(self.root, ORIGIN)
        checker.finite_lives = FINITE_LIVES
        for number, request in self.requests.items():
            checker.add(Entry(request, self.answers[number]))
        return checker


def write_file(root, epoch, bucket, table, day, rows, types):
    tags = sorted({name for row in rows for name, _ in row.tags})
    fields = {name: kind for row in rows for name, kind, _ in row.fields}
    rows = sorted(rows, key=lambda row: ([dict(row.tags).get(tag, "") for tag in tags], row.time))
    data = {"time": [row.time // 1000 for row in rows], "time_ns_rem": [row.time % 1000 for row in rows]}
    data |= {tag: [dict(row.tags).get(tag) for row in rows] for tag in tags}
    values = [{name: value for name, _, value in row.fields} for row in rows]
    data |= {name: [of.get(name) for of in values] for name in fields}
    schema = [pyarrow.field("time", pyarrow.timestamp("us", tz="UTC"), nullable=False), pyarrow.field("time_ns_rem", pyarrow.int32(), nullable=False)]
    schema += [pyarrow.field(tag, pyarrow.string()) for tag in tags]
    schema += [pyarrow.field(name, lake.TYPES[kind]) for name, kind in fields.items()]
    schema = pyarrow.schema(schema)
    name = f"{epoch:013}-0000-node.parquet"
    path = root / bucket / table / f"day={lake.EPOCH_START + lake.datetime.timedelta(days=day)}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    order = pyarrow.parquet.SortingColumn
    sorting = [order(schema.names.index(name), nulls_first=True) for name in [*tags, "time"]]
    footer = {"bucket": bucket, "measurement": table, "tags": json.dumps(tags), "node": "node", "epoch": str(epoch)}
    with pyarrow.parquet.ParquetWriter(path, schema, sorting_columns=sorting, store_schema=False) as writer:
        writer.write_table(pyarrow.table(data, schema=schema))
        writer.add_key_value_metadata({f"ringest.{key}": value for key, value in footer.items()})


def with_field(name, kind, value):
    def change(point):
        return point._replace(fields=tuple(field for field in point.fields if field[0] != name) + ((name, kind, value),))

    return change


class Checks(unittest.TestCase):
    def world(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return World(pathlib.Path(folder.name))

    def violations(self, change, last=True):
        world = self.world()
        change(world)
        world.publish()
        checker = world.checker()
        checker.check(last)
        return checker.violations

    def test_kept_promises_pass(self):
        for last in (False, True):
            self.assertEqual(self.violations(lambda world: None, last), [])

    def test_an_unanswered_request_may_be_there_wholly(self):
        def change(world):
            for index in range(4):
                world.add(2, 3, index)
            world.add(3, 102, 0)
            world.add(3, 102, 1)

        self.assertEqual(self.violations(change), [])

    def test_every_broken_promise_is_reported(self):
        def answered(number, answer):
            return lambda world: world.answers.update({number: answer})

        def removed(number, index):
            return lambda world: world.remove(2, number, index)

        def added(epoch, number, index, change=lambda point: point):
            return lambda world: world.add(epoch, number, index, change)

        def replaced(number, index, change):
            return lambda world: world.replace(2, number, index, change)

        def late_dropped(world):
            point = world.point(1, 0)
            world.epochs[2].append(("never2", point))

        cases = {
            "a lost point": ("an acknowledged point is there: 1 points are lost, such as 1: request 1 ", removed(1, 1)),
            "a lost request": ("an acknowledged point is there: 1 points are lost, such as 0: request 6 ", removed(6, 0)),
            "a lost point of a 422": ("an acknowledged point is there: 1 points are lost, such as 3: request 5 ", removed(5, 3)),
            "a lost old point of a bucket that takes them": ("an acknowledged point is there: .* request 5 ", removed(5, 2)),
            "a lost point without its field `time`": ("an acknowledged point is there: .* request 9 ", removed(9, 0)),
            "a doubled point": ("no point is applied twice: point 1 .* request 1 ", added(3, 1, 1)),
            "a doubled point of an unanswered request": ("no point is applied twice: point 2 .* request 4 ", added(3, 4, 2)),
            "half of an unanswered request": ("wholly or not at all: 1 points are there, 3 are not, such as 1: request 3 ", added(2, 3, 0)),
            "one table of an unanswered request": ("wholly or not at all: 3 points are there, 1 are not, such as 3: request 4 ", removed(4, 3)),
            "one sound point of an unanswered race": ("wholly or not at all: .* request 17 ", self.half_race),
            "a dropped point": ("a field's type never changes: field 'v' is string", added(3, 5, 1)),
            "a dropped point that shows as another": ("a point has the values", added(2, 5, 1, with_field("v", "float", 1.0))),
            "a point beyond retention": ("a dropped point never appears: point 2 .* request 7 ", added(2, 7, 2)),
            "a malformed request": ("nothing of a malformed request appears: point 1 .* request 11 ", added(2, 11, 1)),
            "a column of a malformed request": ("bears nothing: .* has column 'never11'", replaced(1, 0, with_field("never11", "float", 1.0))),
            "a ghost's table": ("bears nothing: .* is of bucket 'never2', table 'u0'", late_dropped),
            "a wrong value": ("a point has the values .* by request 2 ", replaced(2, 0, with_field("v", "float", -1.0))),
            "a wrong time": ("a point has the values .* by request 2 ", replaced(2, 0, lambda point: point._replace(time=point.time + 1))),
            "another table": ("a point has the values .* by request 2 ", replaced(2, 0, lambda point: point._replace(table="u1"))),
            "a field too many": ("a point has the values .* by request 2 ", replaced(2, 1, with_field("pad", "string", "x"))),
            "a point of nobody": ("nothing is there that was not written", replaced(1, 0, with_field("req", "integer", 999))),
            "two types acknowledged": ("dropped=.* request 14 ", answered(14, OK)),
            "a type that changes": ("a field's type never changes: field 'x1' is float in .*, but integer in", added(1, 14, 0)),
            "a wrong count of dropped points": ("dropped=.* 1 of 4 .* request 5 ", answered(5, dropped(2))),
            "a 204 that dropped": ("dropped=.* request 10 ", answered(10, OK)),
            "a 204 for a field `time`": ("the answer that it deserves: request 9 ", answered(9, OK)),
            "a 422 that dropped nothing": ("the answer that it deserves: request 13 ", answered(13, dropped(0))),
            "a malformed request acknowledged": ("the answer that it deserves: request 11 ", answered(11, OK)),
            "a sound request refused": ("the answer that it deserves: request 1 ", answered(1, Answer(400))),
            "a fault of the node": ("the answer that it deserves: request 3 ", answered(3, Answer(500))),
            "no Retry-After": ("the answer that it deserves: request 4 ", answered(4, Answer(503, None, "without Retry-After: "))),
            "no answer": ("the answer that it deserves: request 3 ", answered(3, Answer(0, None, "timed out"))),
            "a lost register": (r"last acknowledged value is there: register \('main', 'reg1', 'b', 'f0'\) is stale: .* count 2, .* but 4 ", removed(101, 1)),
            "a stale register": ("the later write wins: .* is stale: count 3 in .*, then 1 in ", self.stale_register),
            "a register applied twice": ("the later write wins: .* is applied twice: count 3 ", added(3, 101, 0)),
            "half of an unanswered overwrite": (r"wholly or not at all: register \('main', 'reg1', 'b', 'h0'\) .* request 102 ", added(3, 102, 0)),
            "a register of nobody": ("nothing is there that was not written: .* count 77 ", added(3, 102, 0, with_field("f0", "integer", 77))),
            "a register elsewhere": ("nothing is there that was not written", added(2, 102, 0, lambda point: point._replace(time=point.time + 1))),
        }
        for name, (sentence, change) in cases.items():
            with self.subTest(name):
                found = self.violations(change)
                self.assertRegex("\n".join(found), sentence)

    @staticmethod
    def half_race(world):
        request = race(17, "float")
        world.requests[17], world.answers[17] = request, LOST
        world.add(2, 17, 1)

    @staticmethod
    def stale_register(world):
        world.add(3, 100, 0)

    def test_what_comes_or_goes_after_a_clean_stop_is_reported(self):
        world = self.world()
        world.publish()
        checker = world.checker()
        checker.check()
        for index in range(4):
            world.add(3, 3, index)
        world.publish()
        checker.check()
        self.assertRegex("\n".join(checker.violations), "comes or goes after a clean stop: 0 points were there before, now 4: request 3 ")

        world = self.world()
        world.publish()
        checker = world.checker()
        checker.check()
        next((world.root / "lake" / "main" / "u1").rglob("*.parquet")).unlink()
        checker.check()
        self.assertRegex("\n".join(checker.violations), "comes or goes after a clean stop")

    def test_a_birth_without_a_file_is_asked_for_at_the_end(self):
        """Nobody knows yet what the field's type is; at the end every column shows."""

        def change(world):
            world.requests = {number: request for number, request in world.requests.items() if request.kind != "race"}
            world.epochs[2] = [(bucket, point) for bucket, point in world.epochs[2] if point.fields[0][2] not in (13, 14, 15)]
            world.requests[14] = race(14, "integer")
            world.add(2, 14, 1)

        self.assertEqual(self.violations(change, last=False), [])
        self.assertRegex("\n".join(self.violations(change)), "bear fields that the lake does not know: request 14 ")


class Workload(unittest.TestCase):
    def everything(self):
        """Requests of all kinds, as the clients choose them."""
        source = requests.Points(1, random.Random(5))
        for count in range(1500):
            request = source.next(1 + count // 500, count >= 500, count % 100 == 99)
            yield request
            source.told(request, OK if request.kind == "points" else dropped(1))
        source = requests.Registers(0, random.Random(6))
        for _ in range(200):
            yield source.next(1, False, False)

    def test_bodies_say_what_the_checker_expects(self):
        kinds = collections.Counter()
        reader = lineproto.Reader()
        for request in self.everything():
            made = workload.points(request, ORIGIN)
            body = workload.encode(request, made)
            kinds[request.kind] += 1
            if "gzip" in request.sending and "torn" not in request.extra:
                body = gzip.decompress(body)
            if request.kind == "bad":
                self.assertTrue("torn" in request.extra or reader.parse(body)[1], request)
                continue
            unit = workload.UNIT_NS[request.precision]
            read, errors = reader.parse(body)
            self.assertEqual(errors, [])
            read = [(point["measurement"], point["tags"], tuple(point["fields"]), point["time"] * unit) for point in read]
            self.assertEqual(read, [(point.table, point.tags, point.fields, point.time) for point in made])
            if request.kind != "registers":
                self.assertEqual(len(made), request.size)
                self.assertEqual(len({(point.table, point.tags, point.time) for point in made}), len(made))
        self.assertEqual(set(kinds), {"points", "mix", "ghost", "bad", "race", "bulk", "registers"})

    def test_a_journal_reads_as_written(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            writer, reader = journal.Writer(folder / "client-00.jsonl"), journal.Reader(folder)
            self.addCleanup(writer.file.close)
            for some in (self.everything(), [points(1)]):
                some = list(some)
                for request in some:
                    writer.add(request, dropped(3))
                writer.flush()
                read = list(reader.news())
                self.assertEqual([entry.request.number for entry in read], [request.number for request in some])
                for entry, request in zip(read, some):
                    self.assertEqual(workload.points(entry.request, ORIGIN), workload.points(request, ORIGIN))
                    self.assertEqual(entry.answer, dropped(3))


class Manifests(unittest.TestCase):
    def test_intents_without_commit_are_told(self):
        def paths(*names):
            return struct.pack("<I", len(names)) + b"".join(struct.pack("<H", len(name)) + name.encode() for name in names)

        def record(kind, epoch, rest=b""):
            body = struct.pack("<QBQ", 0, kind, epoch) + rest
            return b"\xf7rec" + struct.pack("<II", len(body), zlib.crc32(body)) + body

        data = b"ringmani" + struct.pack("<I8sI", 1, b"nodenode", 0)
        data += record(1, 1, paths("lake/a", "lake/b") + paths()) + record(2, 1, bytes(8))
        data += record(1, 2, paths("lake/c") + paths("lake/a")) + record(2, 2, bytes(8))
        data += record(1, 3, paths("lake/d") + paths()) + record(3, 3)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "manifest"
            self.assertEqual(manifest.read(path), manifest.Manifest())
            path.write_bytes(data)
            whole = manifest.read(path)
            self.assertEqual(whole, manifest.Manifest({"lake/b", "lake/c"}))
            path.write_bytes(data + record(1, 4, paths("lake/e") + paths()))
            self.assertEqual(manifest.read(path).intended, {4: {"lake/e"}})
            path.write_bytes(data + record(1, 4)[:-1])
            self.assertEqual((manifest.read(path).torn, manifest.read(path).committed), (True, whole.committed))


class Options(unittest.TestCase):
    def test_only_known_options_are_chosen(self):
        binary = Binary.__new__(Binary)
        binary.options = {"shards": "N", "durability": "memory", "default-retention": "DURATION|inf", "simd": "auto|avx2"}
        rng = random.Random(1)
        seen = [binary.settings(rng) for _ in range(100)]
        self.assertEqual({name for settings in seen for name in settings}, {"shards", "default-retention", "simd"})
        self.assertEqual({settings.get("simd") for settings in seen}, {"auto", None})
        binary.options["durability"] = "sync|write|memory"
        self.assertEqual({binary.settings(rng)["durability"] for _ in range(100)}, {"sync", "write"})


if __name__ == "__main__":
    unittest.main()
