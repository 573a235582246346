"""The npm package influx, for InfluxDB 1.x."""

from clients import npm
from clients.weather import PLACE, SECOND, STRING, TIME, expect, expect_in, expect_stored

NAME = "influx (npm)"
NOT_OFFERED = {"gzip": "the package does not compress"}
POINT = {"measurement": "weather", "tags": {"place": "a"}, "fields": {"degrees": 1}, "timestamp": str(TIME)}


def write(node, database, points, username="root", password="root", **how):
    account = {"username": username, "password": password}
    return npm.run("influx.mjs", node, database=database, points=points, **account, **how)


def success(node):
    tags = {"place": PLACE, "sensor id": "a=1"}
    fields = {"degrees": 21.5, "count": 2**53 - 1, "open": True, "note": STRING}
    points = [
        {"measurement": "weather", "tags": tags, "fields": fields, "timestamp": str(TIME)},
        {"measurement": "weather", "tags": {"place": "東京"}, "fields": {"degrees": -0.25, "open": False}, "timestamp": str(TIME + 1)},
    ]
    outcome = write(node, "npm_v1", points, create=True)
    expect("it reports", outcome["error"], None)
    expect_in("SHOW DATABASES lists", outcome["databases"], "npm_v1")
    seconds = [{"measurement": "weather", "tags": {"place": "東京"}, "fields": {"count": 7}, "timestamp": SECOND}]
    expect("it reports", write(node, "npm_v1", seconds, precision="s")["error"], None)
    expected = [
        (TIME, PLACE, "a=1", 21.5, 2**53 - 1, True, STRING),
        (TIME + 1, "東京", None, -0.25, None, False, None),
        (SECOND * 10**9, "東京", None, None, 7, None, None),
    ]
    expect_stored(node, "npm_v1", expected, 'place, "sensor id", degrees, "count", open, note')


def partial_write(node):
    # Without a schema for it, the package sends what it is given.
    points = [
        {"measurement": "free", "tags": {"place": "a"}, "fields": {"degrees": 1.5}, "timestamp": str(TIME)},
        {"measurement": "free", "tags": {"place": "b"}, "fields": {"degrees": "warm"}, "timestamp": str(TIME)},
    ]
    error = write(node, "npm_v1_partial", points)["error"]
    expect("the status is", error["status"], 422)
    expect_in("the client is told", error["message"], "partial write: field type conflict", "dropped=1")
    expect_stored(node, "npm_v1_partial", [(TIME, "a", 1.5)], measurement="free")


def credentials(node):
    # The package always sends a user name and a password.
    expect("with its default, root:root", write(node, "npm_v1_guarded", [POINT])["error"]["status"], 401)
    elsewhere = write(node, "npm_v1_guarded", [POINT], "any", node.tokens["elsewhere"])
    expect("with a token for another bucket", elsewhere["error"]["status"], 401)
    outcome = write(node, "npm_v1_guarded", [POINT], "any", node.tokens["writer"], create=True)
    expect("with a token", outcome["error"], None)
    expect_stored(node, "npm_v1_guarded", [(TIME, "a", 1.0)])


def quota(node):
    token = node.metered()
    points = [
        {"measurement": "weather", "tags": {"place": "a"}, "fields": {"note": "x" * 1000}, "timestamp": str(TIME + number)}
        for number in range(8)
    ]
    expect("within the quota it reports", write(node, "npm_v1_quota", points, "any", token)["error"], None)
    expect("over the quota", write(node, "npm_v1_quota", points, "any", token)["error"]["status"], 429)


def overload(node):
    error = write(node, "npm_v1_overload", [POINT])["error"]
    # It tries its hosts once each, and there is one.
    expect("it reports", error and error["name"], "ServiceNotAvailableError")
    node.wait_for_room()
    expect("with room it reports", write(node, "npm_v1_overload", [POINT])["error"], None)
    expect_stored(node, "npm_v1_overload", [(TIME, "a", 1.0)])
