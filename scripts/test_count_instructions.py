"""Proves that the guard of the instruction counts raises the alarm, and only then."""

import contextlib
import io
import unittest

import instructions
from instructions import Count, Failed, Stored

TOOLS = {"rustc": "1.95.0", "cc": "12.2.0"}


def counted(name, each, unit="line"):
    return Count(name, 1000, unit, 300_000, round(each * 1000))


def stored(each):
    return Stored(dict(TOOLS), {"default": 3, "log/100-bytes": 6}, each)


def check(counts, each, now=TOOLS, is_all=True):
    """The exit code, and what was said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = instructions.check(counts, stored(each), now, is_all)
    return code, said.getvalue()


class Check(unittest.TestCase):
    def test_counts_as_stored_pass(self):
        code, said = check([counted("columns/cpu", 1029.9), counted("http/ping", 970.1)], {"columns/cpu": 1000.0, "http/ping": 1000.0})
        self.assertEqual(code, 0)
        self.assertIn("2 counts are as stored", said)

    def test_a_count_may_have_its_own_tolerance(self):
        self.assertEqual(check([counted("log/100-bytes", 1059)], {"log/100-bytes": 1000.0})[0], 0)
        code, said = check([counted("log/100-bytes", 1061)], {"log/100-bytes": 1000.0})
        self.assertEqual(code, 1)
        self.assertIn("6.1 % more, and 6 % either way are allowed", said)

    def test_more_and_fewer_fail_with_a_sentence(self):
        code, said = check([counted("columns/cpu", 1031)], {"columns/cpu": 1000.0})
        self.assertEqual(code, 1)
        self.assertIn("columns/cpu takes 1031.0 instructions per line, stored are 1000.0: 3.1 % more, and 3 % either way are allowed\n", said)
        self.assertIn("scripts/count-instructions --update", said)
        code, said = check([counted("log/4-KiB", 500, "record")], {"log/4-KiB": 1000.0})
        self.assertEqual(code, 1)
        self.assertIn("takes 500.0 instructions per record, stored are 1000.0: 50.0 % fewer", said)

    def test_what_is_not_stored_or_not_counted_fails(self):
        code, said = check([counted("columns/new", 5)], {"columns/old": 1000.0})
        self.assertEqual(code, 1)
        self.assertIn("columns/new takes 5.0 instructions per line, and nothing is stored for it", said)
        self.assertIn("columns/old is stored with 1000.0 instructions, and no bench counts it any more", said)

    def test_what_was_not_asked_for_is_not_missed(self):
        self.assertEqual(check([counted("columns/cpu", 1000)], {"columns/cpu": 1000.0, "columns/old": 1.0}, is_all=False)[0], 0)

    def test_another_compiler_is_told_and_does_not_fail(self):
        code, said = check([counted("columns/cpu", 2000)], {"columns/cpu": 1000.0}, TOOLS | {"rustc": "1.96.0"})
        self.assertEqual(code, 0)
        self.assertIn("columns/cpu takes 2000.0", said)
        self.assertIn("NOT CHECKED: rustc 1.96.0 instead of 1.95.0", said)


class TheFile(unittest.TestCase):
    def test_is_read_as_it_was_written(self):
        before = stored({"columns/cpu": 1218.5, "columns/one-line": 3225.9, "log/4-KiB": 2769.7})
        self.assertEqual(Stored.parse(before.text({"columns": "line", "log": "record"})), before)

    def test_in_the_repository_is_whole(self):
        kept = Stored.parse(instructions.STORED.read_text())
        self.assertEqual(set(kept.counted_with), {"rustc", "cc", "libc", "valgrind"})
        self.assertEqual({name.split("/")[0] for name in kept.each}, {"columns", "parse", "judge", "log", "http", "parquet"})

    def test_is_not_mixed_from_two_compilers(self):
        with self.assertRaises(Failed):
            instructions.update([counted("columns/cpu", 1)], stored({"columns/cpu": 2.0}), {"rustc": "1.96.0"}, False)


class Names(unittest.TestCase):
    def test_are_of_a_count_a_stage_or_an_input(self):
        for wanted in ["columns/cpu", "columns", "cpu"]:
            self.assertTrue(instructions.is_wanted("columns/cpu", [wanted]))
        self.assertFalse(instructions.is_wanted("columns/cpu", ["parse", "devops", "columns/devops"]))
        self.assertTrue(instructions.is_wanted("columns/cpu", []))


if __name__ == "__main__":
    unittest.main()
