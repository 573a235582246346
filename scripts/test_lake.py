"""Proves that the lake's checks raise the alarm: a made-up lake passes, and each fault planted in it is found."""

import environment  # noqa: F401

import json
import pathlib
import tempfile
import unittest

import pyarrow
import pyarrow.parquet

import lake
import readers

DAY = "2026-01-01"
START = 1767225600 * 10**9
TYPES = {"value": "float", "count": "integer", "Host": "string"}
EXPECTED = {
    ((("host", "a"),), START): {"value": 1.0, "count": 1},
    ((("host", "a"),), START + 1): {"value": -0.0, "Host": "x"},
    ((("host", "b"),), START): {"count": 2},
}


def columns():
    return {
        "time": [START // 1000] * 3,
        "time_ns_rem": [0, 1, 0],
        "host": ["a", "a", "b"],
        "value": [1.0, -0.0, None],
        "count": [1, None, 2],
        "Host_2": [None, "x", None],
    }


def write(root, data, tags=("host",), metadata=None, name="1767225600000-0000-node.parquet", day=DAY, store_schema=False):
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
    with pyarrow.parquet.ParquetWriter(path, schema, sorting_columns=sorting, store_schema=store_schema) as writer:
        writer.write_table(pyarrow.table(data, schema=schema))
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


if __name__ == "__main__":
    unittest.main()
