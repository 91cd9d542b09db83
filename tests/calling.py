"""Whom the calling server calls, for tests: slow servers of known delays, on every kind of socket, in this process."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import serving
from ledgering import attached

from perfwatch.examples.starting import await_listening, end_group, free_port

WAIT_S, PIECES, PIECE_BYTES, PAUSE_S = 0.05, 10, 100_000, 0.004
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * PIECE_BYTES)


def answer_slowly(client):
    """Serve one connection: `WAIT_S` to the first byte, then 1 MB in pieces."""
    asked = b""
    with client, contextlib.suppress(OSError):
        while data := client.recv(1 << 20):
            asked += data
            if not is_whole(asked):
                continue
            asked = b""
            time.sleep(WAIT_S)
            client.sendall(HEAD)
            for _ in range(PIECES):
                client.sendall(b"x" * PIECE_BYTES)
                time.sleep(PAUSE_S)


def is_whole(asked):
    head, ends, body = asked.partition(b"\r\n\r\n")
    _, has_body, length = head.partition(b"Content-Length: ")
    return bool(ends) and len(body) >= int(length.split(b"\r\n")[0] if has_body else 0)


@contextlib.contextmanager
def accepting(listener, serve):
    """Serve each connection in a thread until the block ends."""

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextlib.contextmanager
def slow_http(family=socket.AF_INET, serve=answer_slowly):
    """Serve HTTP on a loopback port; yields the port."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with accepting(socket.create_server((host, 0), family=family), serve) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def slow_unix():
    """Serve HTTP on a Unix socket; yields its path."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-called-") as directory:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/slow.sock")
        listener.listen()
        with accepting(listener, answer_slowly):
            yield f"{directory}/slow.sock"


@contextlib.contextmanager
def slow_https():
    """Serve HTTP over TLS; yields the port."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-called-") as directory:
        key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
        subprocess.run([*made, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def serve(client):
            with client, contextlib.suppress(OSError):
                answer_slowly(context.wrap_socket(client, server_side=True))

        with slow_http(serve=serve) as port:
            yield port


@contextlib.contextmanager
def slow_names(host="127.5.3.53"):
    """Answer names at port 53 of a loopback address, after 30 ms; yields the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 53))
        server.settimeout(0.1)
        ends = threading.Event()

        def serve():
            while not ends.is_set():
                with contextlib.suppress(TimeoutError):
                    asked, whom = server.recvfrom(512)
                    time.sleep(0.03)
                    server.sendto(asked[:2] + b"\x81\x80" + asked[4:], whom)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield host
        finally:
            ends.set()
            thread.join()


@contextlib.contextmanager
def redis_server():
    """Run a Redis of our own; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="perfwatch-redis-") as directory:
        command = [shutil.which("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(
            [*command, "--dir", directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            await_listening(process, f"127.0.0.1:{port}", serving.READY_S)
            yield port
        finally:
            end_group(process)


@contextlib.contextmanager
def watched_caller():
    """Run the calling server under the ledger; yields it with the function that has it play a scene."""
    with serving.addresses() as address:
        command = [sys.executable, serving.APPS / "calling.py", address.rpartition(":")[2]]
        with serving.running(command, address) as server, attached(server.pid) as ledger:
            yield Caller(server, ledger)


class Caller:
    """The calling server, and what the ledger saw of it."""

    def __init__(self, server, ledger):
        self.server = server
        self._ledger = ledger
        self._played = 0

    def play(self, scene):
        """Have a scene played; returns its request's record, and what it measured itself: name -> list of ns."""
        status, body = serving.get(self.server.address, scene)
        assert status == 200, body
        self._played += 1
        request = max(self._ledger.served(self._played), key=lambda each: each.started_ns)
        assert request.target == scene.partition("?")[0]
        measured = {}
        for name, begun_ns, ended_ns in json.loads(body):
            measured.setdefault(name, []).append(ended_ns - begun_ns)
        return request, measured


def openssl_is_here():
    return shutil.which("openssl") is not None
