"""The same questions to DuckDB, Polars and pyarrow: counts, sums, least and greatest values and times, distinct tags."""

import math

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset

NUMERIC = {pyarrow.float64(), pyarrow.int64(), pyarrow.uint64()}


class Disagree(Exception):
    """Two readers see different data."""


def questions(table):
    """(tag columns, numeric field columns) of all files together."""
    tags, numbers = {}, {}
    for file in table.files:
        tags.update(dict.fromkeys(file.tags))
        numbers.update((field, None) for field in file.fields if file.schema.field(field).type in NUMERIC)
    return list(tags), list(numbers)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def ask_duckdb(table, tags, numbers):
    columns = ["count(*)", "min(epoch_us(time)), max(epoch_us(time)), sum(time_ns_rem), count(DISTINCT day)"]
    columns += [f"count(DISTINCT {quoted(tag)})" for tag in tags]
    columns += [f"count({quoted(n)}), sum({quoted(n)}::DOUBLE), min({quoted(n)}), max({quoted(n)})" for n in numbers]
    pattern = str(table.folder / "*" / "*.parquet").replace("'", "''")
    source = f"read_parquet('{pattern}', hive_partitioning = true, union_by_name = true)"
    (answers,) = duckdb.sql(f"SELECT {', '.join(columns)} FROM {source}").fetchall()
    return list(answers)


def ask_polars(table, tags, numbers):
    scans = [polars.scan_parquet(file.path, hive_partitioning=True) for file in table.files]
    frame = polars.concat(scans, how="diagonal")
    time = polars.col("time").dt.epoch("us")
    columns = [polars.len(), time.min().alias("first"), time.max().alias("last"), polars.col("time_ns_rem").sum()]
    columns += [polars.col("day").n_unique()]
    columns += [polars.col(tag).drop_nulls().n_unique() for tag in tags]
    for index, name in enumerate(numbers):
        column = polars.col(name)
        of = [column.count(), column.cast(polars.Float64).sum(), column.min(), column.max()]
        columns += [expression.alias(f"{index} {part}") for part, expression in enumerate(of)]
    return list(frame.select(columns).collect().row(0))


def ask_pyarrow(table, tags, numbers):
    parts = [pyarrow.dataset.dataset(file.path) for file in table.files]
    schema = pyarrow.unify_schemas([part.schema for part in parts] + [pyarrow.schema([("day", pyarrow.string())])])
    paths = [str(file.path) for file in table.files]
    data = pyarrow.dataset.dataset(paths, schema=schema, partitioning="hive", partition_base_dir=str(table.folder)).to_table()
    compute = pyarrow.compute
    time = data["time"].cast(pyarrow.int64())
    answers = [data.num_rows, *compute.min_max(time).as_py().values(), compute.sum(data["time_ns_rem"]).as_py()]
    answers += [compute.count_distinct(data["day"]).as_py()]
    answers += [compute.count_distinct(data[tag], mode="only_valid").as_py() for tag in tags]
    for name in numbers:
        column = data[name]
        total = compute.sum(column.cast(pyarrow.float64(), safe=False)).as_py()
        answers += [compute.count(column).as_py(), total, *compute.min_max(column).as_py().values()]
    return answers


def same(a, b):
    """Sums of floats depend on the order of the additions; everything else is exact."""
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9))


def agree(table):
    """Asks all three; returns the number of answers that were equal."""
    tags, numbers = questions(table)
    answers = {ask.__name__: ask(table, tags, numbers) for ask in (ask_duckdb, ask_polars, ask_pyarrow)}
    for asked, of_three in enumerate(zip(*answers.values(), strict=True)):
        if not (same(of_three[0], of_three[1]) and same(of_three[0], of_three[2])):
            raise Disagree(f"{table.folder}: answer {asked} of {tags}, {numbers}: {dict(zip(answers, of_three))}")
    if answers["ask_duckdb"][0] != table.file_rows():
        raise Disagree(f"{table.folder}: the readers count {answers['ask_duckdb'][0]} rows, the footers {table.file_rows()}")
    return len(answers["ask_duckdb"])
