"""Tests of the independent reading of line protocol: python scripts/test_lineproto.py"""

import unittest

import lineproto
from lineproto import Merged, Reader


def one(text, precision="ns"):
    points, errors = Reader(precision).parse(text if isinstance(text, bytes) else text.encode())
    if errors or len(points) != 1:
        raise AssertionError(f"{text!r}: {points} {errors}")
    return points[0]


def bad(text):
    """(line, reason) of the only bad line."""
    _, errors = Reader().parse(text if isinstance(text, bytes) else text.encode())
    if len(errors) != 1:
        raise AssertionError(f"{text!r}: {errors}")
    return errors[0]


class Lines(unittest.TestCase):
    def test_blank_and_comment_lines_hold_no_point(self):
        for body in (b"", b"\n\n", b"  \t\n", b"\r\n", b"# a\n#b", b' # c ="\n'):
            self.assertEqual(Reader().parse(body), ([], []))

    def test_a_comment_ends_at_its_line_feed(self):
        self.assertEqual(one('# x="\nm f=1')["line"], 2)

    def test_strings_hold_line_feeds_and_the_lines_after_count(self):
        points, _ = Reader().parse(b'm f="a\nb",g=1\n\nm f="c" 5\n')
        self.assertEqual([point["line"] for point in points], [1, 4])
        self.assertEqual(points[0]["fields"], [("f", "string", "a\nb"), ("g", "float", 1.0)])

    def test_quotes_open_strings_only_in_value_position(self):
        points, errors = Reader().parse(b'm,t="a f=1\nm" f=2\nm k"=3,"l=4\n')
        self.assertEqual(errors, [])
        self.assertEqual([point["fields"][0][2] for point in points], [1.0, 2.0, 3.0])

    def test_an_unterminated_string_swallows_the_rest(self):
        self.assertEqual(bad('m f=1\nm f="x\nm f=2\n'), (2, "unbalanced quotes"))

    def test_one_carriage_return_before_the_end_goes(self):
        self.assertEqual(one("m f=1\r\n")["fields"], [("f", "float", 1.0)])
        self.assertEqual(one("m f=1 7\r")["time"], 7)
        self.assertEqual(one('m f="a\r\n"\r\n')["fields"][0][2], "a\r\n")
        self.assertEqual(bad("m f=1\r\r\n")[1], "invalid number")

    def test_a_carriage_return_in_an_open_string_is_data(self):
        body = b'm f="x\r'
        self.assertEqual([body[start:end] for _, start, end, _ in lineproto.lines(body)], [body])

    def test_blanks(self):
        self.assertEqual(one(" \tm  f=1   5  ")["time"], 5)
        self.assertEqual(one("m \tf=1")["measurement"], "m")
        self.assertEqual(bad("m\tf=1")[1], "missing fields")
        self.assertEqual(bad("m f=1 5\t")[1], "bad timestamp")
        self.assertEqual(bad("m f=1 5 # x")[1], "point is invalid: text after the timestamp")


class Names(unittest.TestCase):
    def test_escapes(self):
        point = one(r"a\,b\ c\=d,t\ 1=x\,y\=z,u=a\b f\=\"\ g=1")
        self.assertEqual(point["measurement"], r"a,b c\=d")
        self.assertEqual(point["tags"], (("t 1", "x,y=z"), ("u", r"a\b")))
        self.assertEqual(point["fields"][0][0], 'f=" g')
        self.assertEqual(one(r"m,t=a\\,b f=1")["tags"], (("t", r"a\,b"),))

    def test_tags_are_sorted_bytewise(self):
        self.assertEqual([key for key, _ in one("m,é=1,z=2,A=3 f=1")["tags"]], ["A", "z", "é"])

    def test_faults(self):
        for text, reason in [
            (",t=a f=1", "missing measurement"),
            ("m, f=1", "missing tag key"),
            ("m,=a f=1", "missing tag key"),
            ("m,t f=1", "missing tag value"),
            ("m,t= f=1", "missing tag value"),
            ("m,t=a=b f=1", "invalid tag format"),
            ("m,t==b f=1", "invalid tag format"),
            ("m,t=a,t=a f=1", "duplicate tags"),
            ("m,t=a,t=b,u f=1", "missing tag value"),
            ("m,time=a,t=a,t=a f=1", "duplicate tags"),
            ("m,time=a f=1", "cannot use reserved tag key 'time'"),
            ("m", "missing fields"),
            (r"m,t=a\ f=1", "invalid tag format"),
            (r"m\ f=1", "missing fields"),
            ("m =1", "missing field key"),
            ("m f=1,", "missing field key"),
            ("m f=1, g=2", "invalid field format"),
            ("m f", "invalid field format"),
            ("m f=", "missing field value"),
            ("m f= 1", "missing field value"),
            ('m f="a"b', "invalid field format: text after the closing quote"),
            (b"m f=\"\xff\"", "invalid UTF-8"),
        ]:
            with self.subTest(text):
                self.assertEqual(bad(text)[1], reason)
        self.assertTrue(bad("m" * 65_536 + " f=1")[1].startswith("max key length exceeded"))


class Values(unittest.TestCase):
    def value(self, text):
        return one(f"m f={text}")["fields"][0][1:]

    def test_types(self):
        for text, expected in [
            ("1", ("float", 1.0)),
            ("1.", ("float", 1.0)),
            ("-.5", ("float", -0.5)),
            ("1.e2", ("float", 100.0)),
            ("1e-400", ("float", 0.0)),
            ("9223372036854775807i", ("integer", 2**63 - 1)),
            ("-9223372036854775808i", ("integer", -(2**63))),
            ("007i", ("integer", 7)),
            ("18446744073709551615u", ("unsigned", 2**64 - 1)),
            ("T", ("boolean", True)),
            ("False", ("boolean", False)),
            ('""', ("string", "")),
            (r'"a\"b\\c\nd, e=f"', ("string", r'a"b\c\nd, e=f')),
        ]:
            with self.subTest(text):
                self.assertEqual(self.value(text), expected)
        self.assertEqual(str(self.value("-0")[1]), "-0.0")

    def test_long_numbers(self):
        zeros = "0" * 100_000
        self.assertEqual(self.value(f"{zeros}1i"), ("integer", 1))
        self.assertEqual(self.value(f"{zeros}1.5"), ("float", 1.5))
        self.assertEqual(bad(f"m f={zeros}1x")[1], "invalid number")

    def test_faults(self):
        numbers = ["1.0i", "1e3i", "-", ".", "1I", "-i", "1ii", "-0u", "0x1", "1_0", "1e", "1t", "-inf"]
        words = ["+1", "+1i", "i", "NaN", "inf", "tRUE", "yes", "'a'"]
        for text in numbers:
            with self.subTest(text):
                self.assertEqual(bad(f"m f={text}")[1], "invalid number")
        for text in words:
            with self.subTest(text):
                self.assertEqual(bad(f"m f={text}")[1], "invalid boolean")
        for text in ["1e400", "9223372036854775808i", "18446744073709551616u"]:
            with self.subTest(text):
                self.assertIn("out of range", bad(f"m f={text}")[1])


class Times(unittest.TestCase):
    def test_scale_and_range(self):
        self.assertIsNone(one("m f=1")["time"])
        self.assertEqual(one("m f=1 -5", "ms")["time"], -5_000_000)
        self.assertEqual(one("m f=1 -9223372036854775806")["time"], -9223372036854775806)
        self.assertIn("time outside range", bad("m f=1 9223372036854775807")[1])
        for text in ["+1", "1.0", "1e3", "1i", '"1"', "2026-01-01T00:00:00Z"]:
            self.assertEqual(bad(f"m f=1 {text}")[1], "bad timestamp")


class Merge(unittest.TestCase):
    def test_the_last_write_wins_field_by_field(self):
        points, _ = Reader().parse(b"m,b=1,a=2 f=1,g=1 5\nm,a=2,b=1 f=2,h=3,h=4 5\nm f=9 5\n")
        merged = Merged()
        merged.add(points)
        self.assertEqual(merged.tables["m"][(("a", "2"), ("b", "1")), 5], {"f": 2.0, "g": 1.0, "h": 4.0})
        self.assertEqual(merged.rows(), 2)

    def test_two_types_of_one_field_are_refused(self):
        with self.assertRaises(ValueError):
            Merged().add(Reader().parse(b"m f=1\nm f=1i\n")[0])


if __name__ == "__main__":
    unittest.main()
