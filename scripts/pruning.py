"""Shows that readers skip what a condition excludes: the row groups it excludes are destroyed, and the answer stays the same.

A copy of the table has every byte of the excluded row groups (or files) overwritten, but footers, which some readers want of every file. A
reader that looks at one of them fails; so it must with the same question unconditioned, or the proof would prove nothing.
"""

import datetime
import pathlib
import shutil
import tempfile

import pyarrow
import pyarrow.compute

import readers
from readers import Condition, Disagree


def groups(table, column):
    """(file, number of the row group, least value, greatest value) of the column, from the values themselves, not from statistics."""
    for file in table.files:
        for number in range(file.parquet.metadata.num_row_groups):
            if column == "day":
                day = datetime.date.fromisoformat(file.day)
                yield file, number, day, day
            elif column in file.schema.names:
                bounds = pyarrow.compute.min_max(file.parquet.read_row_group(number, [column])[column]).as_py()
                yield file, number, bounds["min"], bounds["max"]
            else:
                yield file, number, None, None


def matches(condition, least, greatest):
    if greatest is None:
        return False
    return greatest >= condition.value if condition.operator == ">=" else least <= condition.value <= greatest


def choose(table, column):
    """The condition that excludes most, what it excludes, and the number of all row groups. But for `day` it excludes a part of some file: to
    skip whole files is easier."""
    of_column = list(groups(table, column))
    operator = ">=" if column == "time" else "="
    found = []
    for value in {value for _, _, *bounds in of_column for value in bounds if value is not None}:
        condition = Condition(column, operator, value)
        excluded = [(file, number) for file, number, *bounds in of_column if not matches(condition, *bounds)]
        left = {file.path for file, _, *bounds in of_column if matches(condition, *bounds)}
        if excluded and left and (column == "day" or any(file.path in left for file, _ in excluded)):
            found.append((len(excluded), str(value), condition, excluded))
    if not found:
        raise Disagree(f"{table.folder}: no condition on {column} excludes a row group")
    *_, condition, excluded = max(found, key=lambda entry: entry[:2])
    return condition, excluded, len(of_column)


def destroy(path, metadata, number):
    """Overwrites the data of one row group."""
    group = metadata.row_group(number)
    with open(path, "r+b") as file:
        for column in (group.column(index) for index in range(group.num_columns)):
            start = column.data_page_offset if column.dictionary_page_offset is None else min(column.dictionary_page_offset, column.data_page_offset)
            file.seek(start)
            file.write(b"\xff" * column.total_compressed_size)


def damaged_copy(table, excluded, folder):
    copy = pathlib.Path(folder) / table.folder.name
    shutil.copytree(table.folder, copy)
    for file, number in excluded:
        destroy(copy / file.path.relative_to(table.folder), file.parquet.metadata, number)
    return copy


def matching(rows, condition):
    compute = pyarrow.compute.greater_equal if condition.operator == ">=" else pyarrow.compute.equal
    return rows.filter(compute(rows[condition.column], pyarrow.scalar(condition.value, rows.schema.field(condition.column).type)))


def check(table, columns):
    """Every reader skips what a condition on each of the columns excludes; returns in words how much that is."""
    schema = readers.newest_schema(table)
    rows = readers.read_files(table, schema)
    shown = []
    for column in columns:
        condition, excluded, groups_in_all = choose(table, column)
        with tempfile.TemporaryDirectory() as folder:
            copy = damaged_copy(table, excluded, folder)
            for reader in readers.READERS:
                check_reader(reader, copy, schema, condition, matching(rows, condition))
        shown.append(f"{len(excluded)} of {groups_in_all} by {column} {condition.operator} {condition.value}")
    return shown


def check_reader(reader, copy, schema, condition, expected):
    what = f"{reader.name}, {copy.name} where {condition.column} {condition.operator} {condition.value}"
    try:
        reader.read_all(copy, schema)
    except Exception:
        pass
    else:
        raise Disagree(f"{what}: reads destroyed row groups without a complaint, so that nothing is proved")
    try:
        found = reader.read_all(copy, schema, condition)
    except Exception as error:
        raise Disagree(f"{what}: reads row groups that the condition excludes: {error}") from error
    readers.compare_rows(what, found, expected)
