"""Writes over TLS with the clients that people use, each of which checks the certificate: python scripts/tls_check.py BINARY

curl, Python's own http.client, the Python packages influxdb and influxdb-client, influx of npm, and ringest flush. A client that does not trust the
certificate must fail, and one that speaks plain HTTP must be told why.
"""

import environment  # noqa: F401  first of all: the packages below live there

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import duckdb
import influxdb
import influxdb_client
import requests.exceptions
from influxdb_client.client.write_api import SYNCHRONOUS

from node import Client, Node

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
TIME = 1767225600000000000
LARGE_LINES = 200_000
# curl: the peer's certificate cannot be verified.
CURL_UNTRUSTED = 60


def make_certificate(folder):
    """For localhost, as an operator would make one to try TLS."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
        check=True, stderr=subprocess.DEVNULL,
    )
    return certificate, key


def expect(what, found, expected):
    if found != expected:
        raise SystemExit(f"{what}: {found!r}, not {expected!r}")
    print(f"{what}: as expected")


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{http_version}", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout


def try_curl(node, certificate, folder):
    url = f"https://localhost:{node.port}/write?db=tls"
    point = f"weather,client=curl degrees=21.5 {TIME}"
    trusting = ["--cacert", certificate]
    expect("curl", curl(*trusting, url, "--data-binary", point), (0, "204 1.1"))
    expect("curl with TLS 1.2", curl(*trusting, "--tls-max", "1.2", url, "--data-binary", point), (0, "204 1.1"))
    expect("curl that asks for HTTP/2 too", curl(*trusting, "--http2", url, "--data-binary", point), (0, "204 1.1"))
    expect("curl with a bad line", curl(*trusting, url, "--data-binary", "bad"), (0, "400 1.1"))
    expect("curl that does not trust", curl(url, "--data-binary", point)[0], CURL_UNTRUSTED)
    expect("curl without TLS", curl(url.replace("https", "http"), "--data-binary", point), (0, "400 1.1"))
    large = folder / "large.lp"
    large.write_text("".join(f"large,client=curl value={number}i {TIME + number}\n" for number in range(LARGE_LINES)))
    expect("curl with a large body", curl(*trusting, url, "--data-binary", f"@{large}"), (0, "204 1.1"))
    chunked = ["-H", "Transfer-Encoding: chunked"]
    expect("curl with a large chunked body", curl(*trusting, *chunked, url, "--data-binary", f"@{large}"), (0, "204 1.1"))
    too_large = folder / "too-large"
    too_large.write_bytes(b"x" * 40_000_000)
    expect("curl with too large a body", curl(*trusting, url, "--data-binary", f"@{too_large}"), (0, "413 1.1"))
    without_asking = ["-H", "Expect:"]
    expect("the same, sent without asking", curl(*trusting, *without_asking, url, "--data-binary", f"@{too_large}"), (0, "413 1.1"))


def try_python(node, certificate):
    Client(node).post("/write?db=tls", f"weather,client=http.client degrees=21.5 {TIME}".encode(), compressed=True)
    try:
        urllib.request.urlopen(f"http://localhost:{node.port}/ping", timeout=60)
        raise SystemExit("a request without TLS was answered with success")
    except urllib.error.HTTPError as refused:
        expect("urllib without TLS", (refused.code, b"https://" in refused.read()), (400, True))

    for compressed in (False, True):
        options = {"ssl": True, "verify_ssl": str(certificate), "gzip": compressed}
        client = influxdb.InfluxDBClient("localhost", node.port, "root", "root", "tls", **options)
        client.write_points([{"measurement": "weather", "tags": {"client": f"influxdb {compressed}"}, "fields": {"degrees": 21.5}, "time": TIME}])
    wary = influxdb.InfluxDBClient("localhost", node.port, "root", "root", "tls", ssl=True, verify_ssl=True, retries=1)
    try:
        wary.ping()
        raise SystemExit("influxdb: took a certificate that it does not trust")
    except requests.exceptions.SSLError:
        print("influxdb that does not trust: as expected")

    with influxdb_client.InfluxDBClient(f"https://localhost:{node.port}", token="any", org="any", ssl_ca_cert=str(certificate), enable_gzip=True) as client:
        client.write_api(write_options=SYNCHRONOUS).write("tls", record=f"weather,client=influxdb-client degrees=21.5 {TIME}")


def try_npm(node, certificate):
    if not (CLIENTS / "node_modules").exists():
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=CLIENTS, check=True)
    variables = {**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate)}
    subprocess.run(["node", CLIENTS / "tls.mjs", str(node.port), "tls"], check=True, timeout=60, env=variables)


def try_flush(binary, node, certificate):
    url = f"https://localhost:{node.port}"
    subprocess.run([binary, "flush", "--url", url, "--ca", certificate], check=True, timeout=60)
    subprocess.run([binary, "flush", "--url", url.replace("localhost", "127.0.0.1"), "--ca", certificate], check=True, timeout=60)
    print("ringest flush: as expected")


def try_renewal(node, folder):
    """A new certificate under the old names; nothing is restarted."""
    kept = Client(node)
    expect("a connection from before", kept.request("GET", "/ping")[0], 204)
    certificate, _ = make_certificate(folder)
    node.process.send_signal(signal.SIGHUP)
    url = f"https://localhost:{node.port}/ping"
    deadline = time.monotonic() + 10
    while (found := curl("--cacert", certificate, url)) != (0, "204 1.1"):
        if time.monotonic() > deadline:
            raise SystemExit(f"the renewed certificate is not there: {found}")
        time.sleep(0.05)
    expect("the connection from before, after the renewal", kept.request("GET", "/ping")[0], 204)


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory(prefix="ringest-tls-") as name:
        folder = pathlib.Path(name)
        certificate, key = make_certificate(folder)
        with Node(sys.argv[1], "--tls-cert", certificate, "--tls-key", key, "--flush-interval", "1h", trusted=certificate) as node:
            try_curl(node, certificate, folder)
            try_python(node, certificate)
            try_npm(node, certificate)
            try_flush(sys.argv[1], node, certificate)
            pattern = str(node.lake / "tls" / "{}" / "*" / "*.parquet")
            clients = duckdb.sql(f"SELECT DISTINCT client FROM read_parquet('{pattern.format('weather')}') ORDER BY client").fetchall()
            names = ["curl", "http.client", "influxdb False", "influxdb True", "influxdb-client", "npm"]
            expect("clients in the lake", [client for (client,) in clients], names)
            values = duckdb.sql(f"SELECT count(*), sum(value)::BIGINT FROM read_parquet('{pattern.format('large')}')").fetchall()
            expect("the large body in the lake", values, [(LARGE_LINES, LARGE_LINES * (LARGE_LINES - 1) // 2)])
            try_renewal(node, folder)


if __name__ == "__main__":
    main()
