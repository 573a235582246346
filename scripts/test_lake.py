"""Proves that the lake's checks raise the alarm: a made-up lake passes, and each fault planted in it is found."""

import environment  # noqa: F401

import json
import pathlib
import struct
import tempfile
import unittest
from unittest import mock

import pyarrow
import pyarrow.parquet

import lake
import pruning
import readers

DAY = "2026-01-01"
START = 1767225600 * 10**9
TYPES = {"value": "float", "count": "integer", "Host": "string"}
EXPECTED = {
    ((("host", "a"),), START): {"value": 1.0, "count": 1},
    ((("host", "a"),), START + 1): {"value": -0.0, "Host": "x"},
    ((("host", "b"),), START): {"count": 2},
}


def shifted(data, days):
    return data | {"time": [time + days * 86_400 * 10**6 for time in data["time"]]}


def columns():
    return {
        "time": [START // 1000] * 3,
        "time_ns_rem": [0, 1, 0],
        "host": ["a", "a", "b"],
        "value": [1.0, -0.0, None],
        "count": [1, None, 2],
        "Host_2": [None, "x", None],
    }


def write(root, data, tags=("host",), metadata=None, name="1767225600000-0000-node.parquet", day=DAY, store_schema=False, group_rows=None, **options):
    types = {"time": pyarrow.timestamp("us", tz="UTC"), "time_ns_rem": pyarrow.int32(), "value": pyarrow.float64(), "count": pyarrow.int64()}
    fields = [pyarrow.field(key, types.get(key, pyarrow.string()), nullable=key not in lake.TIME_COLUMNS) for key in data]
    footer = {"bucket": "db", "measurement": "m", "tags": json.dumps(tags), "names": json.dumps({"Host_2": "Host"}), "node": "node", "epoch": "1767225600000"}
    footer |= metadata or {}
    schema = pyarrow.schema(fields)
    order = pyarrow.parquet.SortingColumn
    names = [*tags, "time"]
    sorting = [order(list(data).index(name), nulls_first=True) for name in names]
    path = root / "lake" / "db" / "m" / f"day={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    options.setdefault("write_page_checksum", True)
    with pyarrow.parquet.ParquetWriter(path, schema, sorting_columns=sorting, store_schema=store_schema, **options) as writer:
        writer.write_table(pyarrow.table(data, schema=schema), group_rows)
        writer.add_key_value_metadata({f"ringest.{key}": value for key, value in footer.items()})


class Checks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def check(self, **writing):
        write(self.root, **({"data": columns()} | writing))
        (table,) = lake.tables(self.root / "lake")
        values = table.compare(EXPECTED, TYPES)
        readers.agree(table)
        return values

    def test_a_sound_lake_passes(self):
        self.assertEqual(self.check(), 5)

    def test_a_later_epoch_wins_field_by_field(self):
        write(self.root, columns() | {"value": [7.0, None, None], "count": [None, None, 9]})
        later = {"time": [START // 1000], "time_ns_rem": [0], "host": ["a"], "value": [1.0], "count": [1], "Host_2": [None]}
        write(self.root, later, name="1767225600001-0000-node.parquet", metadata={"epoch": "1767225600001"})
        expected = EXPECTED | {list(EXPECTED)[1]: {"Host": "x"}, list(EXPECTED)[2]: {"count": 9}}
        (table,) = lake.tables(self.root / "lake")
        self.assertEqual(table.compare(expected, TYPES), 4)
        readers.agree(table)

    def test_a_compacted_file_is_read(self):
        name, first = "1767225600000-0001-node-1767225590000.parquet", {"first_epoch": "1767225590000"}
        self.assertEqual(self.check(name=name, metadata=first), 5)

    def test_every_fault_is_found(self):
        sound = columns()
        swapped = {"count": "value", "value": "count", "Host_2": "Host"}
        faults = [
            ("written .* stored", {"data": sound | {"value": [2.0, -0.0, None]}}),
            ("written .* stored", {"data": sound | {"value": [1.0, 0.0, None]}}),
            ("written .* stored", {"data": sound | {"value": [1.0, -0.0, 0.0]}}),
            ("written .* stored", {"data": sound | {"count": [None, None, 2]}}),
            ("are missing", {"data": sound | {"time_ns_rem": [0, 2, 0]}}),
            ("are missing", {"data": {key: values[:2] for key, values in sound.items()}}),
            ("never written", {"data": {key: [*values, values[2]] for key, values in sound.items()} | {"host": ["a", "a", "b", "c"]}}),
            ("not sorted", {"data": {key: [values[0], *values] for key, values in sound.items()}}),
            ("not sorted", {"data": {key: values[::-1] for key, values in sound.items()}}),
            ("other days", {"day": "2026-01-02"}),
            ("is float, stored as int64", {"metadata": {"names": json.dumps(swapped)}}),
            ("disagree about the epoch", {"metadata": {"epoch": "5"}}),
            ("disagree about the first epoch", {"metadata": {"first_epoch": "5"}}),
            ("disagree about the first epoch", {"name": "1767225600000-0001-node-1767225590000.parquet"}),
            ("first epoch is not below", {"name": "1767225600000-0001-node-1767225600000.parquet", "metadata": {"first_epoch": "1767225600000"}}),
            ("Arrow schema", {"store_schema": True}),
            ("nobody wrote", {"data": sound | {"extra": [None] * 3}}),
            ("not named", {"name": "part-0.parquet"}),
            ("tags .* are not the columns", {"metadata": {"tags": '["value"]'}}),
            ("differ in case", {"data": sound | {"HOST": [None] * 3}}),
        ]
        for sentence, writing in faults:
            with self.subTest(sentence, **writing), tempfile.TemporaryDirectory() as folder:
                self.root = pathlib.Path(folder)
                with self.assertRaisesRegex(lake.Broken, sentence):
                    self.check(**writing)

    def test_statistics_that_mislead_are_found(self):
        write(self.root, columns())
        (path,) = self.root.rglob("*.parquet")
        data = path.read_bytes()
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        path.write_bytes(data[:footer] + data[footer:].replace(struct.pack("<d", 1.0), struct.pack("<d", 0.5)))
        (table,) = lake.tables(self.root / "lake")
        with self.assertRaisesRegex(lake.Broken, "value: the statistics say .* 0.5, it is -0.0 to 1.0"):
            table.compare(EXPECTED, TYPES)

    def test_rows_that_a_reader_sees_otherwise_are_found(self):
        rows = pyarrow.table({"f": [1.0, -0.0, None], "s": ["", None, "x"], "u": pyarrow.array([1, None, 2**63], pyarrow.uint64())})
        readers.compare_rows("the same", rows.take([2, 0, 1]).select(["u", "s", "f"]), rows)
        others = [
            rows.set_column(0, "f", [[1.0, 0.0, None]]),
            rows.set_column(0, "f", [[1.0 + 2**-52, -0.0, None]]),
            rows.set_column(1, "s", [[None, None, "x"]]),
            rows.set_column(1, "s", [["", "", "x"]]),
            rows.set_column(1, "s", [["", "x", None]]),
            rows.set_column(2, "u", [pyarrow.array([1.0, None, 2.0**63])]),
            rows.drop_columns(["u"]),
            rows.slice(1),
            pyarrow.concat_tables([rows, rows.slice(2)]),
        ]
        for other in others:
            with self.subTest(other=other.to_pydict()), self.assertRaises(readers.Disagree):
                readers.compare_rows("others", other, rows)

    def test_what_default_options_do_with_new_columns_is_checked(self):
        """Whatever is written down of a reader, anything else is found."""
        write(self.root, {name: values for name, values in columns().items() if name != "count"})
        write(self.root, columns(), name="1767225600001-0000-node.parquet", metadata={"epoch": "1767225600001"})
        (table,) = lake.tables(self.root / "lake")
        readers.agree(table)
        for reader in readers.READERS:
            # The first file lacks a column, so that two of the four are the same here.
            alike = {readers.FIRST, readers.FIRST_OR_REFUSES} if reader.columns.startswith("first") else {reader.columns}
            for columns_by_default in {readers.FIRST, readers.FIRST_OR_REFUSES, readers.REFUSES, readers.ALL} - alike:
                with mock.patch.object(type(reader), "columns", columns_by_default), self.subTest(reader.name, columns=columns_by_default):
                    self.assertRaises(Exception, readers.agree, table)

    def test_pages_without_checksums_are_found(self):
        readers.agree(self.single(columns()))
        # Where nothing is compressed, nothing but the checksum tells of a changed value.
        table = self.single(columns(), write_page_checksum=False, compression="none", use_dictionary=False)
        self.assertRaisesRegex(readers.Disagree, "is read as if it were whole", readers.agree, table)

    def test_a_newest_file_without_a_column_of_an_older_one_is_found(self):
        write(self.root, columns())
        fewer = {name: values for name, values in columns().items() if name != "count"}
        write(self.root, fewer, name="1767225600001-0000-node.parquet", metadata={"epoch": "1767225600001"})
        (table,) = lake.tables(self.root / "lake")
        self.assertRaisesRegex(readers.Disagree, "has no columns .*count", readers.agree, table)

    def test_a_day_of_another_type_is_found(self):
        table = self.single(columns())
        readers.agree(table)
        for reader in readers.READERS:
            with mock.patch.object(type(reader), "day", "int64"), self.subTest(reader.name):
                self.assertRaisesRegex(readers.Disagree, "the type of day", readers.agree, table)

    def test_row_groups_that_are_read_in_vain_are_found(self):
        sound = {"time": [START // 1000 + n for n in range(4)], "time_ns_rem": [0, 1, 2, 3], "host": ["a", "a", "b", "b"], "value": [1.0, 2.0, 3.0, 4.0]}
        write(self.root / "single", shifted(sound, 1), day="2026-01-02", group_rows=2)
        table = self.single(sound, group_rows=2)
        pruning.check(table, ["day", "time", "host"])
        with self.assertRaisesRegex(readers.Disagree, "no condition on host excludes"):
            pruning.check(self.single(sound, bucket="whole"), ["host"])
        for reader in readers.READERS:
            # Without statistics a reader has to look into every row group.
            with self.subTest(reader.name), mock.patch.object(readers, "READERS", [reader]):
                table = self.single(sound, f"for {reader.name}", write_statistics=False, group_rows=2)
                self.assertRaisesRegex(readers.Disagree, "reads row groups that the condition excludes", pruning.check, table, ["host"])

    def single(self, data, bucket="single", **options):
        write(self.root / bucket, data, **options)
        return lake.tables(self.root / bucket / "lake")[0]


if __name__ == "__main__":
    unittest.main()
