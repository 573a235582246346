"""An nginx in front of a node for the time of a `with` block: one port for each way of passing requests on."""

import collections
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from node import free_port

START_SECONDS_MAX = 20

Way = collections.namedtuple("Way", "version buffering")
WAYS = [Way(version, buffering) for version in ("1.0", "1.1") for buffering in ("on", "off")]

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  # The node has its own limit, and says in its answer what it is.
  client_max_body_size 0;
  upstream node {{
    server 127.0.0.1:{upstream};
    keepalive 4;
  }}
{servers}}}
"""

SERVER = """  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://node;
      proxy_http_version {way.version};
      proxy_request_buffering {way.buffering};
      # nginx says "close" otherwise, and opens a connection for each request.
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      {directives}
    }}
  }}
"""


def program():
    # Debian has it where only root's PATH leads.
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"


class Nginx:
    """`directives` go into the location that passes requests on."""

    def __init__(self, node, directives="", ways=WAYS):
        self.folder = tempfile.TemporaryDirectory(prefix="nginx-")
        folder = pathlib.Path(self.folder.name)
        self.ports = {way: free_port() for way in ways}
        self.port = self.ports[ways[-1]]
        servers = "".join(SERVER.format(port=port, way=way, directives=directives) for way, port in self.ports.items())
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, upstream=node.port, servers=servers))
        self.log = folder / "log"
        self.process = subprocess.Popen([program(), "-p", folder, "-c", configuration, "-e", self.log])

    def __enter__(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                for port in self.ports.values():
                    socket.create_connection(("127.0.0.1", port)).close()
                return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"nginx did not start; its log:\n{self.log.read_text()}")
            time.sleep(0.02)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.folder.cleanup()
