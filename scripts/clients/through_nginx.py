"""nginx in front, in each of the ways it can pass a request on: HTTP/1.0 and 1.1, the body first collected or streamed."""

import concurrent.futures
import gzip as compression
import http.client
import json

from clients.weather import GOOD_PART, PARTLY_GOOD, TIME, Unexpected, expect, expect_in, expect_stored
from nginx import Nginx

NAME = "nginx in front"
NOT_OFFERED = {}
SECONDS_MAX = 120


def post(port, path, body, headers=None, chunked=False):
    """(status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    try:
        pieces = iter([body[: len(body) // 2], body[len(body) // 2 :]])
        connection.request("POST", path, pieces if chunked else body, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def each_way(node, check):
    with Nginx(node) as nginx:
        for way, port in nginx.ports.items():
            try:
                check(port, f"{way.version.replace('.', '')}_{way.buffering}")
            except Unexpected as unexpected:
                raise Unexpected(f"HTTP/{way.version} to the node, proxy_request_buffering {way.buffering}: {unexpected}") from unexpected


def point(place, degrees=1):
    return f"weather,place={place} degrees={degrees} {TIME}".encode()


def success(node):
    def check(port, way):
        path = f"/write?db=nginx_{way}"
        for chunked in (False, True):
            # More than nginx keeps in memory, too.
            for size in (0, 3_000_000):
                place = f"{'chunked' if chunked else 'plain'}{size}"
                body = point(place) + b"\n#" + b"x" * size
                status, headers, answer = post(port, path, body, chunked=chunked)
                expect("the answer is", (status, answer, headers["X-Influxdb-Build"]), (204, "", "OSS"))
        places = ("plain0", "plain3000000", "chunked0", "chunked3000000")
        expect_stored(node, f"nginx_{way}", [(TIME, place, 1.0) for place in places])
        too_large(port, path)

    each_way(node, check)


def too_large(port, path):
    """Beyond the node's limit: its answer arrives, whoever finds out first."""
    for body in (b"#" * 25_000_001, b"#" * 40_000_000):
        for chunked in (False, True):
            status, _, answer = post(port, path, body, chunked=chunked)
            expect("the status of a body that is too large is", status, 413)
            expect_in("the client is told", json.loads(answer)["message"], "25000000")


def gzip(node):
    def check(port, way):
        for chunked in (False, True):
            headers = {"Content-Encoding": "gzip"}
            body = compression.compress(point(f"chunked={chunked}".replace("=", "-")))
            expect("the status is", post(port, f"/write?db=nginx_gzip_{way}", body, headers, chunked)[0], 204)
        expect_stored(node, f"nginx_gzip_{way}", [(TIME, "chunked-False", 1.0), (TIME, "chunked-True", 1.0)])

    each_way(node, check)


def partial_write(node):
    def check(port, way):
        status, headers, answer = post(port, f"/write?db=nginx_partial_{way}", "\n".join(PARTLY_GOOD).encode())
        expect("the answer is", (status, headers["X-Platform-Error-Code"]), (422, "unprocessable entity"))
        expect_in("the client is told", json.loads(answer)["error"], "partial write: ", "dropped=1")
        expect_stored(node, f"nginx_partial_{way}", GOOD_PART)

    each_way(node, check)


def credentials(node):
    def check(port, way):
        for token, expected in ((None, 403), ("any", 401), (node.tokens["elsewhere"], 401), (node.tokens["writer"], 204)):
            headers = {"Authorization": f"Token {token}"} if token else {}
            status, _, _ = post(port, f"/write?db=nginx_guarded_{way}", point("a"), headers)
            expect("the status is", status, expected)
        # Refused at its head, while nginx still has most of the body.
        expect("the status of a large body is", post(port, f"/write?db=nginx_guarded_{way}", b"#" * 20_000_000)[0], 403)
        expect_stored(node, f"nginx_guarded_{way}", [(TIME, "a", 1.0)])

    each_way(node, check)


def quota(node):
    headers = {"Authorization": f"Token {node.metered()}"}
    body = "\n".join(node.over_quota()).encode()
    with Nginx(node) as nginx:
        expect("within the quota the status is", post(nginx.port, "/write?db=nginx_quota", body, headers)[0], 204)
        status, answered, _ = post(nginx.port, "/write?db=nginx_quota", body, headers)
        expect("over it the answer is", (status, int(answered["Retry-After"]) > 0), (429, True))


def overload(node):
    def refused(port):
        status, headers, _ = post(port, "/write?db=nginx_overload", point("a"))
        return status, int(headers["Retry-After"]) > 0

    with Nginx(node) as nginx:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            expect("the answers are", set(threads.map(refused, nginx.ports.values())), {(503, True)})
        node.wait_for_room()
        expect("with room the status is", post(nginx.port, "/write?db=nginx_overload", point("b"))[0], 204)
    expect_stored(node, "nginx_overload", [(TIME, "b", 1.0)])
