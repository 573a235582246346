"""Writes a few points with the clients that people use, and finds them in Parquet: python scripts/clients_check.py BINARY

The Python packages influxdb (1.x) and influxdb-client (2.x, through /api/v2/write), and influx of npm.
"""

import environment  # noqa: F401  first of all: the packages below live there

import pathlib
import subprocess
import sys

import duckdb
import influxdb
import influxdb.exceptions
import influxdb_client
from influxdb_client.client.write_api import SYNCHRONOUS

from node import Node

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
TIME = 1767225600123456789
STRING = 'quote " backslash \\ 🦀'
PLACE = "São Paulo, centro"


def query(node, bucket, measurement, columns):
    pattern = node.lake / bucket / measurement / "*" / "*.parquet"
    source = f"read_parquet('{pattern}', hive_partitioning = true, union_by_name = true)"
    order = "ORDER BY time, time_ns_rem, place"
    return duckdb.sql(f"SELECT epoch_us(time) * 1000 + time_ns_rem, {columns} FROM {source} {order}").fetchall()


def expect(client, found, expected):
    if found != expected:
        raise SystemExit(f"{client}: in the lake\n  {found}\nexpected\n  {expected}")
    print(f"{client}: {len(found)} points found as written")


def python_v1(node):
    """Package influxdb."""
    client = influxdb.InfluxDBClient("127.0.0.1", node.port, "root", "root", "python_v1")
    if not client.ping().startswith("1.8"):
        raise SystemExit(f"influxdb: the node calls itself {client.ping()!r}, which clients read as another version than 1.8")
    try:
        client.create_database("python_v1")
    except influxdb.exceptions.InfluxDBClientError as refused:
        # A write makes the bucket anyway; what must not happen is a server error or an answer that is no JSON.
        print(f"influxdb: CREATE DATABASE was refused ({refused.code}), as the client tolerates")
    tags = {"place": PLACE, "sensor id": "a=1"}
    fields = {"degrees": 21.5, "count": 2**63 - 1, "open": True, "note": STRING}
    points = [
        {"measurement": "weather", "tags": tags, "fields": fields, "time": TIME},
        {"measurement": "weather", "tags": {"place": "東京"}, "fields": {"degrees": -0.25, "open": False}, "time": TIME + 1},
    ]
    client.write_points(points, time_precision="n", batch_size=1)
    client.write_points([{"measurement": "weather", "tags": {"place": "東京"}, "fields": {"count": 7}, "time": 1767225601}], time_precision="s")
    client.write_points(['weather,place=raw degrees=1 5'], protocol="line", time_precision="ms")
    compressed = influxdb.InfluxDBClient("127.0.0.1", node.port, database="python_v1", gzip=True)
    compressed.write_points([{"measurement": "weather", "tags": {"place": "zip"}, "fields": {"degrees": 2.0}, "time": TIME + 2}], time_precision="n")
    node.flush()
    found = query(node, "python_v1", "weather", 'place, "sensor id", degrees, "count", open, note')
    expect(
        "influxdb",
        found,
        [
            (5_000_000, "raw", None, 1.0, None, None, None),
            (TIME, PLACE, "a=1", 21.5, 2**63 - 1, True, STRING),
            (TIME + 1, "東京", None, -0.25, None, False, None),
            (TIME + 2, "zip", None, 2.0, None, None, None),
            (1767225601 * 10**9, "東京", None, None, 7, None, None),
        ],
    )


def python_v2(node):
    """Package influxdb-client."""
    Point = influxdb_client.Point
    url = f"http://127.0.0.1:{node.port}"
    for compressed in (False, True):
        with influxdb_client.InfluxDBClient(url, token="any", org="any", enable_gzip=compressed) as client:
            writer = client.write_api(write_options=SYNCHRONOUS)
            point = Point("weather").tag("place", PLACE).tag("compressed", str(compressed))
            point = point.field("degrees", 21.5).field("count", 3).field("open", True).field("note", STRING)
            writer.write("python_v2", record=point.time(TIME))
            writer.write("python_v2", record=f"weather,place=raw,compressed={compressed} degrees=1 5", write_precision="ms")
            writer.write("python_v2", record={"measurement": "weather", "tags": {"place": "東京", "compressed": str(compressed)}, "fields": {"count": 7}, "time": 1767225601}, write_precision="s")
    node.flush()
    found = query(node, "python_v2", "weather", 'place, compressed, degrees, "count", open, note')
    expected = []
    for compressed in ("False", "True"):
        expected += [
            (5_000_000, "raw", compressed, 1.0, None, None, None),
            (TIME, PLACE, compressed, 21.5, 3, True, STRING),
            (1767225601 * 10**9, "東京", compressed, None, 7, None, None),
        ]
    expect("influxdb-client", sorted(found, key=repr), sorted(expected, key=repr))


def npm_influx(node):
    if not (CLIENTS / "node_modules").exists():
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=CLIENTS, check=True)
    subprocess.run(["node", CLIENTS / "influx.mjs", str(node.port), "npm"], check=True, timeout=60)
    node.flush()
    found = query(node, "npm", "weather", 'place, "sensor id", degrees, "count", open, note')
    expect(
        "influx (npm)",
        found,
        [
            (TIME, PLACE, "a=1", 21.5, 2**53 - 1, True, STRING),
            (TIME + 1, "東京", None, -0.25, None, False, None),
            (1767225601 * 10**9, "東京", None, None, 7, None, None),
        ],
    )


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with Node(sys.argv[1], "--flush-interval", "1h") as node:
        python_v1(node)
        python_v2(node)
        npm_influx(node)


if __name__ == "__main__":
    main()
