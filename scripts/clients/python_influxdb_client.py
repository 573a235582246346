"""The Python package influxdb-client, for InfluxDB 2.x: synchronous, in batches, retrying."""

import concurrent.futures
import logging

import influxdb_client
from influxdb_client.client.write.retry import WritesRetry
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException

from clients.weather import GOOD_PART, MALFORMED, PARTLY_GOOD, PLACE, SECOND, STRING, TIME
from clients.weather import expect, expect_in, expect_stored, refusal, stored

NAME = "influxdb-client (Python)"
NOT_OFFERED = {}

# They log every refusal with all of its headers.
for module in ("write_api", "write.retry"):
    logging.getLogger(f"influxdb_client.client.{module}").disabled = True


def connect(node, token="any", **options):
    return influxdb_client.InfluxDBClient(f"http://127.0.0.1:{node.port}", token=token, org="any", **options)


def write_all_forms(node, bucket, compressed):
    Point = influxdb_client.Point
    with connect(node, enable_gzip=compressed) as client:
        expect("it pings the node", client.ping(), True)
        expect_in("the node calls itself", client.version(), "1.8")
        writer = client.write_api(write_options=SYNCHRONOUS)
        point = Point("weather").tag("place", PLACE)
        point = point.field("degrees", 21.5).field("count", 3).field("open", True).field("note", STRING)
        writer.write(bucket, record=point.time(TIME))
        writer.write(bucket, record="weather,place=raw degrees=1 5", write_precision="ms")
        dictionary = {"measurement": "weather", "tags": {"place": "東京"}, "fields": {"count": 7}, "time": SECOND}
        writer.write(bucket, record=dictionary, write_precision="s")
    expected = [
        (5_000_000, "raw", 1.0, None, None, None),
        (TIME, PLACE, 21.5, 3, True, STRING),
        (SECOND * 10**9, "東京", None, 7, None, None),
    ]
    expect_stored(node, bucket, expected, 'place, degrees, "count", open, note')


def in_batches(node, bucket, points, token="any", **options):
    """Writes with the client's own thread; returns its callbacks' reports: [(name, status or None)]."""
    reports = []

    def report(name):
        return lambda _, __, fault=None: reports.append((name, fault and fault.response.status))

    options = WriteOptions(batch_size=2, flush_interval=50, **options)
    callbacks = {f"{name}_callback": report(name) for name in ("success", "error", "retry")}
    with connect(node, token) as client, client.write_api(write_options=options, **callbacks) as writer:
        for point in points:
            writer.write(bucket, record=point)
    return reports


def success(node):
    write_all_forms(node, "python_v2", compressed=False)
    points = [f"weather,place=p{number} degrees={number} {TIME}" for number in range(10)]
    expect("batches end with", set(in_batches(node, "python_v2_batches", points)), {("success", None)})
    expect_stored(node, "python_v2_batches", [(TIME, f"p{number}", float(number)) for number in range(10)])


def gzip(node):
    write_all_forms(node, "python_v2_gzip", compressed=True)


def partial_write(node):
    with connect(node) as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        refused = refusal(ApiException, writer.write, "python_v2_partial", record=PARTLY_GOOD)
        expect("the status is", refused.status, 422)
        expect_in("the client is told", refused.body, "unprocessable entity", "dropped=1")
        expect_stored(node, "python_v2_partial", GOOD_PART)
        refused = refusal(ApiException, writer.write, "python_v2_partial", record=MALFORMED)
        expect("the status of a malformed line is", refused.status, 400)
    # In batches nothing is tried again.
    reports = in_batches(node, "python_v2_partial_batches", PARTLY_GOOD)
    expect("batches end with", sorted(reports, key=repr), [("error", 422), ("success", None)])
    expect_stored(node, "python_v2_partial_batches", GOOD_PART)


def credentials(node):
    def write(token):
        with connect(node, token) as client:
            client.write_api(write_options=SYNCHRONOUS).write("python_v2_guarded", record=f"weather,place=a degrees=1 {TIME}")

    expect("without a token", refusal(ApiException, write, None).status, 403)
    expect("with an unknown token", refusal(ApiException, write, "any").status, 401)
    expect("with a token for another bucket", refusal(ApiException, write, node.tokens["elsewhere"]).status, 401)
    write(node.tokens["writer"])
    expect_stored(node, "python_v2_guarded", [(TIME, "a", 1.0)])


def quota(node):
    """In batches it waits as long as Retry-After says, and then writes; otherwise it does not try again by itself."""
    points = node.over_quota()
    with connect(node, node.metered()) as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        writer.write("python_v2_quota_synchronous", record=points)
        refused = refusal(ApiException, writer.write, "python_v2_quota_synchronous", record=points)
        expect("the status is", (refused.status, int(refused.headers["Retry-After"]) > 0), (429, True))
    token = node.metered()
    reports = in_batches(node, "python_v2_quota", points, token, retry_interval=100)
    expect("a batch is told to wait, and", ("retry", 429) in reports, True)
    expect("none is given up", [report for report in reports if report[0] == "error"], [])
    expect("all are stored", len(stored(node, "python_v2_quota")), len(points))


def overload(node):
    """Both ways of writing try again until there is room."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for running in [threads.submit(way, node) for way in (synchronous_overload, batch_overload)]:
            running.result()


def synchronous_overload(node):
    seen = []
    # POST is not among the methods that are tried again unless one says so.
    retries = WritesRetry(total=20, retry_interval=0.2, allowed_methods=["POST"], retry_callback=lambda fault: seen.append(fault.response.status))
    with connect(node, retries=retries) as client:
        client.write_api(write_options=SYNCHRONOUS).write("python_v2_overload", record=f"weather,place=a degrees=1 {TIME}")
    expect("it tries again after", set(seen), {503})
    node.wait_for_room()
    expect_stored(node, "python_v2_overload", [(TIME, "a", 1.0)])


def batch_overload(node):
    reports = in_batches(node, "python_v2_overload_batches", [f"weather,place=a degrees=1 {TIME}"], retry_interval=200, max_retries=20)
    expect("it tries again after", set(reports), {("retry", 503), ("success", None)})
    node.wait_for_room()
    expect_stored(node, "python_v2_overload_batches", [(TIME, "a", 1.0)])
