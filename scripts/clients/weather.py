"""The points that the clients write, and what the lake must hold of them afterwards."""

import duckdb

TIME = 1767225600123456789
SECOND = 1767225601
STRING = 'quote " backslash \\ 🦀'
PLACE = "São Paulo, centro"

# A batch in which the second point is of another type than the first gave the field.
PARTLY_GOOD = [f"weather,place=a degrees=1 {TIME}", f'weather,place=b degrees="warm" {TIME}', f"weather,place=c degrees=3 {TIME}"]
CONFLICT = "partial write: field type conflict: "
GOOD_PART = [(TIME, "a", 1.0), (TIME, "c", 3.0)]
MALFORMED = "weather,place=a degrees="


class Unexpected(Exception):
    """The client did, or the lake holds, something else than it should."""


def expect(what, found, expected):
    if found != expected:
        raise Unexpected(f"{what}:\n  {found}\nexpected\n  {expected}")


def expect_in(what, text, *parts):
    for part in parts:
        if part not in text:
            raise Unexpected(f"{what}:\n  {text}\nlacks\n  {part}")


def refusal(kind, call, *arguments, **named):
    """The exception of this kind that the call must end with."""
    try:
        call(*arguments, **named)
    except kind as refused:
        return refused
    raise Unexpected(f"{call.__qualname__} did not raise {kind.__name__}")


def stored(node, bucket, columns="place, degrees", measurement="weather"):
    """[(time in nanoseconds, columns)] of a table, everything acknowledged in it; none where there is no such table.

    What was written twice may be in two files.
    """
    node.flush()
    folder = node.lake / bucket / measurement
    if not folder.exists():
        return []
    source = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true, union_by_name = true)"
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT DISTINCT epoch_us(time) * 1000 + time_ns_rem, {columns} FROM {source}").fetchall()
    return sorted(rows, key=repr)


def expect_stored(node, bucket, expected, columns="place, degrees", measurement="weather"):
    expect(f"the table {measurement} of {bucket} holds", stored(node, bucket, columns, measurement), sorted(expected, key=repr))
