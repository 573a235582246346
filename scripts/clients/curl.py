"""curl, word for word as the reference of the v1-compatible endpoint shows it, and as people use it besides."""

import gzip as compression
import json
import pathlib
import subprocess
import tempfile

from clients.weather import CONFLICT, GOOD_PART, MALFORMED, PARTLY_GOOD, TIME, expect, expect_in, expect_stored, stored

NAME = "curl"
NOT_OFFERED = {}

# The reference's request. Only the port is another, and DB and INFLUX_TOKEN are filled in.
REFERENCE = """curl --request POST \\
  "http://localhost:8086/write?db=DB" \\
  --header "Authorization: Bearer INFLUX_TOKEN" \\
  --header "Content-Type: text/plain" \\
  --data-raw 'measurement,tag=value field=1.0'
"""


def reference(node, database, token):
    """The answer's body: curl as it is shown prints no more."""
    command = REFERENCE.replace("8086", str(node.port)).replace("DB", database, 1).replace("INFLUX_TOKEN", token)
    # The words "?db=DB" hold "DB" once; the token comes after it.
    return subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def curl(node, path, *options, input=None):
    """(status, body)."""
    command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", f"http://127.0.0.1:{node.port}{path}", *options]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=input, timeout=120)
    body, _, status = ran.stdout.decode().rpartition("\n")
    return int(status), body


def point(place, degrees=1):
    return f"weather,place={place} degrees={degrees} {TIME}"


def success(node):
    expect("the reference's request is answered", reference(node, "curl_reference", "any"), "")
    [(_, tag, field)] = stored(node, "curl_reference", "tag, field", "measurement")
    expect("it stored", (tag, field), ("value", 1.0))
    with tempfile.TemporaryDirectory(prefix="curl-") as folder:
        file = pathlib.Path(folder) / "points"
        # Beyond 1 MiB curl asks first, with `Expect: 100-continue`.
        file.write_text("\n".join([point("file"), f"#{'x' * 2_000_000}", point("end")]))
        ways = [
            # As a form: the body is line protocol all the same.
            ("-d", point("form")),
            ("--data-binary", point("binary")),
            ("--data-binary", f"@{file}"),
            # Chunked, because its length is not known.
            ("--request", "POST", "--upload-file", "-"),
            ("--http1.0", "--data-binary", point("old")),
            ("-H", "Expect: 100-continue", "--data-binary", point("expect")),
        ]
        for way in ways:
            answer = curl(node, "/write?db=curl", *way, input=point("stream").encode())
            expect(f"curl {' '.join(way)} is answered", answer, (204, ""))
    # Both endpoints write into the same bucket.
    answer = curl(node, "/api/v2/write?bucket=curl&org=any&precision=ns", "--data-binary", point("v2"))
    expect("/api/v2/write answers", answer, (204, ""))
    places = ("form", "binary", "file", "end", "stream", "old", "expect", "v2")
    expect_stored(node, "curl", [(TIME, place, 1.0) for place in places])
    statement = ("-G", "--data-urlencode", "q=SHOW DATABASES")
    status, body = curl(node, "/query", *statement)
    [[series]] = [result["series"] for result in json.loads(body)["results"]]
    expect("SHOW DATABASES lists it", (status, ["curl"] in series["values"]), (200, True))


def partial_write(node):
    status, body = curl(node, "/write?db=curl_partial", "--data-binary", "\n".join(PARTLY_GOOD))
    answer = json.loads(body)
    expect("the status is", (status, answer["code"]), (422, "unprocessable entity"))
    expect_in("the message is", answer["message"], CONFLICT, "dropped=1")
    expect_stored(node, "curl_partial", GOOD_PART)
    body = "\n".join([point("never"), "", "# a comment", MALFORMED])
    status, body = curl(node, "/write?db=curl_malformed", "--data-binary", body)
    answer = json.loads(body)
    expect("a malformed line is answered", (status, answer["code"], answer["line"]), (400, "invalid", 4))
    expect_in("the message is", answer["message"], "unable to parse", MALFORMED)
    expect_stored(node, "curl_malformed", [])


def gzip(node):
    packed = compression.compress(point("zip").encode())
    answer = curl(node, "/write?db=curl_gzip", "-H", "Content-Encoding: gzip", "--data-binary", "@-", input=packed)
    expect("it is answered", answer, (204, ""))
    expect_stored(node, "curl_gzip", [(TIME, "zip", 1.0)])
    status, body = curl(node, "/write?db=curl_gzip", "-H", "Content-Encoding: gzip", "--data-binary", "@-", input=packed[:-3])
    expect("cut off it is answered", (status, json.loads(body)["code"]), (400, "invalid"))


def credentials(node):
    writer, elsewhere = node.tokens["writer"], node.tokens["elsewhere"]
    expect("the reference's request is answered", reference(node, "curl_guarded", writer), "")
    answer = json.loads(reference(node, "curl_guarded", "any"))
    expect("with an unknown token the code is", answer["code"], "unauthorized")
    ways = {
        (): 403,
        ("-H", "Authorization: Token any"): 401,
        ("-H", "Authorization: Token"): 401,
        ("-u", f"any:{elsewhere}"): 401,
        ("-u", f"any:{writer}"): 204,
        ("-H", f"Authorization: Token {writer}"): 204,
        ("-H", f"authorization: bearer {writer}"): 204,
    }
    for way, expected in ways.items():
        status, _ = curl(node, "/write?db=curl_guarded", "--data-binary", point("a"), *way)
        expect(f"the status with {way[:1]} is", status, expected)
    in_url = {("any", writer): 204, ("any", elsewhere): 401, ("", writer): 403, ("any", ""): 403}
    for (user, password), expected in in_url.items():
        status, _ = curl(node, f"/write?db=curl_guarded&u={user}&p={password}", "--data-binary", point("a"))
        expect(f"the status with u={user} and {'a' if password else 'no'} p is", status, expected)
    # The URL beats the header.
    url = f"/write?db=curl_guarded&u=any&p={elsewhere}"
    expect("with both the status is", curl(node, url, "-u", f"any:{writer}", "-d", point("a"))[0], 401)
    for path in ("/ping", "/health", "/ready", "/metrics"):
        status, _ = curl(node, path)
        expect(f"{path} asks for no token", status in (200, 204), True)
    # A large body that is refused at its head: the answer arrives, not a reset.
    large = b"#" * 20_000_000
    for expecting in ("Expect: 100-continue", "Expect:"):
        answer = curl(node, "/write?db=curl_guarded", "-H", expecting, "--data-binary", "@-", input=large)
        expect(f"a large body with '{expecting}' is answered", answer[0], 403)
    expect_stored(node, "curl_guarded", [(TIME, "a", 1.0)])


def quota(node):
    """--retry waits as long as Retry-After says."""
    header = ("-H", f"Authorization: Token {node.metered()}")
    body = "\n".join(node.over_quota())
    expect("within the quota the status is", curl(node, "/write?db=curl_quota", *header, "--data-binary", body)[0], 204)
    status, answer = curl(node, "/write?db=curl_quota", *header, "--data-binary", body)
    expect("over it the answer is", (status, json.loads(answer)["code"]), (429, "too many requests"))
    status, _ = curl(node, "/write?db=curl_quota", "--retry", "5", *header, "--data-binary", body)
    expect("with --retry the status is", status, 204)


def overload(node):
    status, answer = curl(node, "/write?db=curl_overload", "--data-binary", point("a"))
    expect("the answer is", (status, json.loads(answer)["code"]), (503, "unavailable"))
    status, _ = curl(node, "/write?db=curl_overload", "--retry", "20", "--data-binary", point("b"))
    expect("with --retry the status is", status, 204)
    node.wait_for_room()
    expect_stored(node, "curl_overload", [(TIME, "b", 1.0)])
