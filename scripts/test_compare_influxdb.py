"""Proves that the comparison with InfluxDB raises the alarm, and that its parts agree where they must: no server is needed."""

import environment  # noqa: F401

import pathlib
import unittest

import compare_influxdb
import influxdb1_differences
import influxdb1_reading
import line_inputs
import lineproto
from influxdb1_differences import CLASSES, EVENTS, READING, SPLITTING, Unexplained

CASES = list(line_inputs.cases())
NEARLY_RIGHT = list(line_inputs.NearlyRight(3).inputs(3_000))


def read(line):
    return influxdb1_reading.read_line(line, 1)


class Inputs(unittest.TestCase):
    def test_cases_are_there_with_all_their_parts(self):
        self.assertGreater(len(CASES), 500)
        self.assertTrue(any(len(case.bodies) > 1 for case in CASES))
        self.assertTrue(any(b"\xff" in case.bodies[0] for case in CASES))
        self.assertTrue(any(len(case.bodies[0]) > 1 << 20 for case in CASES))

    def test_a_seed_gives_the_same_bodies(self):
        self.assertEqual(NEARLY_RIGHT, list(line_inputs.NearlyRight(3).inputs(3_000)))
        self.assertNotEqual(NEARLY_RIGHT[:100], list(line_inputs.NearlyRight(4).inputs(100)))

    def test_nearly_right_bodies_are_good_and_bad(self):
        good = sum(1 for given in NEARLY_RIGHT if not lineproto.Reader(given.precision).parse(given.bodies[0])[1])
        self.assertTrue(len(NEARLY_RIGHT) / 4 < good < len(NEARLY_RIGHT) * 3 / 4, good)

    def test_the_reading_finds_the_bad_lines_of_every_case(self):
        for case in CASES:
            if case.errors is not None:
                _, errors = lineproto.Reader(case.precision).parse(case.bodies[0])
                self.assertEqual([line for line, _ in errors], [line for line, _ in case.errors], case.name)


class Reading(unittest.TestCase):
    def test_without_quirks_lines_are_those_of_the_grammar(self):
        for given in CASES + NEARLY_RIGHT:
            for body in given.bodies:
                ours = [(start, body[start:end]) for _, start, end, _ in lineproto.lines(body)]
                self.assertEqual(list(influxdb1_reading.lines(body, frozenset())), ours, body[:300])

    def test_quirks_of_lines(self):
        texts = lambda body: [text for _, text in influxdb1_reading.lines(body)]
        self.assertEqual(texts(b"m f=1\r\n"), [b"m f=1\r"])
        self.assertEqual(texts(b"\0 m f=1"), [b"m f=1"])
        self.assertEqual(texts(b'# a ="\nm f=1\n"\nm f=2'), [b"m f=2"])
        self.assertEqual(texts(b' m="x f=1\nm f=2'), [b'm="x f=1\nm f=2'])
        self.assertEqual(texts(b"m\\\\\nm f=1"), [b"m\\\\", b"m f=1"])

    def test_quirks_of_points(self):
        self.assertEqual(read(b'm f="a"b 5'), (b"m", (), [(b"f", "string", b'a"')], 5))
        self.assertEqual(read(b"m,t==b f=1"), (b"m", ((b"t", b"=b"),), [(b"f", "float", 1.0)], None))
        self.assertEqual(read(b"a\\=b f=1")[0], b"a=b")
        with self.assertRaises(influxdb1_reading.Malformed):
            read(b"m f=1u")

    def test_quirks_of_databases(self):
        database = influxdb1_reading.Database()
        self.assertEqual(database.write(b"m f=1 1\nbad\nm time=1,f=2 2", "ns", 0), (400, 1))
        self.assertEqual(sorted(time for _, _, time in database.rows), [1, 2])
        self.assertEqual(database.write(b"m g=1 3\nm g=t 4", "ns", 0), (400, 0))
        self.assertEqual(len(database.rows), 2)
        self.assertEqual(database.events, {influxdb1_reading.GOOD_LINES, influxdb1_reading.TIME_FIELD, influxdb1_reading.TWO_TYPES})


class Alarm(unittest.TestCase):
    def test_every_name_has_its_sentence(self):
        names = {*SPLITTING.values(), *EVENTS.values(), *(name for name, _ in READING), "status of a partial write"}
        self.assertEqual(names, set(CLASSES))

    def test_the_documentation_lists_every_difference(self):
        page = (pathlib.Path(__file__).resolve().parent.parent / "docs" / "LINE-PROTOCOL.md").read_text()
        for name, (there, here) in CLASSES.items():
            self.assertIn(f"| {name} | {there} | {here} |\n", page)
        self.assertEqual(page.count("\n| "), len(CLASSES) + 1)

    def test_a_difference_without_a_name_is_raised(self):
        given = line_inputs.Input("planted", [b"m f=1 5"])
        rows = {("m", (), 5): {"f": ("float", "1.0")}}
        same = ([204], rows)
        self.assertEqual(compare_influxdb.differences(given, same, (*same, set())), set())
        for other in ([400], rows), ([204], {}), ([204], {("m", (), 5): {"f": ("float", "-1.0")}}):
            with self.assertRaises(Unexplained):
                compare_influxdb.differences(given, same, (*other, set()))

    def test_a_line_that_is_read_otherwise_without_a_name_is_raised(self):
        plain = influxdb1_reading.read_line
        try:
            influxdb1_reading.read_line = lambda line, unit_ns: (b"other", *plain(line, unit_ns)[1:])
            with self.assertRaises(Unexplained):
                influxdb1_differences.explain(b"m f=1 5", "ns")
        finally:
            influxdb1_reading.read_line = plain
        self.assertEqual(influxdb1_differences.explain(b"m f=1 5", "ns"), set())

    def test_a_wrong_answer_is_raised(self):
        case = next(case for case in CASES if case.errors == [(1, "missing fields")])
        right = {"line": 1, "message": "unable to parse 'm': missing fields (line 1)"}
        compare_influxdb.Ringest.check_errors(case, right, [(1, "missing fields")])
        for wrong in (
            right | {"line": 2},
            right | {"message": "unable to parse 'm': missing fields (line 2)"},
            right | {"message": "unable to parse 'm': missing field key (line 1)"},
            right | {"message": right["message"] + "\n" + right["message"]},
        ):
            with self.assertRaises(compare_influxdb.Differs):
                compare_influxdb.Ringest.check_errors(case, wrong, [(1, "missing fields")])


class Buckets(unittest.TestCase):
    def test_types_duplicates_and_time(self):
        bucket = lineproto.Bucket()
        write = lambda body: bucket.write(lineproto.Reader().parse(body)[0], 7)
        self.assertEqual(write(b"m f=1 1\nm f=2,g=1i 1\nm f=3"), 204)
        self.assertEqual(write(b"m g=1,h=1 2\nm h=t 2"), 422)
        self.assertEqual(write(b"m time=1 3\nm time=1,f=4 4"), 422)
        self.assertEqual(
            bucket.rows,
            {
                ("m", (), 1): {"f": ("float", 2.0), "g": ("integer", 1)},
                ("m", (), 7): {"f": ("float", 3.0)},
                ("m", (), 2): {"h": ("boolean", True)},
                ("m", (), 4): {"f": ("float", 4.0)},
            },
        )


if __name__ == "__main__":
    unittest.main()
