"""Servers of each kind with the same application, and a client that says exactly what goes over the wire, and when."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from serving import addresses, gunicorn, running

SO_TIMESTAMPNS = 35
LATENCY_SHARE = 0.05
LATENCY_NS = 1_000_000
"""A latency is right when it is so near to the client's own: either suffices."""


def uvicorn(*options):
    """Return what starts uvicorn with these options."""

    @contextlib.contextmanager
    def start(*more):
        with addresses() as address:
            command = [sys.executable, "-m", "uvicorn", "corners:asgi", "--port", address.rpartition(":")[2]]
            command += ["--log-level", "warning", "--ws", "wsproto", *options, *more]
            with running(command, address, answers=not more) as server:
                yield server

    return start


@contextlib.contextmanager
def aiohttp(*certificate):
    """Run aiohttp."""
    with addresses() as address:
        command = [sys.executable, "corners.py", address.rpartition(":")[2], *certificate]
        with running(command, address, answers=not certificate) as server:
            yield server


def over_tls(name, both):
    """Run one of the servers with a certificate, and its key in the same file."""
    if name == "aiohttp":
        return aiohttp(both)
    if name.startswith("uvicorn"):
        return SERVERS[name]("--ssl-certfile", both, "--ssl-keyfile", both)
    options = ("--certfile", both, "--keyfile", both)
    return gunicorn("corners:wsgi", worker_class=name.removeprefix("gunicorn-"), options=options, answers=False)


SERVERS = {
    "gunicorn-sync": lambda: gunicorn("corners:wsgi", worker_class="sync"),
    "gunicorn-gthread": lambda: gunicorn("corners:wsgi"),
    "uvicorn-h11": uvicorn("--loop", "asyncio", "--http", "h11"),
    "uvicorn-httptools": uvicorn("--loop", "asyncio", "--http", "httptools"),
    "uvicorn-uvloop": uvicorn("--loop", "uvloop", "--http", "httptools"),
    "aiohttp": aiohttp,
}
THREADED = ("gunicorn-sync", "gunicorn-gthread")
LOOPS = tuple(SERVERS.keys() - set(THREADED))


@dataclass(frozen=True)
class Exchange:
    """One request as its client saw it."""

    target: str
    status: int
    latency_ns: int
    """From the first byte sent to the arrival of the last one."""
    body: bytes = b""


class Client:
    """One connection, without an idea of HTTP but for where an answer ends.

    The kernel says when each piece arrived: how late the client itself then ran, on a machine with much to do, is no
    part of a latency. TLS is done in memory, so that this holds for it as well.
    """

    def __init__(self, address, context=None, session=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.rest = b""
        self.arrived_ns = 0
        self.tls = None
        if context:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost", session=session)
            self._shake()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _shake(self):
        while not self._is_shaken():
            self.socket.sendall(self._outgoing.read())
            self._incoming.write(self._received())

    def _is_shaken(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _received(self):
        data, about, *_ = self.socket.recvmsg(65536, 64)
        for level, kind, stamp in about:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, ns = struct.unpack("qq", stamp)
                self.arrived_ns = seconds * 1_000_000_000 + ns
        return data

    def send(self, data):
        """Hand bytes to the kernel, with those of a handshake that waited for company; returns when."""
        if self.tls:
            self.tls.write(data)
            data = self._outgoing.read()
        now = time.time_ns()
        self.socket.sendall(data)
        return now

    def answer(self, target, since_ns, *, has_body=True):
        """Read one answer."""
        head = self._until(b"\r\n\r\n")
        status = int(head[9:12])
        if status == 100:
            return Exchange(target, status, self.arrived_ns - since_ns)
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = b""
        if b"chunked" in head.lower():
            body = self._until(b"0\r\n\r\n")
        elif has_body and length:
            body = self._take(int(length[1]))
        elif has_body and status not in {101, 204, 304}:
            body = self._to_the_end()
        return Exchange(target, status, self.arrived_ns - since_ns, body)

    def ask(self, target, method="GET", headers="", body=b""):
        """Send one request and read its answer."""
        return self.answer(target, self.send(request(target, method, headers) + body), has_body=method != "HEAD")

    def _more(self):
        data = self._received()
        while self.tls and data:
            self._incoming.write(data)
            data = self._in_the_clear()
            if data:
                break
            data = self._received()
        self.rest += data
        return data

    def _in_the_clear(self):
        data = b""
        try:
            while piece := self.tls.read(1 << 20):
                data += piece
        except ssl.SSLWantReadError:
            pass
        return data

    def _until(self, mark):
        while mark not in self.rest:
            assert self._more(), f"the server closed the connection after {self.rest!r}"
        before, mark, self.rest = self.rest.partition(mark)
        return before + mark

    def _take(self, count):
        while len(self.rest) < count:
            assert self._more(), "the server closed the connection within a body"
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def _to_the_end(self):
        while self._more():
            pass
        taken, self.rest = self.rest, b""
        return taken


def request(target, method="GET", headers=""):
    """Return the head of a request."""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def latency_of(served):
    """Return the time from the first byte's arrival to the answer's last, in nanoseconds."""
    return served.ended_ns - (served.arrived_ns or served.started_ns)


def agree(served, exchanges):
    """Assert that each exchange was counted once, with its target, status and latency."""
    key = {"key": lambda each: (each.target or "", each.status or 0)}
    seen, sent = sorted(served, **key), sorted(exchanges, **key)
    assert [(each.target, each.status) for each in seen] == [(each.target, each.status) for each in sent]
    for one, other in zip(seen, sent, strict=True):
        assert is_near(latency_of(one), other.latency_ns), (one, other)


def is_near(seen_ns, client_ns):
    """Whether a latency is the client's own, but for what the client itself took."""
    return abs(seen_ns - client_ns) <= max(LATENCY_NS, LATENCY_SHARE * client_ns)


@contextlib.contextmanager
def certificate():
    """Yield a file with a key and a certificate for localhost, made anew."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-certificate-") as directory:
        key, both = Path(directory) / "key.pem", Path(directory) / "both.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", both]
        subprocess.run(command, check=True, capture_output=True)
        both.write_bytes(key.read_bytes() + both.read_bytes())
        yield str(both)


TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
ASKED = ("/sleep/0", "/sleep/10", "/sleep/20", "/sleep/30")


def context_of(version, *, both=None):
    """Return a client's context of one TLS version that trusts everybody; `both` is its own certificate and key."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = TLS_VERSIONS[version]
    if both:
        context.load_cert_chain(both)
    return context


def ask_in_turn(name, address, context, session=None):
    """Send four requests, with some thinking in between: on one connection, where the server keeps it."""
    exchanges = []
    if name == "gunicorn-sync":
        for target in ASKED:
            with Client(address, context, session) as client:
                exchanges.append(client.ask(target))
        return exchanges, client.tls
    with Client(address, context, session) as client:
        for target in ASKED:
            exchanges.append(client.ask(target))
            time.sleep(0.03)
    return exchanges, client.tls
