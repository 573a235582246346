"""Proves that the tables of docs/BENCHMARKS.md say what was measured, and that a missed bound is told."""

import importlib.machinery
import importlib.util
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import bench
import bench_peers
from bench_peers import CASES, InfluxDB, Ringest

FOLDER = pathlib.Path(__file__).resolve().parent


def bench_node():
    loader = importlib.machinery.SourceFileLoader("bench_node", str(FOLDER / "bench-node"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_node", loader))
    loader.exec_module(module)
    return module


def report(per_cpu_second, statuses=None):
    return {
        "lines": 1000,
        "lines_per_second": 500.0,
        "lines_until_idle_per_cpu_second": per_cpu_second,
        "latency_ms": {"p50": 1.0, "p99": 2.5},
        "server": {"peak_resident_bytes": 3 << 20, "lines_per_cpu_second": per_cpu_second * 1.5},
        "disk_per_line": 4.25,
        "statuses": statuses or {"204": 10},
    }


class Sections(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.page = pathlib.Path(folder.name) / "page.md"
        patch = mock.patch.object(bench, "PAGE", self.page)
        patch.start()
        self.addCleanup(patch.stop)

    def test_only_the_text_between_the_marks_is_replaced(self):
        self.page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\nkept\n<!-- y: end -->\n")
        bench.write_section("x", "new")
        self.assertEqual(self.page.read_text(), "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n<!-- y: begin -->\nkept\n<!-- y: end -->\n")

    def test_a_page_without_the_marks_is_left_alone(self):
        self.page.write_text("a\n<!-- x: begin -->\n")
        with self.assertRaisesRegex(SystemExit, "x: begin"):
            bench.write_section("x", "new")
        self.assertEqual(self.page.read_text(), "a\n<!-- x: begin -->\n")

    def test_the_real_page_has_the_marks_of_every_section(self):
        page = (FOLDER.parent / "docs" / "BENCHMARKS.md").read_text()
        for name in ["bench-peers", *(f"bench-node {section}" for section in bench_node().SECTIONS)]:
            self.assertIn(f"<!-- {name}: begin -->", page)
            self.assertIn(f"<!-- {name}: end -->", page)


class Peers(unittest.TestCase):
    def rows(self, reports):
        with mock.patch.object(bench_peers, "versions", return_value="versions"):
            return [line for line in bench_peers.section(reports, "command").splitlines() if line.startswith("| cpu")]

    def test_rows_are_medians_and_ratios(self):
        ringest, influxdb = self.rows(
            {
                (CASES[0], Ringest): [report(1000), report(3000), report(2000)],
                (CASES[0], InfluxDB): [report(40)],
            }
        )
        cells = [cell.strip() for cell in ringest.split("|")]
        self.assertEqual(cells[2:7], ["ringest", "500", "3,000", "2,000", "1.0"])
        self.assertEqual(cells[7:11], ["1.00", "2.50", "3", "4.2"])
        self.assertEqual([cell.strip() for cell in influxdb.split("|")][2:7], ["InfluxDB", "500", "60", "40", "50"])

    def test_refused_requests_are_told(self):
        (row,) = self.rows({(CASES[0], InfluxDB): [report(40, {"204": 1, "500": 2}), report(40, {"503": 1})]})
        self.assertIn("InfluxDB (3 requests refused)", row)

    def test_what_was_not_measured_has_no_row(self):
        self.assertEqual(len(self.rows({(CASES[0], Ringest): [report(1)], (CASES[0], InfluxDB): []})), 1)

    def test_kept_runs_are_found_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "runs"
            self.assertEqual(bench_peers.kept_runs(path, 10), {})
            lines = [{"case": "c", "server": "s", "seconds": seconds, "report": report(n)} for n, seconds in ((1, 10), (2, 10), (3, 1))]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            self.assertEqual([kept["lines_until_idle_per_cpu_second"] for kept in bench_peers.kept_runs(path, 10)["c", "s"]], [1, 2])

    def test_a_run_that_was_half_written_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "runs"
            path.write_text('{"case": "c", "ser')
            with self.assertRaisesRegex(SystemExit, "line 1"):
                bench_peers.kept_runs(path, 10)

    def test_names_of_cases_are_their_own(self):
        names = [case.name for case in CASES]
        self.assertEqual(len(names), len(set(names)))


class Bounds(unittest.TestCase):
    def test_the_median_is_compared_with_the_first_row(self):
        cells, met = bench_node().compare([("a", [100, 100, 900]), ("b", [109, 110, 400])], 1.10)
        self.assertTrue(met)
        self.assertEqual([row[-1] for row in cells], ["1.00", "1.10"])

    def test_a_row_above_the_bound_misses_it(self):
        self.assertFalse(bench_node().compare([("a", [100]), ("b", [111]), ("c", [90])], 1.10)[1])


if __name__ == "__main__":
    unittest.main()
