"""wrk: many connections at once, each answer's status counted."""

import gzip as compression
import json
import pathlib
import subprocess
import tempfile

from clients.weather import GOOD_PART, PARTLY_GOOD, TIME, expect, expect_stored

NAME = "wrk"
NOT_OFFERED = {}

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "text/plain"
wrk.headers["Authorization"] = {authorization}
wrk.headers["Content-Encoding"] = {encoding}
local body = io.open({body}, "rb"):read("*a")
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init() counted = "" counts = {{}} end
function request() return wrk.format(nil, {path}, nil, body) end
function response(status)
  counts[status] = (counts[status] or 0) + 1
  local parts = {{}}
  for key, count in pairs(counts) do parts[#parts + 1] = string.format('"%d":%d', key, count) end
  counted = table.concat(parts, ",")
end
function done(summary)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do print("{{" .. thread:get("counted") .. "}}") end
  print(string.format('{{"broken":%d}}', errors))
end
"""


def quoted(value):
    return "nil" if value is None else json.dumps(str(value))


def run(node, bucket, body, token=None, encoding=None, seconds=1):
    """{status: answers}, and under "broken" the connections that ended without one."""
    with tempfile.TemporaryDirectory(prefix="wrk-") as folder:
        content, script = pathlib.Path(folder) / "body", pathlib.Path(folder) / "script.lua"
        content.write_bytes(body)
        settings = {"authorization": token and f"Token {token}", "encoding": encoding, "body": content, "path": f"/write?db={bucket}"}
        script.write_text(SCRIPT.format(**{name: quoted(value) for name, value in settings.items()}))
        command = ["wrk", "--threads", "2", "--connections", "8", "--duration", f"{seconds}s", "--timeout", "10s", "--script", script]
        ran = subprocess.run([*command, f"http://127.0.0.1:{node.port}"], check=True, stdout=subprocess.PIPE, text=True)
    counts = {}
    for line in ran.stdout.splitlines():
        if line.startswith("{"):
            for status, count in json.loads(line).items():
                counts[status] = counts.get(status, 0) + count
    return {status: count for status, count in counts.items() if count}


def expect_only(status, counts):
    expect("the answers are", set(counts), {status})


def success(node):
    expect_only("204", run(node, "wrk", b"weather,place=a degrees=1 %d" % TIME))
    expect_stored(node, "wrk", [(TIME, "a", 1.0)])


def partial_write(node):
    expect_only("422", run(node, "wrk_partial", "\n".join(PARTLY_GOOD).encode()))
    expect_stored(node, "wrk_partial", GOOD_PART)


def gzip(node):
    body = compression.compress(b"weather,place=a degrees=1 %d" % TIME)
    expect_only("204", run(node, "wrk_gzip", body, encoding="gzip"))
    expect_stored(node, "wrk_gzip", [(TIME, "a", 1.0)])


def credentials(node):
    body = b"weather,place=a degrees=1 %d" % TIME
    expect_only("403", run(node, "wrk_guarded", body))
    expect_only("401", run(node, "wrk_guarded", body, "any"))
    expect_only("401", run(node, "wrk_guarded", body, node.tokens["elsewhere"]))
    expect_only("204", run(node, "wrk_guarded", body, node.tokens["writer"]))
    expect_stored(node, "wrk_guarded", [(TIME, "a", 1.0)])


def quota(node):
    counts = run(node, "wrk_quota", "\n".join(node.over_quota()).encode(), node.metered())
    expect("the answers are", set(counts), {"204", "429"})


def overload(node):
    expect_only("503", run(node, "wrk_overload", b"weather,place=a degrees=1 %d" % TIME, seconds=4))
    node.wait_for_room()
    expect_only("204", run(node, "wrk_overload", b"weather,place=b degrees=2 %d" % TIME))
    expect_stored(node, "wrk_overload", [(TIME, "b", 2.0)])
