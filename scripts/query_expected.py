"""What the recipes of docs/QUERY.md run on, and what each has to give: a row of names, then rows of values; None for one that gives nothing."""

DAY_1 = 1_767_225_600 * 10**9
DAY_2 = DAY_1 + 86_400 * 10**9
SECOND = 10**9

# Each is flushed: a later body stands in later files. Table cpu gets a tag and a field in the second one, and corrections in the last two.
WRITES = [
    f"""cpu,host=a,region=west usage=12.5,cores=8i {DAY_1}
cpu,host=a,region=west usage=14.5,cores=8i {DAY_1 + 60 * SECOND}
cpu,host=b,region=east usage=50,cores=4i {DAY_1}
cpu,host=b,region=east usage=70 {DAY_1 + 300 * SECOND}
weather,day=mon,city=x temp=1,Temp=2 {DAY_1}
""",
    f"""cpu,host=a,region=west usage=20,cores=8i,state="ok" {DAY_2}
cpu,host=a,region=west,rack=r1 usage=40 {DAY_2 + 60 * SECOND + 1}
cpu,host=a,region=west,rack=r1 usage=41 {DAY_2 + 60 * SECOND + 2}
cpu,host=c usage=5 {DAY_2}
""",
    f"""cpu,host=a,region=west usage=13 {DAY_1}
cpu,host=b,region=east cores=6i {DAY_1 + 300 * SECOND}
cpu,host=c state="late" {DAY_2}
""",
    f"""cpu,host=a,region=west state="seen" {DAY_1}
cpu,host=a,region=west usage=13.5 {DAY_1}
""",
]
# As Grafana and the plugin write them for a panel over two hours of the second day, in steps of a minute.
GRAFANA_MACROS = {
    "$__timeFilter(time)": "time >= '2026-01-02T00:00:00Z' AND time <= '2026-01-02T02:00:00Z'",
    "${__from}": "1767312000000",
    "${__to}": "1767319200000",
    "$__interval_ms": "60000",
}

EXPECTED = {
    "files": None,
    "time-range": [
        ("time", "host", "usage"),
        ("2026-01-02 00:00:00", "a", 20.0),
        ("2026-01-02 00:00:00", "c", 5.0),
        ("2026-01-02 00:00:00", "c", None),
    ],
    "nanoseconds": [
        ("host", "usage", "ns", "exact"),
        ("a", 40.0, 1767312060000000001, "2026-01-02 00:01:00.000000001"),
        ("a", 41.0, 1767312060000000002, "2026-01-02 00:01:00.000000002"),
    ],
    "point": [
        ("host", "usage"),
        ("a", 40.0),
    ],
    "later-tag": [
        ("rack", "points"),
        ("r1", 2),
        (None, 10),
    ],
    "merged-macros": None,
    "merged": [
        ("time", "host", "rack", "region", "usage", "cores", "state"),
        ("2026-01-01 00:00:00", "a", None, "west", 13.5, 8, "seen"),
        ("2026-01-01 00:00:00", "b", None, "east", 50.0, 4, None),
        ("2026-01-01 00:01:00", "a", None, "west", 14.5, 8, None),
        ("2026-01-01 00:05:00", "b", None, "east", 70.0, 6, None),
        ("2026-01-02 00:00:00", "a", None, "west", 20.0, 8, "ok"),
        ("2026-01-02 00:00:00", "c", None, None, 5.0, None, "late"),
        ("2026-01-02 00:01:00", "a", "r1", "west", 40.0, None, None),
        ("2026-01-02 00:01:00", "a", "r1", "west", 41.0, None, None),
    ],
    "merged-view": [
        ("points",),
        (8,),
    ],
    "last": [
        ("host", "rack", "region", "usage", "at"),
        ("a", "r1", "west", 41.0, "2026-01-02 00:01:00"),
        ("a", None, "west", 20.0, "2026-01-02 00:00:00"),
        ("b", None, "east", 70.0, "2026-01-01 00:05:00"),
        ("c", None, None, 5.0, "2026-01-02 00:00:00"),
    ],
    "downsample": [
        ("t", "host", "mean", "peak"),
        ("2026-01-01 00:00:00", "a", 14.0, 14.5),
        ("2026-01-01 00:00:00", "b", 50.0, 50.0),
        ("2026-01-01 00:05:00", "b", 70.0, 70.0),
    ],
    "names": [
        ("names",),
        ('{"Temp_2":"Temp","day_2":"day"}',),
    ],
    "polars": [
        ("time", "rack", "usage"),
        ("2026-01-02 00:00:00", None, 20.0),
        ("2026-01-02 00:01:00", "r1", 40.0),
        ("2026-01-02 00:01:00", "r1", 41.0),
    ],
    "polars-nanoseconds": [
        ("ns", "usage"),
        (1767312060000000001, 40.0),
        (1767312060000000002, 41.0),
    ],
    "polars-merged": [
        ("time", "time_ns_rem", "day", "host", "rack", "region", "usage", "cores", "state"),
        ("2026-01-01 00:00:00", 0, "2026-01-01", "a", None, "west", 13.5, 8, "seen"),
        ("2026-01-01 00:00:00", 0, "2026-01-01", "b", None, "east", 50.0, 4, None),
        ("2026-01-01 00:01:00", 0, "2026-01-01", "a", None, "west", 14.5, 8, None),
        ("2026-01-01 00:05:00", 0, "2026-01-01", "b", None, "east", 70.0, 6, None),
        ("2026-01-02 00:00:00", 0, "2026-01-02", "a", None, "west", 20.0, 8, "ok"),
        ("2026-01-02 00:00:00", 0, "2026-01-02", "c", None, None, 5.0, None, "late"),
        ("2026-01-02 00:01:00", 1, "2026-01-02", "a", "r1", "west", 40.0, None, None),
        ("2026-01-02 00:01:00", 2, "2026-01-02", "a", "r1", "west", 41.0, None, None),
    ],
    "polars-last": [
        ("host", "rack", "region", "usage"),
        ("a", None, "west", 20.0),
        ("a", "r1", "west", 41.0),
        ("b", None, "east", 70.0),
        ("c", None, None, 5.0),
    ],
    "polars-downsample": [
        ("time", "host", "usage"),
        ("2026-01-01 00:00:00", "a", 14.0),
        ("2026-01-01 00:00:00", "b", 50.0),
        ("2026-01-01 00:05:00", "b", 70.0),
    ],
    "pandas": [
        ("time", "rack", "usage"),
        ("2026-01-02 00:00:00", None, 20.0),
        ("2026-01-02 00:01:00", "r1", 40.0),
        ("2026-01-02 00:01:00", "r1", 41.0),
    ],
    "pandas-merged": [
        ("time", "time_ns_rem", "day", "host", "rack", "region", "usage", "cores", "state"),
        ("2026-01-01 00:00:00", 0, "2026-01-01", "a", None, "west", 13.5, 8, "seen"),
        ("2026-01-01 00:00:00", 0, "2026-01-01", "b", None, "east", 50.0, 4, None),
        ("2026-01-01 00:01:00", 0, "2026-01-01", "a", None, "west", 14.5, 8, None),
        ("2026-01-01 00:05:00", 0, "2026-01-01", "b", None, "east", 70.0, 6, None),
        ("2026-01-02 00:00:00", 0, "2026-01-02", "a", None, "west", 20.0, 8, "ok"),
        ("2026-01-02 00:00:00", 0, "2026-01-02", "c", None, None, 5.0, None, "late"),
        ("2026-01-02 00:01:00", 1, "2026-01-02", "a", "r1", "west", 40.0, None, None),
        ("2026-01-02 00:01:00", 2, "2026-01-02", "a", "r1", "west", 41.0, None, None),
    ],
    "pandas-nanoseconds": [
        ("ns", "usage"),
        (1767312060000000001, 40.0),
        (1767312060000000002, 41.0),
    ],
    "pandas-last": [
        ("host", "rack", "region", "usage"),
        ("a", "r1", "west", 41.0),
        ("a", None, "west", 20.0),
        ("b", None, "east", 70.0),
        ("c", None, None, 5.0),
    ],
    "pandas-downsample": [
        ("time", "host", "usage"),
        ("2026-01-01 00:00:00", "a", 14.0),
        ("2026-01-01 00:00:00", "b", 50.0),
        ("2026-01-01 00:05:00", "b", 70.0),
    ],
    "datafusion": [
        ("time", "rack", "usage"),
        ("2026-01-02 00:00:00", None, 20.0),
        ("2026-01-02 00:01:00", "r1", 40.0),
        ("2026-01-02 00:01:00", "r1", 41.0),
    ],
    "datafusion-external": [
        ("day", "points"),
        ("2026-01-02", 5),
    ],
    "datafusion-merged": [
        ("time", "time_ns_rem", "host", "rack", "region", "usage", "cores", "state"),
        ("2026-01-01 00:00:00", 0, "a", None, "west", 13.5, 8, "seen"),
        ("2026-01-01 00:00:00", 0, "b", None, "east", 50.0, 4, None),
        ("2026-01-01 00:01:00", 0, "a", None, "west", 14.5, 8, None),
        ("2026-01-01 00:05:00", 0, "b", None, "east", 70.0, 6, None),
        ("2026-01-02 00:00:00", 0, "a", None, "west", 20.0, 8, "ok"),
        ("2026-01-02 00:00:00", 0, "c", None, None, 5.0, None, "late"),
        ("2026-01-02 00:01:00", 1, "a", "r1", "west", 40.0, None, None),
        ("2026-01-02 00:01:00", 2, "a", "r1", "west", 41.0, None, None),
    ],
    "datafusion-nanoseconds": [
        ("ns", "usage"),
        (1767312060000000001, 40.0),
        (1767312060000000002, 41.0),
    ],
    "datafusion-last": [
        ("host", "rack", "region", "usage"),
        ("a", "r1", "west", 41.0),
        ("a", None, "west", 20.0),
        ("b", None, "east", 70.0),
        ("c", None, None, 5.0),
    ],
    "datafusion-downsample": [
        ("t", "host", "mean"),
        ("2026-01-01 00:00:00", "a", 14.0),
        ("2026-01-01 00:00:00", "b", 50.0),
        ("2026-01-01 00:05:00", "b", 70.0),
    ],
    "grafana-init": None,
    "grafana-panel": [
        ("time", "host", "usage"),
        ("2026-01-02 00:00:00", "a", 20.0),
        ("2026-01-02 00:00:00", "c", 5.0),
        ("2026-01-02 00:01:00", "a", 40.5),
    ],
}
