"""One HTTP/1.1 client connection over TCP or a Unix socket, with the clock read at both ends of an exchange.

Kept open between requests where the server allows it, and opened again where it does not. Understands bodies
with a Content-Length, chunked ones, and those that end with the connection: what Python's servers send.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from typing import Final, Literal

PIECES: Final = 8
"""A slow client's body or answer is moved in so many pieces."""
MAX_HEAD_BYTES: Final = 65_536
SMALL_BUFFER_BYTES: Final = 65_536
_LAST_CHUNK: Final = b"0\r\n\r\n"


class RequestFailed(Exception):
    """No complete answer came: refused, reset, closed, timed out, cut off, or not HTTP."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request, and the manner in which its client moves the bytes."""

    path: str
    method: Literal["GET", "POST"] = "GET"
    body: bytes = b""
    upload_s: float = 0.0
    """The body is sent in pieces over this time: a slow uploader."""
    download_s: float = 0.0
    """The answer is read in pieces over this time: a slow reader."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, and when the exchange began and ended (CLOCK_MONOTONIC)."""

    status: int
    body: bytes
    """As it was sent: chunked bodies with their chunk sizes; empty unless it was to be kept."""
    start_ns: int
    """Just before the first byte was sent, on a connection that was set up."""
    end_ns: int
    """When the last byte had been read."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    status: int
    length: int | None
    chunked: bool
    closes: bool

    def ended(self, size: int, tail: bytes) -> bool:
        if self.chunked:
            return tail.endswith(_LAST_CHUNK)
        return self.length is not None and size >= self.length


class Connection:
    """A client's connection; one thread uses it, any may `abort` it."""

    def __init__(self, address: str, timeout_s: float, *, small_buffer: bool = False) -> None:
        """`small_buffer` is for a slow reader: the server shall feel that nobody reads."""
        self._address = address
        self._timeout_s = timeout_s
        self._small_buffer = small_buffer
        self._socket: socket.socket | None = None
        self._aborted = threading.Event()

    def request(self, call: Call, *, keep_body: bool = False) -> Answer:
        """Send one request and read its whole answer; raises RequestFailed.

        A kept connection that the server has closed meanwhile is opened again, once.
        """
        reused = self._socket is not None
        try:
            return self._exchange(call, keep_body=keep_body)
        except (ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not reused:
                raise RequestFailed(str(error)) from error
        except (OSError, ValueError) as error:
            self.close()
            raise RequestFailed(str(error)) from error
        return self.request(call, keep_body=keep_body)

    def abort(self) -> None:
        """Cut the connection off, also in the middle of an exchange; later requests fail."""
        self._aborted.set()
        if (connected := self._socket) is not None:
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was closed already

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, call: Call, *, keep_body: bool) -> Answer:
        if self._socket is None:
            self._socket = connect(self._address, self._timeout_s, small_buffer=self._small_buffer)
        if self._aborted.is_set():
            raise ConnectionAbortedError("aborted")
        start_ns = time.monotonic_ns()
        self._send(self._socket, call)
        head, rest = _read_head(self._socket)
        body = self._read_body(self._socket, head, rest, call.download_s, keep_body=keep_body)
        end_ns = time.monotonic_ns()
        if head.closes:
            self.close()
        return Answer(head.status, body, start_ns, end_ns)

    def _send(self, connected: socket.socket, call: Call) -> None:
        length = f"Content-Length: {len(call.body)}\r\n" if call.body else ""
        head = f"{call.method} {call.path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode()
        if not call.upload_s:
            connected.sendall(head + call.body)
            return
        connected.sendall(head)
        step = max(1, -(-len(call.body) // PIECES))
        for start in range(0, len(call.body), step):
            self._aborted.wait(call.upload_s / PIECES)
            connected.sendall(call.body[start : start + step])

    def _read_body(
        self, connected: socket.socket, head: _Head, rest: bytes, download_s: float, *, keep_body: bool
    ) -> bytes:
        kept = bytearray(rest if keep_body else b"")
        size, tail = len(rest), rest[-len(_LAST_CHUNK) :]
        begun = time.monotonic()
        while not head.ended(size, tail):
            if download_s and head.length:
                due = begun + download_s * (size * PIECES // head.length) / PIECES
                self._aborted.wait(max(0.0, due - time.monotonic()))
            data = connected.recv(262_144)
            if not data and (head.chunked or head.length is not None):
                raise ConnectionAbortedError("the answer was cut off")
            if not data:
                break
            size, tail = size + len(data), (tail + data)[-len(_LAST_CHUNK) :]
            if keep_body:
                kept += data
        return bytes(kept)


def connect(address: str, timeout_s: float, *, small_buffer: bool = False) -> socket.socket:
    """Connect to `host:port` or `unix:/path`; raises OSError."""
    unix = address.startswith("unix:")
    connected = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    try:
        if small_buffer:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        connected.settimeout(timeout_s)
        if unix:
            connected.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.connect((host, int(port)))
    except BaseException:
        connected.close()
        raise
    return connected


def _read_head(connected: socket.socket) -> tuple[_Head, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEAD_BYTES:
            raise ValueError("the answer's head is too long")
        more = connected.recv(65_536)
        if not more:
            raise ConnectionResetError("closed before an answer")
        data += more
    raw, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").lower().split("\r\n")
    version, status = first.split(" ", 2)[:2]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(fields["content-length"]) if "content-length" in fields else None
    chunked = "chunked" in fields.get("transfer-encoding", "")
    closes = fields.get("connection") == "close" or version == "http/1.0" or (length is None and not chunked)
    return _Head(int(status), length, chunked, closes), rest
