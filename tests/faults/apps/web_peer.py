"""The web service that faulty servers call, over HTTP or, with a certificate, HTTPS; one thread per connection.

`/wait?ms=80` answers after 80 ms; `/bytes?kb=4096&ms=200` answers with so much, in pieces over so long;
`/often-busy?ms=80` says 503 every other time.

`python web_peer.py 9000 [CERTIFICATE KEY]`
"""

from __future__ import annotations

import http.server
import itertools
import socket
import ssl
import sys
import time
from urllib.parse import parse_qs, urlsplit

PIECES = 20
turns = itertools.count()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        parts = urlsplit(self.path)
        asked = {name: float(values[0]) for name, values in parse_qs(parts.query).items()}
        seconds = asked.get("ms", 0) / 1000
        if parts.path != "/bytes":
            time.sleep(seconds)
            self._head(2, 200 if parts.path != "/often-busy" or next(turns) % 2 else 503)
            self.wfile.write(b"ok")
            return
        piece = bytes(int(asked["kb"] * 1024) // PIECES)
        self._head(len(piece) * PIECES)
        for _ in range(PIECES):
            self.wfile.write(piece)
            time.sleep(seconds / PIECES)

    def _head(self, length, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_request(self, code="-", size="-"):
        """Not a line per request."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
    context = None

    def get_request(self):
        """Accept; the handshake is left to the connection's own thread, at its first read."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """A client that goes away is none of the fault."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Answer)
    if len(sys.argv) > 2:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.serve_forever()
