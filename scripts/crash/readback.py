"""Every file of the lake is read by pyarrow and by DuckDB, and both must see the same rows."""

import duckdb
import pyarrow.compute
import pyarrow.parquet

FILES_AT_ONCE = 500


def check(lake, violate):
    """Returns the number of files."""
    paths = sorted(path for path in lake.rglob("*.parquet"))
    by_table = {}
    for path in paths:
        by_table.setdefault(path.parent.parent, []).append(path)
    for files in by_table.values():
        for at in range(0, len(files), FILES_AT_ONCE):
            some = files[at : at + FILES_AT_ONCE]
            theirs = ask_duckdb(some)
            for path in some:
                if theirs.get(str(path)) != (ours := ask_pyarrow(path)):
                    violate("every reader sees the same", f"{path}: pyarrow reads {ours} (rows, first, last, sum of rests), DuckDB {theirs.get(str(path))}")
    return len(paths)


def ask_duckdb(files):
    asked = "filename, count(time), min(epoch_us(time)), max(epoch_us(time)), sum(time_ns_rem)"
    rows = duckdb.execute(f"SELECT {asked} FROM read_parquet($1, union_by_name = true, filename = true) GROUP BY filename", [[str(path) for path in files]]).fetchall()
    return {name: tuple(int(value) for value in values) for name, *values in rows}


def ask_pyarrow(path):
    table = pyarrow.parquet.ParquetFile(path).read(columns=["time", "time_ns_rem"])
    times = table["time"].cast(pyarrow.int64())
    bounds = pyarrow.compute.min_max(times).as_py()
    return table.num_rows, bounds["min"], bounds["max"], pyarrow.compute.sum(table["time_ns_rem"]).as_py()
