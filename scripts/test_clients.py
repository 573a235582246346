"""Proves that the checks of the clients raise the alarm, and that the replay of Telegraf sends what it says it sends."""

import environment  # noqa: F401

import gzip
import http.server
import pathlib
import tempfile
import threading
import unittest

from clients import telegraf
from clients_check import CASES, CLIENTS, fault_of


class Forgetful:
    """In place of a node: says 204 to everything, and stores nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            if "Content-Length" in self.headers:
                self.rfile.read(int(self.headers["Content-Length"]))
            elif "Transfer-Encoding" in self.headers:
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            self.send_response(204)
            self.send_header("X-Influxdb-Version", "1.8.10")
            self.send_header("X-Influxdb-Build", "OSS")
            self.end_headers()

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_):
            pass

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.Handler)
        self.server.daemon_threads = True
        # Some clients leave without reading to the end.
        self.server.handle_error = lambda *_: None
        self.port = self.server.server_port
        self.folder = tempfile.TemporaryDirectory(prefix="forgetful-")
        self.lake = pathlib.Path(self.folder.name)
        self.tokens = {"writer": "w", "elsewhere": "e"}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def flush(self):
        pass

    def metered(self):
        return "m"

    def over_quota(self):
        return ["weather,place=a degrees=1 1"]

    def wait_for_room(self):
        pass


class Alarm(unittest.TestCase):
    def test_every_check_notices_a_node_that_says_204_and_stores_nothing(self):
        with Forgetful() as node:
            for module in CLIENTS:
                for case in CASES.keys() - module.NOT_OFFERED.keys():
                    with self.subTest(client=module.NAME, case=case):
                        fault = fault_of(module, case, node)
                        self.assertIsNotNone(fault)
                        # Not because something is missing here.
                        self.assertNotRegex(fault, "AttributeError|NameError|FileNotFoundError")


class Telegraf(unittest.TestCase):
    def test_a_write_is_sent_as_go_sends_it(self):
        data = b"".join(b"cpu,host=h%d usage=%d 1\n" % (number * 7919, number**3) for number in range(200))
        pieces = telegraf.gzip_pieces(data)
        self.assertEqual(gzip.decompress(b"".join(pieces)), data)
        self.assertEqual([len(piece) for piece in pieces[:3]], [10, 240, 240])
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip", "Authorization": None}
        head, *chunks = telegraf.request(("localhost", 8086), "/write?db=telegraf", headers, pieces, chunked=True)
        expected = (
            "POST /write?db=telegraf HTTP/1.1\r\nHost: localhost:8086\r\n"
            f"User-Agent: {telegraf.AGENT}\r\nTransfer-Encoding: chunked\r\n"
            "Content-Encoding: gzip\r\nContent-Type: text/plain; charset=utf-8\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        self.assertEqual(head.decode(), expected)
        self.assertEqual(chunks[0], b"a\r\n" + pieces[0] + b"\r\n")
        self.assertEqual(chunks[1], b"f0\r\n" + pieces[1] + b"\r\n")
        self.assertEqual(chunks[-1], b"0\r\n\r\n")

    def test_reactions(self):
        with Forgetful() as node:
            v1, v2 = telegraf.V1(node, "db"), telegraf.V2(node, "db")
        answers = [
            (204, {}, "", "done", "done"),
            (404, {}, '{"error":"database not found: \\"db\\""}', "create the database, then again", "drop"),
            (401, {}, '{"error":"unauthorized"}', "drop", "keep and retry"),
            (413, {}, '{"error":"too large"}', "drop", "split and retry"),
            (413, {}, "<html>nginx</html>", "keep and retry", "split and retry"),
            (422, {}, '{"error":"partial write: x dropped=1"}', "drop", "drop"),
            (429, {"retry-after": "3"}, '{"error":"over its quota"}', "drop", "wait and retry"),
            (500, {}, '{"error":"partial write: x"}', "drop", "keep and retry"),
            (503, {"retry-after": "2"}, '{"error":"full"}', "keep and retry", "wait and retry"),
            (503, {}, '{"error":"full"}', "keep and retry", "retry at once"),
        ]
        for status, headers, body, by_v1, by_v2 in answers:
            with self.subTest(status=status, body=body):
                self.assertEqual(v1.reaction((status, headers, body)), by_v1)
                self.assertEqual(v2.reaction((status, headers, body)), by_v2)


if __name__ == "__main__":
    # Clients that are refused leave connections open.
    unittest.main(warnings="ignore")
