"""Runs every recipe of docs/QUERY.md, as it stands there, against a node with known data, and compares its answer.

    python scripts/query_recipes.py BINARY

The recipes that merge what was written twice are also run on random overlapping writes, before, during and after a made-up compaction, and on
the oddest tables of the load checks, and compared with a plain merge of the lines that were sent.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import ast
import collections
import datetime
import decimal
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import duckdb
import pyarrow
import pyarrow.parquet

import lake
import lineproto
import load_check
from node import Client, Node
from query_expected import DAY_1, EXPECTED, GRAFANA_MACROS, WRITES

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "QUERY.md"
BLOCK = re.compile(r"(?:<!-- recipe: (?P<name>[\w-]+)(?:, after (?P<after>[\w-]+))? -->\n)?```(?P<language>sql|python)\n(?P<text>.*?)\n```", re.DOTALL)
NOT_RUN = re.compile(r"(--|#) not run\b")
FOLDER = "data/lake/mydb/cpu"
MERGING = ["merged-view", "polars-merged", "pandas-merged", "datafusion-merged"]

Recipe = collections.namedtuple("Recipe", "name after language text")


class Wrong(Exception):
    """A recipe does not do what the document says."""


def recipes(document):
    """By name, in order. Each block of the document is a recipe, or says that it was not run."""
    found = {}
    for block in BLOCK.finditer(document):
        if block["name"]:
            found[block["name"]] = Recipe(**block.groupdict())
        elif not NOT_RUN.match(block["text"]):
            raise Wrong(f"a block of docs/QUERY.md is neither a recipe nor 'not run':\n{block['text']}")
    return found


class Runner:
    """One session of DuckDB for all SQL; a new namespace for each block of Python, or that of the block that it stands after."""

    def __init__(self, all_recipes, folder=FOLDER):
        self.recipes = all_recipes
        self.folder = folder
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.namespaces = {}

    def text(self, recipe):
        text = recipe.text.replace(FOLDER, self.folder)
        for macro, written in GRAFANA_MACROS.items():
            text = text.replace(macro, written)
        return text

    def run(self, name):
        """What the recipe's last statement or expression gives, as an Arrow table; None if it gives nothing."""
        recipe = self.recipes[name]
        if recipe.language == "sql":
            return self.run_sql(self.text(recipe))
        namespace = dict(self.namespaces.get(recipe.after, {}))
        result = run_python(self.text(recipe), namespace)
        self.namespaces[name] = namespace
        return as_arrow(result)

    def run_sql(self, text):
        *before, last = duckdb.extract_statements(text)
        for statement in before:
            self.connection.execute(statement)
        if last.type != duckdb.StatementType.SELECT:
            self.connection.execute(last)
            return None
        return self.connection.sql(last.query).to_arrow_table()


def run_python(text, namespace):
    """The value of the last line, as in a notebook."""
    tree = ast.parse(text)
    last = tree.body.pop()
    exec(compile(tree, "recipe", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "recipe", "eval"), namespace)


def as_arrow(result):
    if hasattr(result, "to_arrow_table"):
        return result.to_arrow_table()
    if hasattr(result, "to_arrow"):
        return result.to_arrow()
    return pyarrow.Table.from_pandas(result, preserve_index=False)


def plain(value):
    """Times as text in UTC, so that expectations can be read."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000")
    return str(value) if isinstance(value, (datetime.date, decimal.Decimal)) else value


def rows_of(table):
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return [tuple(table.column_names), *zip(*columns)]


def check_known(all_recipes):
    if all_recipes.keys() != EXPECTED.keys():
        raise Wrong(f"the document and what is expected of it differ in the recipes {sorted(all_recipes.keys() ^ EXPECTED.keys())}")
    runner = Runner(all_recipes)
    for name, expected in EXPECTED.items():
        result = runner.run(name)
        found = result and rows_of(result)
        # repr tells 1 from 1.0 and from True.
        if repr(found) != repr(expected):
            raise Wrong(f"recipe {name} gives\n{found}\nnot\n{expected}")
    check_days_are_skipped(runner)


def check_days_are_skipped(runner):
    for name, files in (("time-range", "2/5"), ("last", "5/5"), ("downsample", "3/5"), ("grafana-panel", "2/5")):
        (explained,) = runner.connection.sql(f"EXPLAIN {runner.text(runner.recipes[name])}").fetchall()
        scanned = re.search(r"Scanning Files: (\d+/\d+)", explained[1])
        if (scanned[1] if scanned else "5/5") != files:
            raise Wrong(f"recipe {name} does not scan {files} files:\n{explained[1]}")


def check_shell(all_recipes):
    """The SQL is for DuckDB's shell too, which is of another version."""
    shell = pathlib.Path(sys.executable).parent / "duckdb"
    runner = Runner(all_recipes)
    script = "\n".join(runner.text(recipe) for recipe in all_recipes.values() if recipe.language == "sql")
    ran = subprocess.run([shell, "-bail"], input=script, capture_output=True, text=True)
    if ran.returncode != 0 or ran.stderr:
        raise Wrong(f"the shell of DuckDB fails with the recipes: {ran.stderr}")


def random_bodies(seed, bodies=8, lines=60):
    """Bodies that write the same points again and again, with other fields; tags and fields, some named as the recipes' own, are born on the way."""
    chosen = random.Random(seed)
    values = {
        "f": lambda: chosen.choice(["-0", "0", "1.5", "5e-324", "1e308"]),
        "i": lambda: f"{chosen.choice([-(2**63), 2**53 + 1, 0, 2**63 - 1])}i",
        "u": lambda: f"{chosen.choice([0, 2**53 + 1, 2**64 - 1])}u",
        "file": lambda: chosen.choice(['""', '"x"', '"é\\"🦀"']),
        "written": lambda: chosen.choice("tf"),
        '"arg max"': lambda: f"{chosen.randrange(9)}i",
    }
    times = [DAY_1 + day * 86_400 * 10**9 + rest for day in (-1, 0, 1) for rest in (0, 1, 1000)] + [-1, -1000]
    for number in range(bodies):
        tags = ["c", "tags"] if number < 2 else ["c", "tags", "A", "m\\ n"]
        fields = list(values)[: 2 + number]
        body = []
        for _ in range(lines):
            some_tags = "".join(f",{tag}={chosen.choice('xy')}" for tag in tags if chosen.random() < 0.3)
            some_fields = chosen.sample(fields, chosen.randint(1, 2))
            written = ",".join(f"{field.replace(' ', chr(92) + ' ')}={values[field]()}" for field in some_fields)
            body.append(f"random{some_tags} {written} {chosen.choice(times)}")
        yield "\n".join(body).encode()


def points_of(table, tags, original):
    """{(tags, time in ns): {field: value}} by the names that were written, each point once."""
    points = {}
    for row in table.to_pylist():
        since = row.pop("time") - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        ns = since // datetime.timedelta(microseconds=1) * 1000 + row.pop("time_ns_rem")
        row.pop("day", None)
        # A tag and a field may have been written under one name.
        series = [(original.get(tag, tag), value) for tag in tags if (value := row.pop(tag)) is not None]
        key = tuple(sorted(series, key=lambda pair: pair[0].encode())), ns
        if key in points:
            raise Wrong(f"point {key} stands twice")
        points[key] = {original.get(field, field): value for field, value in row.items() if value is not None}
    return points


def check_merging(all_recipes, folder, expected, state):
    files = sorted(pathlib.Path(folder).glob("*/*.parquet"), key=lambda path: path.name)
    footer = {key: json.loads(value) for key, value in pyarrow.parquet.read_schema(files[-1]).metadata.items() if value[:1] in b"[{"}
    tags, original = footer[b"ringest.tags"], footer[b"ringest.names"]
    for name in MERGING:
        runner = Runner(all_recipes, folder)
        if name == "merged-view":
            runner.run("merged-macros")
            runner.run(name)
            table = runner.connection.sql("FROM cpu").to_arrow_table()
        else:
            table = runner.run(name)
        found = points_of(table, tags, original)
        wrong = [key for key in found.keys() | expected.keys() if repr(sorted(found.get(key, {}).items())) != repr(sorted(expected.get(key, {}).items()))]
        if wrong:
            raise Wrong(f"recipe {name}, {state}: {len(wrong)} points, such as {wrong[0]}: {found.get(wrong[0])}, written {expected.get(wrong[0])}")


def compact(folder):
    """Of each day brings the files but the first and the last together, as compaction names them; returns those that it replaces."""
    replaced = []
    for day in sorted(pathlib.Path(folder).iterdir()):
        inputs = sorted(day.iterdir())[1:-1]
        if len(inputs) < 2:
            continue
        newest = pyarrow.parquet.read_schema(inputs[-1])
        tags = json.loads(newest.metadata[b"ringest.tags"])
        merged = {}
        for path in inputs:
            for row in pyarrow.parquet.ParquetFile(path).read().to_pylist():
                known = merged.setdefault((row["time"], row["time_ns_rem"], *(row.get(tag) for tag in tags)), {})
                known.update((name, value) for name, value in row.items() if value is not None)
        first, last = inputs[0].name.split("-"), inputs[-1].name.removesuffix(".parquet").split("-")
        output = day / f"{last[0]}-{int(last[1]) + 1:04}-{last[2]}-{first[0]}.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(merged.values()), newest), output, store_schema=False)
        replaced += inputs
    if not replaced:
        raise Wrong("no day has files to bring together")
    return replaced


def check_random(all_recipes, node, seed):
    client, merged, reader = Client(node), lineproto.Merged(), lineproto.Reader()
    for body in random_bodies(seed):
        points, errors = reader.parse(body)
        if errors:
            raise Wrong(f"the made-up lines are wrong: {errors}")
        merged.add(points)
        client.post(f"/write?db=random{seed}", body)
        node.flush()
    (expected,) = merged.tables.values()
    check_merging(all_recipes, f"data/lake/random{seed}/random", expected, f"seed {seed}")
    copy = f"compacted{seed}/random"
    shutil.copytree(f"data/lake/random{seed}/random", copy)
    replaced = compact(copy)
    check_merging(all_recipes, copy, expected, f"seed {seed}, compacted, the replaced files still there")
    for path in replaced:
        path.unlink()
    check_merging(all_recipes, copy, expected, f"seed {seed}, compacted")
    return len(expected), sum(map(len, expected.values()))


def check_odd_tables(all_recipes, node):
    """Names of every kind, clashes of names, times before 1970, columns that come and go."""
    count = 0
    for name in ("edge", "life"):
        given = load_check.read_input(name, None, 0)
        load_check.load(node, given, name, 1)
        tables = [table for table in lake.tables(node.lake) if table.bucket == name]
        for table in tables:
            check_merging(all_recipes, str(table.folder), given.merged.tables[table.measurement], table.folder.name)
        count += len(tables)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seeds", type=int, default=2, help="how many made-up tables the merging recipes are run on")
    args = parser.parse_args()
    all_recipes = recipes(DOCUMENT.read_text())
    with Node(pathlib.Path(args.binary).resolve(), "--flush-interval", "1h") as node:
        os.chdir(node.folder.name)
        for body in WRITES:
            Client(node).post("/write?db=mydb", body.encode())
            node.flush()
        check_known(all_recipes)
        check_shell(all_recipes)
        points = values = 0
        for seed in range(args.seeds):
            of_points, of_values = check_random(all_recipes, node, seed)
            points, values = points + of_points, values + of_values
        odd = check_odd_tables(all_recipes, node)
    print(f"{len(all_recipes)} recipes of docs/QUERY.md give what they should")
    print(f"{len(MERGING)} ways to merge find {points} random points with {values} values, and {odd} odd tables")


if __name__ == "__main__":
    sys.exit(main())
