"""The npm package @influxdata/influxdb-client, for InfluxDB 2.x: it writes in batches and retries."""

from clients import npm
from clients.weather import GOOD_PART, PARTLY_GOOD, PLACE, STRING, TIME, expect, expect_in, expect_stored, stored

NAME = "@influxdata/influxdb-client (npm)"
NOT_OFFERED = {}

# It takes the seconds of Retry-After for milliseconds, and drops what it wrote after five more tries: within a second.
PATIENT = {"options": {"maxRetries": 50, "retryJitter": 2000, "batchSize": 2}, "patience": 60}
IMPATIENT = {"maxRetries": 0}


def write(node, bucket, lines=(), token="any", **how):
    return npm.run("influxdb_client.mjs", node, bucket=bucket, lines=lines, token=token, **how)


def write_all_forms(node, bucket, compress):
    points = [
        {"place": PLACE, "degrees": 21.5, "count": 2**53 - 1, "open": True, "note": STRING, "time": str(TIME)},
        {"place": "東京", "degrees": -0.25, "open": False, "time": str(TIME + 1)},
    ]
    outcome = write(node, bucket, points=points, compress=compress)
    expect("it reports", (outcome["error"], outcome["succeeded"]), (None, 2))
    outcome = write(node, bucket, ["weather,place=raw count=7i 5"], precision="ms", compress=compress)
    expect("it reports", (outcome["error"], outcome["succeeded"]), (None, 1))
    expected = [
        (5_000_000, "raw", None, 7, None, None),
        (TIME, PLACE, 21.5, 2**53 - 1, True, STRING),
        (TIME + 1, "東京", -0.25, None, False, None),
    ]
    expect_stored(node, bucket, expected, 'place, degrees, "count", open, note')


def success(node):
    write_all_forms(node, "npm_v2", compress=False)


def gzip(node):
    write_all_forms(node, "npm_v2_gzip", compress=True)


def partial_write(node):
    outcome = write(node, "npm_v2_partial", PARTLY_GOOD)
    expect("the status is", outcome["error"]["status"], 422)
    expect_in("the client is told", outcome["error"]["message"], "partial write: field type conflict", "dropped=1")
    expect("it does not try again", len(outcome["retried"]), 1)
    expect_stored(node, "npm_v2_partial", GOOD_PART)


def credentials(node):
    line = [f"weather,place=a degrees=1 {TIME}"]
    for given, status in ((None, 403), ("any", 401), (node.tokens["elsewhere"], 401)):
        error = write(node, "npm_v2_guarded", line, token=given, options=IMPATIENT)["error"]
        expect(f"the status with {'a' if given else 'no'} token is", error and error["status"], status)
    outcome = write(node, "npm_v2_guarded", line, token=node.tokens["writer"])
    expect("with a token", outcome["error"], None)
    expect_stored(node, "npm_v2_guarded", [(TIME, "a", 1.0)])


def quota(node):
    """It tries again until it may write."""
    lines, token = node.over_quota(), node.metered()
    outcome = write(node, "npm_v2_quota", lines, token=token, **PATIENT)
    expect("a batch is told to wait", 429 in [retry["status"] for retry in outcome["retried"]], True)
    expect("all are stored", (outcome["error"], len(stored(node, "npm_v2_quota"))), (None, len(lines)))


def overload(node):
    """It tries again until there is room."""
    line = [f"weather,place=a degrees=1 {TIME}"]
    error = write(node, "npm_v2_overload", line, options=IMPATIENT)["error"]
    expect("without retries it reports", error and error["status"], 503)
    outcome = write(node, "npm_v2_overload", line, **PATIENT)
    expect("it tries again after", {retry["status"] for retry in outcome["retried"]}, {503})
    expect("in the end it reports", (outcome["error"], outcome["succeeded"]), (None, 1))
    node.wait_for_room()
    expect_stored(node, "npm_v2_overload", [(TIME, "a", 1.0)])
