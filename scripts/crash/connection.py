"""A plain HTTP/1.1 connection over a raw socket: http.client would be the slowest part of the campaign."""

import socket


class Dead(Exception):
    """The connection ended before the answer was complete."""


class Connection:
    def __init__(self, port, timeout):
        """Raises OSError when nobody listens: then nothing was sent."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def close(self):
        self.socket.close()

    def exchange(self, message):
        """Sends one request; returns (status, headers in lower case, body)."""
        broken = None
        try:
            self.socket.sendall(message)
        except OSError as fault:
            # The node may have answered before it had the whole body.
            broken = fault
        try:
            return self.answer()
        except OSError as fault:
            raise Dead(str(broken or fault)) from fault

    def answer(self):
        head = self.until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.split("\r\n")
        status = int(status_line.split(" ", 2)[1])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.exactly(int(headers.get("content-length", 0)))

    def until(self, mark):
        while mark not in self.rest:
            self.receive()
        head, _, self.rest = self.rest.partition(mark)
        return head

    def exactly(self, size):
        while len(self.rest) < size:
            self.receive()
        body, self.rest = self.rest[:size], self.rest[size:]
        return body

    def receive(self):
        more = self.socket.recv(1 << 16)
        if not more:
            raise Dead("the node closed the connection")
        self.rest += more


def get(port, path, timeout=5):
    connection = Connection(port, timeout)
    try:
        return connection.exchange(f"GET {path} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
    finally:
        connection.close()


def post(path, body, headers=(), chunks=None):
    """The bytes of a POST; `chunks` gives the size of its chunks where it goes chunked."""
    head = [f"POST {path} HTTP/1.1", "Host: node", *headers]
    if chunks is None:
        return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[at : at + chunks] for at in range(0, len(body), chunks))]
    return "\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode() + b"".join(parts) + b"0\r\n\r\n"
