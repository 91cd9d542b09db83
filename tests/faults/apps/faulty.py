"""A server with planted faults: `/NAME/ID?ms=80`; `/_truth` says what it measured itself. Python 3.7 to 3.13.

`&also=sleep:30` has a second one after the first, for so many milliseconds; `&mended=1` does without the fault, where
there is another way.

As a WSGI application (`gunicorn --chdir tests/faults/apps faulty:app`), or by itself under
http.server.ThreadingHTTPServer (`python faulty.py 8000` or `python faulty.py unix:/run/faulty.sock`).
"""

from __future__ import annotations

import http.server
import os
import socketserver
import sys
from urllib.parse import parse_qs, urlsplit

import truth
from planted import FAULTS

DEFAULT_MS = "80"


def answer(target, body):
    """Return status and bytes for a request; `body()` reads its body."""
    parts = urlsplit(target)
    name = parts.path.split("/")[1]
    if name == "_truth":
        return 200, truth.as_json()
    if name not in FAULTS:
        return 404, b"no such fault"
    asked = parse_qs(parts.query)
    name += "-mended" if "mended" in asked and f"{name}-mended" in FAULTS else ""
    with truth.request(parts.path):
        data = FAULTS[name](float(asked.get("ms", [DEFAULT_MS])[0]) / 1000, body)
        for second, ms in (pair.split(":") for pair in asked.get("also", ())):
            FAULTS[second](float(ms) / 1000, body)
    return 200, data


def app(environ, start_response):
    """The WSGI application."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    target = environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", "")
    status, data = answer(target, lambda: environ["wsgi.input"].read(length))
    start_response("200 OK" if status == 200 else "404 Not Found", [("Content-Length", str(len(data)))])
    return [data]


class Handler(http.server.BaseHTTPRequestHandler):
    """The same under http.server, one thread per connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        self.disable_nagle_algorithm = not isinstance(self.server, UnixServer)
        super().setup()

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        status, data = answer(self.path, lambda: self.rfile.read(length))
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def address_string(self):
        return str(self.client_address)

    def log_request(self, code="-", size="-"):
        """Not a line per request."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """ThreadingHTTPServer on a Unix-domain socket."""

    daemon_threads = True
    request_queue_size = 64


class Server(http.server.ThreadingHTTPServer):
    """With room for the clients of a test that all connect at once."""

    request_queue_size = 64


def main(address):
    if address.startswith("unix:"):
        server = UnixServer(address[len("unix:") :], Handler)
    else:
        server = Server(("127.0.0.1", int(address)), Handler)
    with server:
        server.serve_forever()


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1])
