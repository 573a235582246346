"""Proves that the check of docs/QUERY.md's recipes raises the alarm: recipes that are nearly right are found."""

import environment  # noqa: F401

import os
import pathlib
import tempfile
import unittest

import query_recipes
import test_lake
from query_recipes import Recipe, Wrong

FOLDER = "lake/db/m"
# The same two points, with and without a tag, in three files, and one a nanosecond later. The second file brings the field `late`, and the tag
# `rack` with a point of its own.
FILES = [
    {"time_ns_rem": [0, 0, 1], "host": [None, "a", "a"], "value": [1.0, 2.0, 3.0]},
    {"time_ns_rem": [0, 0, 1, 0], "host": [None, "a", "a", "a"], "rack": [None, None, None, "r"], "value": [None, 4.0, 3.5, 6.0]}
    | {"late": ["x", None, None, None]},
    {"time_ns_rem": [0, 0], "host": [None, "a"], "rack": [None, None], "value": [5.0, None], "late": [None, "y"]},
]
EXPECTED = {
    ((), test_lake.START): {"value": 5.0, "late": "x"},
    ((("host", "a"),), test_lake.START): {"value": 4.0, "late": "y"},
    ((("host", "a"),), test_lake.START + 1): {"value": 3.5},
    ((("host", "a"), ("rack", "r")), test_lake.START): {"value": 6.0},
}
# What somebody might write instead, by recipe.
NEARLY_RIGHT = [
    ("merged-macros", "arg_max(", "arg_min("),
    ("merged-macros", "arg_max(", "arg_max_null("),
    ("merged-macros", "('time', 'time_ns_rem', 'day')", "('time', 'day')"),
    ("merged-macros", ", union_by_name = true", ""),
    ("merged-view", "arg_max(file, ", "arg_min(file, "),
    ("polars-merged", ".last()", ".first()"),
    ("polars-merged", ".drop_nulls()", ""),
    ("polars-merged", "sorted(", "(lambda found: sorted(found)[::-1])("),
    ("polars-merged", '"time_ns_rem", ', ""),
    ("polars-merged", ", schema=pl.read_parquet_schema(newest)", ""),
    ("pandas-merged", "dropna=False", "dropna=True"),
    ("pandas-merged", ".last()", ".first()"),
    ("pandas-merged", "sorted(", "(lambda found: sorted(found)[::-1])("),
    ("datafusion-merged", "FILTER (WHERE {0} IS NOT NULL)", ""),
    ("datafusion-merged", "ORDER BY _ringest_file", "ORDER BY _ringest_file DESC"),
    ("datafusion-merged", '"time_ns_rem", ', ""),
]


class Checks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        for number, columns in enumerate(FILES):
            epoch = str(1767225600000 + number)
            data = {"time": [test_lake.START // 1000] * len(columns["host"])} | columns
            tags = [tag for tag in ("host", "rack") if tag in columns]
            test_lake.write(pathlib.Path(folder.name), data, tags, name=f"{epoch}-0000-node.parquet", metadata={"epoch": epoch, "names": "{}"})
        self.recipes = query_recipes.recipes(query_recipes.DOCUMENT.read_text())

    def check(self, recipes):
        query_recipes.check_merging(recipes, FOLDER, EXPECTED, "made up")

    def test_the_recipes_merge_what_was_written_twice(self):
        self.check(self.recipes)

    def test_recipes_that_are_nearly_right_are_found(self):
        for name, right, wrong in NEARLY_RIGHT:
            with self.subTest(name, right=right, wrong=wrong):
                recipe = self.recipes[name]
                self.assertIn(right, recipe.text)
                with self.assertRaises(Exception):
                    self.check(self.recipes | {name: recipe._replace(text=recipe.text.replace(right, wrong))})

    def test_blocks_without_a_mark_are_found(self):
        known = "<!-- recipe: a, after b -->\n```sql\nSELECT 1\n```\n```sql\n-- not run\nSELECT 2\n```\n"
        self.assertEqual(query_recipes.recipes(known), {"a": Recipe("a", "b", "sql", "SELECT 1")})
        self.assertRaisesRegex(Wrong, "neither", query_recipes.recipes, known + "```python\nx\n```")

    def test_recipes_that_nobody_knows_and_other_answers_are_found(self):
        self.assertRaisesRegex(Wrong, "differ in the recipes .*more", query_recipes.check_known, self.recipes | {"more": self.recipes["files"]})
        self.assertNotEqual(repr(query_recipes.rows_of(query_recipes.duckdb.sql("SELECT 1 AS a").to_arrow_table())), repr([("a",), (True,)]))


if __name__ == "__main__":
    unittest.main()
