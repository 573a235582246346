"""Reads one table of the lake with pyarrow, strictly: every promise of the format is checked on the way."""

import collections
import datetime
import itertools
import json
import re

import pyarrow
import pyarrow.compute
import pyarrow.parquet

TYPES = {
    "float": pyarrow.float64(),
    "integer": pyarrow.int64(),
    "unsigned": pyarrow.uint64(),
    "boolean": pyarrow.bool_(),
    "string": pyarrow.string(),
}
TIME_COLUMNS = ["time", "time_ns_rem"]
FILE_NAME = re.compile(r"(\d{13})-(\d{4})-([^-/]+?)(?:-(\d{13}))?\.parquet")
DAY_FOLDER = re.compile(r"day=(\d{4}-\d{2}-\d{2})")
EPOCH_START = datetime.date(1970, 1, 1)
DAY_NS = 86_400 * 10**9
# Longer strings have bounds that are cut.
BOUND_BYTES_MAX = 64


class Broken(Exception):
    """A file does not hold what the format promises."""


def need(condition, path, sentence):
    if not condition:
        raise Broken(f"{path}: {sentence}")


class File:
    """One Parquet file: its metadata, columns and rows."""

    def __init__(self, path):
        self.path = path
        name, day = FILE_NAME.fullmatch(path.name), DAY_FOLDER.fullmatch(path.parent.name)
        need(name and day, path, "not named day=YYYY-MM-DD/<epoch>-<n>-<node>[-<first epoch>].parquet")
        self.day = day.group(1)
        self.parquet = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        metadata = {key.decode(): value.decode() for key, value in (self.parquet.metadata.metadata or {}).items()}
        need("ARROW:schema" not in metadata, path, "an Arrow schema is embedded")
        for key in ("bucket", "measurement", "tags", "node", "epoch"):
            need(f"ringest.{key}" in metadata, path, f"no ringest.{key} in the footer")
        need(metadata["ringest.epoch"] == str(int(name.group(1))), path, "name and footer disagree about the epoch")
        need(metadata["ringest.node"] == name.group(3), path, "name and footer disagree about the node")
        first = metadata.get("ringest.first_epoch")
        need(first == (name.group(4) and str(int(name.group(4)))), path, "name and footer disagree about the first epoch")
        need(first is None or int(first) < int(name.group(1)), path, "the first epoch is not below the last")
        self.order = (int(name.group(1)), int(name.group(2)))
        self.bucket, self.measurement = metadata["ringest.bucket"], metadata["ringest.measurement"]
        self.tags = json.loads(metadata["ringest.tags"])
        self.original = json.loads(metadata.get("ringest.names", "{}"))
        self.schema = self.parquet.schema_arrow
        self.check_schema()

    def check_schema(self):
        names = self.schema.names
        count = len(self.tags)
        need(names[:2] == TIME_COLUMNS, self.path, f"does not begin with {TIME_COLUMNS}: {names}")
        need(names[2 : 2 + count] == self.tags, self.path, f"tags {self.tags} are not the columns after the times: {names}")
        need(len(set(name.lower() for name in names)) == len(names), self.path, f"two columns differ in case only: {names}")
        need(self.schema.field("time").type == pyarrow.timestamp("us", tz="UTC"), self.path, "time is not TIMESTAMP(MICROS, UTC)")
        need(self.schema.field("time_ns_rem").type == pyarrow.int32(), self.path, "time_ns_rem is not INT32")
        need(not self.schema.field("time").nullable, self.path, "time may be null")
        for tag in self.tags:
            need(self.schema.field(tag).type == pyarrow.string(), self.path, f"tag {tag} is not a string")
        self.fields = names[2 + count :]

    def original_name(self, column):
        return self.original.get(column, column)

    def rows(self):
        """Yields ((tags, time in ns), {field: value})."""
        table = self.parquet.read()
        tag_lists = [table[tag].to_pylist() for tag in self.tags]
        field_lists = [table[field].to_pylist() for field in self.fields]
        fields = [self.original_name(field) for field in self.fields]
        micros = table["time"].cast(pyarrow.int64()).to_pylist()
        rests = table["time_ns_rem"].to_pylist()
        need(all(0 <= rest <= 999 for rest in rests), self.path, "time_ns_rem is outside of 0 to 999")
        times = [micro * 1000 + rest for micro, rest in zip(micros, rests)]
        self.check_order(tag_lists, times)
        series = {}
        for row, time in enumerate(times):
            raw = tuple(values[row] for values in tag_lists)
            if raw not in series:
                series[raw] = self.series_of(raw)
            values = ((field, column[row]) for field, column in zip(fields, field_lists))
            yield (series[raw], time), {field: value for field, value in values if value is not None}

    def series_of(self, raw):
        pairs = ((self.original_name(tag), value) for tag, value in zip(self.tags, raw) if value is not None)
        return tuple(sorted(pairs, key=lambda pair: pair[0].encode()))

    def check_statistics(self):
        """Readers skip row groups by these, and answer counts, least and greatest values from them."""
        for number in range(self.parquet.metadata.num_row_groups):
            rows = self.parquet.read_row_group(number)
            for index, name in enumerate(self.schema.names):
                statistics = self.parquet.metadata.row_group(number).column(index).statistics
                what = f"row group {number}, {name}: the statistics say"
                need(statistics is not None and statistics.has_null_count, self.path, f"row group {number}, {name}: no statistics")
                need(statistics.null_count == rows[name].null_count, self.path, f"{what} {statistics.null_count} nulls, it has {rows[name].null_count}")
                self.check_bounds(what, statistics, *pyarrow.compute.min_max(rows[name]).as_py().values())

    def check_bounds(self, what, statistics, least, greatest):
        if not statistics.has_min_max:
            long = isinstance(least, str) and max(len(least.encode()), len(greatest.encode())) > BOUND_BYTES_MAX
            need(least is None or long, self.path, f"{what} nothing of values from {least!r} to {greatest!r}")
            return
        low, high = statistics.min, statistics.max
        if isinstance(least, str):
            low, high, least, greatest = (text.encode() for text in (low, high, least, greatest))
            need(low <= least if len(least) > BOUND_BYTES_MAX else low == least, self.path, f"{what} from {low}, it is {least}")
            need(high >= greatest if len(greatest) > BOUND_BYTES_MAX else high == greatest, self.path, f"{what} to {high}, it is {greatest}")
        else:
            need((low, high) == (least, greatest), self.path, f"{what} {low} to {high}, it is {least} to {greatest}")

    def check_order(self, tag_lists, times):
        """Sorted by tags in column order, then time; each (series, time) once; all of the folder's day; and the footer says so."""
        group = self.parquet.metadata.row_group(0)
        sorting = group.sorting_columns
        names = [group.column(column.column_index).path_in_schema for column in sorting]
        need(names[: len(self.tags) + 1] == [*self.tags, "time"], self.path, f"sorting_columns are {names}")
        need(not any(column.descending for column in sorting), self.path, "a sorting column is descending")
        nulls_first = [column.nulls_first for column in sorting[: len(self.tags)]]

        def rank(value, first):
            return (0 if first else 2, b"") if value is None else (1, value.encode())

        ranks = [[rank(value, first) for value in values] for values, first in zip(tag_lists, nulls_first)]
        keys = zip(*ranks, times)
        need(all(a < b for a, b in itertools.pairwise(keys)), self.path, "rows are not sorted, or a (series, time) stands twice")
        days = {time // DAY_NS for time in times}
        need(
            {(str(EPOCH_START + datetime.timedelta(days=day))) for day in days} == {self.day},
            self.path,
            f"holds points of other days than {self.day}",
        )


class Table:
    """All files of one table, merged as a reader should: by epoch, the later wins field by field."""

    def __init__(self, folder):
        self.folder = folder
        self.files = sorted((File(path) for path in folder.rglob("*.parquet")), key=lambda file: file.order)
        need(self.files, folder, "holds no file")
        strangers = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".parquet"]
        need(not strangers, folder, f"holds files that are no Parquet: {strangers}")
        self.bucket, self.measurement = self.files[0].bucket, self.files[0].measurement

    def file_rows(self):
        return sum(file.parquet.metadata.num_rows for file in self.files)

    def compare(self, expected, types):
        """Compares with {(tags, time): {field: value}} and {field: type}; returns the number of values that were equal."""
        actual = collections.defaultdict(dict)
        for file in self.files:
            self.compare_types(file, types)
            file.check_statistics()
            for key, fields in file.rows():
                actual[key].update(fields)
        missing, extra = expected.keys() - actual.keys(), actual.keys() - expected.keys()
        need(not missing, self.folder, f"{len(missing)} of {len(expected)} points are missing, such as {example(missing)}")
        need(not extra, self.folder, f"{len(extra)} points were never written, such as {example(extra)}")
        for key, fields in expected.items():
            found = actual[key]
            # repr tells -0.0 from 0.0 and True from 1; equality alone would not.
            if found != fields or any(repr(found[field]) != repr(value) for field, value in fields.items()):
                raise Broken(f"{self.folder}: point {key}: written {fields}, stored {found}")
        return sum(len(fields) for fields in expected.values())

    def compare_types(self, file, types):
        columns = {file.original_name(field): file.schema.field(field).type for field in file.fields}
        for field, kind in types.items():
            found = columns.get(field)
            need(found in (None, TYPES[kind]), file.path, f"field {field} is {kind}, stored as {found}")
        need(not columns.keys() - types.keys(), file.path, f"columns that nobody wrote: {columns.keys() - types.keys()}")


def example(keys):
    return next(iter(keys), None)


def tables(lake):
    """Every table below the lake's folder."""
    return [Table(folder) for bucket in sorted(lake.iterdir()) for folder in sorted(bucket.iterdir())]
