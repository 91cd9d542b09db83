"""A threaded server that calls others, and tells what it measured of that itself: `GET /http?port=8000`.

Each answer is JSON: a list of stretches in the order in which they were, each a name and CLOCK_MONOTONIC nanoseconds.
`python calling.py 8000`
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

QUERY = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\2db\x08internal\0\0\1\0\1"
kept = {}


class Clock:
    """Stretches, each measured from the end of the one before."""

    def __init__(self):
        self.stretches = []
        self.at_ns = time.monotonic_ns()

    def lap(self, name):
        begun, self.at_ns = self.at_ns, time.monotonic_ns()
        self.stretches.append((name, begun, self.at_ns))


def exchange(client, clock, path="/items/42?token=secret", body=None):
    client.request("POST" if body else "GET", path, body)
    clock.lap("ask")
    answer = client.getresponse()
    clock.lap("wait")
    answer.read()
    clock.lap("transfer")


def calls_http(clock, host="127.0.0.1", port="0", count="1", body="0"):
    client = http.client.HTTPConnection(host, int(port))
    clock.lap("other")
    client.connect()
    clock.lap("connect")
    for _ in range(int(count)):
        exchange(client, clock, body=b"x" * int(body) or None)


def calls_unix(clock, path=""):
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    clock.lap("other")
    client.sock.connect(path)
    clock.lap("connect")
    exchange(client, clock)


def calls_https(clock, port="0", version="TLSv1_3", count="2"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    client = http.client.HTTPConnection("localhost")
    clock.lap("other")
    plain = socket.create_connection(("127.0.0.1", int(port)))
    clock.lap("connect")
    client.sock = context.wrap_socket(plain)
    clock.lap("tls")
    for _ in range(int(count)):
        exchange(client, clock)


def keeps_http(clock, port="0"):
    client = kept.setdefault("http", http.client.HTTPConnection("127.0.0.1", int(port)))
    clock.lap("other")
    exchange(client, clock)


def queries(clock, port="0", count="3"):
    import psycopg2

    clock.lap("other")
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres")
    connection.autocommit = True
    clock.lap("connect")
    with connection.cursor() as cursor:
        for number in range(int(count)):
            cursor.execute("SELECT pg_sleep(0.02), %s, 'secret'", (number,))
            clock.lap("wait")
    connection.close()


def gets(clock, port="0", count="5"):
    import redis

    client = redis.Redis(port=int(port))
    client.ping()
    clock.lap("other")
    for number in range(int(count)):
        client.hget("secret", str(number))
        clock.lap("wait")


def connects(clock, port="0", wait_ms="0"):
    try:
        connection = socket.create_connection(("127.0.0.1", int(port)))
    except OSError:
        clock.lap("refused")
        return
    clock.lap("connect")
    time.sleep(int(wait_ms) / 1000)
    connection.close()


def asks_names(clock, host="127.0.0.1", connected="0"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        clock.lap("other")
        if connected == "1":
            client.connect((host, 53))
            client.send(QUERY)
        else:
            client.sendto(QUERY, (host, 53))
        client.recv(512)
        clock.lap("wait")


def talks_half(clock, port="0"):
    """Asks and does not listen."""
    connection = kept["half"] = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(b"GET /never HTTP/1.1\r\n\r\n")
    clock.lap("ask")


SCENES = {
    "/http": calls_http,
    "/unix": calls_unix,
    "/https": calls_https,
    "/kept": keeps_http,
    "/pg": queries,
    "/redis": gets,
    "/connect": connects,
    "/dns": asks_names,
    "/half": talks_half,
}


class Handler(BaseHTTPRequestHandler):
    """Plays one scene a request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        clock = Clock()
        scene = SCENES.get(parts.path)
        if scene:
            scene(clock, **dict(parse_qsl(parts.query)))
        body = json.dumps(clock.stretches).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing is logged."""


if __name__ == "__main__":
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
