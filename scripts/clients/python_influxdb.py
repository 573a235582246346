"""The Python package influxdb, for InfluxDB 1.x: dictionaries, lines, DataFrames."""

import influxdb
import influxdb.exceptions
import pandas

from clients.weather import GOOD_PART, MALFORMED, PARTLY_GOOD, PLACE, SECOND, STRING, TIME, expect, expect_in, expect_stored, refusal

NAME = "influxdb (Python)"
NOT_OFFERED = {}

Refused = influxdb.exceptions.InfluxDBClientError
Failed = influxdb.exceptions.InfluxDBServerError


def connect(node, database, username="root", password="root", **options):
    return influxdb.InfluxDBClient("127.0.0.1", node.port, username, password, database, **options)


def success(node):
    client = connect(node, "python_v1")
    expect_in("the node calls itself", client.ping(), "1.8")
    client.create_database("python_v1")
    client.create_database("python_v1")
    expect_in("SHOW DATABASES lists", str(client.get_list_database()), "'python_v1'")
    [policy] = client.get_list_retention_policies("python_v1")
    expect("the retention policy is called", (policy["name"], policy["default"]), ("autogen", True))
    tags = {"place": PLACE, "sensor id": "a=1"}
    fields = {"degrees": 21.5, "count": 2**63 - 1, "open": True, "note": STRING}
    points = [
        {"measurement": "weather", "tags": tags, "fields": fields, "time": TIME},
        {"measurement": "weather", "tags": {"place": "東京"}, "fields": {"degrees": -0.25, "open": False}, "time": TIME + 1},
    ]
    client.write_points(points, time_precision="n", batch_size=1)
    client.write_points([{"measurement": "weather", "tags": {"place": "東京"}, "fields": {"count": 7}, "time": SECOND}], time_precision="s")
    client.write_points(["weather,place=raw degrees=1 5"], protocol="line", time_precision="ms")
    expected = [
        (5_000_000, "raw", None, 1.0, None, None, None),
        (TIME, PLACE, "a=1", 21.5, 2**63 - 1, True, STRING),
        (TIME + 1, "東京", None, -0.25, None, False, None),
        (SECOND * 10**9, "東京", None, None, 7, None, None),
    ]
    expect_stored(node, "python_v1", expected, 'place, "sensor id", degrees, "count", open, note')
    data_frame(node)


def data_frame(node):
    client = influxdb.DataFrameClient("127.0.0.1", node.port, database="python_frame")
    times = pandas.to_datetime([TIME, TIME + 1], utc=True)
    # The package does not escape the quotes in a DataFrame's strings.
    frame = pandas.DataFrame({"place": ["a", "b"], "degrees": [1.5, -2.0], "count": [1, 2], "note": ["x", "São 🦀"]}, index=times)
    client.write_points(frame, "weather", tag_columns=["place"], time_precision="n")
    expected = [(TIME, "a", 1.5, 1, "x"), (TIME + 1, "b", -2.0, 2, "São 🦀")]
    expect_stored(node, "python_frame", expected, 'place, degrees, "count", note')


def partial_write(node):
    client = connect(node, "python_v1_partial")
    refused = refusal(Refused, client.write_points, PARTLY_GOOD, protocol="line")
    expect("the status is", refused.code, 422)
    expect_in("the client is told", refused.content, "partial write: ", "dropped=1")
    expect_stored(node, "python_v1_partial", GOOD_PART)
    refused = refusal(Refused, client.write_points, [MALFORMED], protocol="line")
    expect("the status of a malformed line is", refused.code, 400)
    expect_in("the client is told", refused.content, "unable to parse")


def gzip(node):
    client = connect(node, "python_v1_gzip", gzip=True)
    # This client says `Content-Encoding: gzip` with every request, those without a body too.
    client.ping()
    client.create_database("python_v1_gzip")
    client.write_points([{"measurement": "weather", "tags": {"place": "zip"}, "fields": {"degrees": 2.0}, "time": TIME}], time_precision="n")
    expect_stored(node, "python_v1_gzip", [(TIME, "zip", 2.0)])


def credentials(node):
    point = [f"weather,place=a degrees=1 {TIME}"]

    def write(username, password, database="python_v1_guarded", **options):
        connect(node, database, username, password, **options).write_points(point, protocol="line")

    expect("without credentials", refusal(Refused, write, None, None).code, 403)
    expect("with the client's default, root:root", refusal(Refused, write, "root", "root").code, 401)
    expect("with a token for another bucket", refusal(Refused, write, "any", node.tokens["elsewhere"]).code, 401)
    write("any", node.tokens["writer"])
    write(None, None, headers={"Authorization": f"Token {node.tokens['writer']}"}, database="python_v1_header")
    client = connect(node, "python_v1_guarded", "any", node.tokens["writer"])
    client.create_database("python_v1_guarded")
    expect_stored(node, "python_v1_guarded", [(TIME, "a", 1.0)])
    expect_stored(node, "python_v1_header", [(TIME, "a", 1.0)])


def quota(node):
    client = connect(node, "python_v1_quota", "any", node.metered())
    client.write_points(node.over_quota(), protocol="line")
    refused = refusal(Refused, client.write_points, PARTLY_GOOD, protocol="line")
    expect("the status is", refused.code, 429)


def overload(node):
    client = connect(node, "python_v1_overload")
    failed = refusal(Failed, client.write_points, [f"weather,place=a degrees=1 {TIME}"], protocol="line")
    expect_in("the client is told", str(failed), "unavailable", "nothing was written")
    node.wait_for_room()
    client.write_points([f"weather,place=b degrees=2 {TIME}"], protocol="line")
    expect_stored(node, "python_v1_overload", [(TIME, "b", 2.0)])
