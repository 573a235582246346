"""Five readers of a table of the lake: DuckDB, Polars, pyarrow, pandas, DataFusion. All must see the same values, row by row, to the bit.
One of them compares pages with their checksums, and must refuse what is damaged.

Each is asked with its default options, and with those that it needs where columns were added later or where `day` is not a column by itself.
What the default options do then differs from reader to reader; it is written down here as data, and checked: docs/QUERY.md says the same.
"""

import collections
import datetime
import json
import operator

import datafusion
import duckdb
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

DAY = pyarrow.schema([("day", pyarrow.date32())])
# So many columns of a file are damaged, each for itself.
DAMAGED_COLUMNS = 30
OPERATORS = {"=": operator.eq, ">=": operator.ge}
# What a reader does with files of one table that differ in columns: it takes those of the first file and drops the others without a word;
# it refuses where a file lacks a column of the first; it refuses any difference; or it takes the columns of all files.
FIRST, FIRST_OR_REFUSES, REFUSES, ALL = "first", "first or refuses", "refuses", "all"
# As what a reader has `day`, if it makes a column of the folders' names unasked.
DATE, STRING = "date32[day]", "string"

Condition = collections.namedtuple("Condition", "column operator value")


class Disagree(Exception):
    """A reader sees other data than the files hold."""


class DuckDB:
    name, day, columns = "DuckDB", DATE, FIRST_OR_REFUSES

    def read(self, folder):
        return self.ask(folder, "")

    def read_all(self, folder, schema, condition=None):
        where = f" WHERE {quoted(condition.column)} {condition.operator} {literal(condition.value)}" if condition else ""
        return self.ask(folder, ", union_by_name = true", where)

    def ask(self, folder, options, where=""):
        pattern = f"{folder}/*/*.parquet".replace("'", "''")
        with duckdb.connect() as connection:
            return connection.sql(f"FROM read_parquet('{pattern}'{options}){where}").to_arrow_table()


class Polars:
    name, day, columns = "Polars", DATE, REFUSES

    def read(self, folder):
        return polars.scan_parquet(folder).collect().to_arrow()

    def read_all(self, folder, schema, condition=None):
        scan = polars.scan_parquet(folder, schema=polars.Schema(pyarrow_to_polars(schema)), missing_columns="insert")
        if condition:
            scan = scan.filter(OPERATORS[condition.operator](polars.col(condition.column), condition.value))
        return scan.collect().to_arrow()


class PyArrow:
    name, day, columns = "pyarrow", None, FIRST

    def read(self, folder):
        return pyarrow.dataset.dataset(folder).to_table()

    def read_all(self, folder, schema, condition=None):
        partitioning = pyarrow.dataset.partitioning(DAY, flavor="hive")
        # Not by default: pyarrow compares pages with their checksums.
        checked = pyarrow.dataset.ParquetFileFormat(page_checksum_verification=True)
        data = pyarrow.dataset.dataset(folder, schema=pyarrow.unify_schemas([schema, DAY]), partitioning=partitioning, format=checked)
        return data.to_table(filter=condition and OPERATORS[condition.operator](pyarrow.dataset.field(condition.column), condition.value))


class Pandas:
    name, day, columns = "pandas", STRING, FIRST

    def read(self, folder):
        return pyarrow.Table.from_pandas(pandas.read_parquet(folder), preserve_index=False)

    def read_all(self, folder, schema, condition=None):
        filters = [(condition.column, "==" if condition.operator == "=" else condition.operator, condition.value)] if condition else None
        schema, partitioning = pyarrow.unify_schemas([schema, DAY]), pyarrow.dataset.partitioning(DAY, flavor="hive")
        frame = pandas.read_parquet(folder, schema=schema, partitioning=partitioning, filters=filters, dtype_backend="pyarrow")
        return pyarrow.Table.from_pandas(frame, preserve_index=False)


class DataFusion:
    name, day, columns = "DataFusion", None, ALL

    def read(self, folder):
        context = datafusion.SessionContext()
        context.register_parquet("data", folder)
        return context.sql("SELECT * FROM data").to_arrow_table()

    def read_all(self, folder, schema, condition=None):
        context = datafusion.SessionContext()
        context.register_parquet("data", folder, table_partition_cols=[("day", pyarrow.date32())])
        where = f" WHERE {quoted(condition.column)} {condition.operator} {literal(condition.value)}" if condition else ""
        return context.sql(f"SELECT * FROM data{where}").to_arrow_table()


READERS = [DuckDB(), Polars(), PyArrow(), Pandas(), DataFusion()]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(value):
    if isinstance(value, datetime.datetime):
        return f"TIMESTAMP '{value.replace(tzinfo=None)}+00:00'"
    if isinstance(value, datetime.date):
        return f"DATE '{value}'"
    return "'" + value.replace("'", "''") + "'"


def pyarrow_to_polars(schema):
    return polars.from_arrow(schema.empty_table()).schema


def as_bits(column):
    """The column so that equal values are equal bits: times as integers, doubles as their bits, every form of strings as one."""
    column = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pyarrow.types.is_timestamp(column.type):
        return column.cast(pyarrow.int64())
    if pyarrow.types.is_floating(column.type):
        return column.view(pyarrow.int64())
    return column.cast(pyarrow.string()) if is_text(column.type) or pyarrow.types.is_date(column.type) else column


def is_text(kind):
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_string_view(kind)


def kind_of(kind):
    """The type as it matters to a user: that a reader gives strings as a dictionary, or large ones, does not."""
    if pyarrow.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    return "timestamp[us] with a zone" if pyarrow.types.is_timestamp(kind) and kind.unit == "us" and kind.tz else "string" if is_text(kind) else str(kind)


def in_order(columns):
    """Rows in an order that depends on nothing but their values."""
    table = pyarrow.table(columns)
    return table.take(pyarrow.compute.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names]))


def compare_rows(what, found, expected):
    """Both are tables; the order of their rows and columns does not matter, anything else does."""
    names = sorted(expected.column_names)
    if sorted(found.column_names) != names:
        raise Disagree(f"{what}: columns {sorted(found.column_names)}, not {names}")
    for name in names:
        if kind_of(found[name].type) != kind_of(expected[name].type):
            raise Disagree(f"{what}: {name} is {found[name].type}, not {expected[name].type}")
    found, expected = ({name: as_bits(table[name]) for name in names} for table in (found, expected))
    if any(not found[name].equals(expected[name]) for name in names):
        found, expected = in_order(found), in_order(expected)
        for name in names:
            if not found[name].equals(expected[name]):
                difference = example(found[name], expected[name])
                raise Disagree(f"{what}: {name} {difference} of {len(found)} and {len(expected)} rows")


def example(found, expected):
    rows = zip(found.to_pylist(), expected.to_pylist())
    return next((f"is {a!r}, not {b!r}, in row {row}" for row, (a, b) in enumerate(rows) if a != b), "differs in the number")


def read_files(table, schema):
    """The rows of all files as the format says, read one by one: `day` from the folder's name, null where a file lacks a column."""
    parts = []
    for file in table.files:
        rows = file.parquet.read()
        day = datetime.date.fromisoformat(file.day)
        found = dict(zip(rows.column_names, rows.columns))
        columns = [found[name] if name in found else pyarrow.nulls(len(rows), kind) for name, kind in zip(schema.names, schema.types)]
        parts.append(pyarrow.table([*columns, pyarrow.array([day] * len(rows), pyarrow.date32())], names=[*schema.names, "day"]))
    return pyarrow.concat_tables(parts)


def newest_schema(table):
    """The columns of the file with the greatest name: no file of the table has others."""
    schema = max(table.files, key=lambda file: file.path.name).schema.remove_metadata()
    strangers = {name for file in table.files for name in file.schema.names} - set(schema.names)
    if strangers:
        raise Disagree(f"{table.folder}: the newest file has no columns {sorted(strangers)}, which others have")
    return schema


def as_pandas_gives(rows):
    """pandas has no integer that may be null unless asked: such a column becomes doubles, exact up to 2^53; one without any value has no type."""
    columns = []
    for field, column in zip(rows.schema, rows.columns):
        if column.null_count and pyarrow.types.is_integer(field.type):
            values = [None if value is None else float(value) for value in column.to_pylist()]
            column = pyarrow.array(values, pyarrow.float64())
        elif column.null_count == len(column) and pyarrow.types.is_boolean(field.type):
            column = pyarrow.nulls(len(column))
        columns.append(column)
    return pyarrow.table(columns, names=rows.column_names)


def check_default(reader, table, rows):
    """What the reader sees with its default options."""
    first = set(min(table.files, key=lambda file: file.path).schema.names)
    lacking = any(first - set(file.schema.names) for file in table.files)
    different = lacking or first != set(rows.column_names) - {"day"}
    what = f"{reader.name}, default options, {table.folder}"
    if (reader.columns == REFUSES and different) or (reader.columns == FIRST_OR_REFUSES and lacking):
        try:
            reader.read(table.folder)
        except Exception:
            return
        raise Disagree(f"{what}: reads files that differ in columns, which it refused so far: docs/QUERY.md needs to know")
    expected = rows if reader.columns == ALL else rows.select([name for name in rows.column_names if name in first or name == "day"])
    found = reader.read(table.folder)
    day = kind_of(found["day"].type) if "day" in found.column_names else None
    if day != reader.day:
        raise Disagree(f"{what}: the type of day is {day}, and was {reader.day} so far: docs/QUERY.md needs to know")
    if day is None:
        expected = expected.drop_columns(["day"])
    elif day == STRING:
        expected = expected.set_column(expected.column_names.index("day"), "day", expected["day"].cast(pyarrow.string()))
    compare_rows(what, found, as_pandas_gives(expected) if reader.name == "pandas" else expected)


def check_checksums(file):
    """Pages carry checksums: pyarrow, told to look at them, refuses a column whose last byte has changed. Returns for how many it did."""
    whole = file.path.read_bytes()
    group = file.parquet.metadata.row_group(0)
    columns = [group.column(index) for index in range(min(group.num_columns, DAMAGED_COLUMNS))]
    for column in columns:
        first = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
        damaged = bytearray(whole)
        damaged[first + column.total_compressed_size - 1] ^= 1
        damaged = pyarrow.BufferReader(bytes(damaged))
        with pyarrow.parquet.ParquetFile(damaged, page_checksum_verification=True) as parquet:
            try:
                parquet.read_row_group(0, columns=[column.path_in_schema])
            except OSError as error:
                if "crc" in str(error).lower():
                    continue
                raise Disagree(f"{file.path}: a damaged page of {column.path_in_schema} is refused, but not for its checksum: {error}") from error
        raise Disagree(f"{file.path}: a damaged page of {column.path_in_schema} is read as if it were whole")
    return len(columns)


def agree(table):
    """All readers see every value of every file; returns how many rows they compared."""
    check_checksums(table.files[-1])
    schema = newest_schema(table)
    rows = read_files(table, schema)
    for reader in READERS:
        check_default(reader, table, rows)
        compare_rows(f"{reader.name}, {table.folder}", reader.read_all(table.folder, schema), rows)
    return len(rows) * len(READERS)
