"""A server that has secrets everywhere: what it is asked, what it asks of others, its files, threads, names.

`python secretive.py PORT DATABASE_ADDRESS SOCKET FILE THREAD_NAME --owner NAME --password WORD`; the secrets come
in arguments and requests: this file's own text holds none.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Database:
    """One connection to what speaks PostgreSQL: a start, then simple queries."""

    def __init__(self, address, user):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        told = b"\0".join([b"user", user.encode(), b"database", user.encode(), b"", b""])
        self.socket.sendall(struct.pack(">II", len(told) + 8, 196608) + told)
        self.socket.recv(4096)

    def query(self, text):
        said = text.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack(">I", len(said) + 4) + said)
        return self.socket.recv(4096)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    local = threading.local()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if getattr(self.local, "database", None) is None:
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(ARGUMENTS.thread)
            self.local.database = Database(ARGUMENTS.database, ARGUMENTS.owner)
        self.local.database.query(body["sql"])
        self.ask_upstream(body)
        self.answer(json.dumps({"said": body["answer"]}).encode(), body["cookie"])

    def do_GET(self):
        time.sleep(0.002)
        self.answer(b"ok", "none")

    def ask_upstream(self, body):
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(ARGUMENTS.socket)
            head = f"GET {body['upstream']} HTTP/1.1\r\nHost: x\r\nAuthorization: {body['cookie']}\r\n\r\n"
            upstream.sendall(head.encode())
            upstream.recv(4096)

    def answer(self, content, cookie):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", f"session={cookie}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
for name in ("database", "socket", "file", "thread"):
    parser.add_argument(name)
parser.add_argument("--owner")
parser.add_argument("--password")
ARGUMENTS = parser.parse_args()
server = ThreadingHTTPServer(("127.0.0.1", ARGUMENTS.port), Handler)
threading.Thread(target=time.sleep, args=(3600,), daemon=True, name=ARGUMENTS.thread).start()
with Path(ARGUMENTS.file).open("a") as data:
    data.write("x")
    server.serve_forever()
