"""A small HTTP server for one text, in a thread of its own, made for clients that mean no good.

Whoever asks gets the newest text at `/metrics`, and nothing else. No header is looked at. A connection has 5 s in all,
8 kB for its request and one answer; where 16 are open, the oldest makes room. So many are taken a second that
answering them costs little: the thread shares its interpreter with the recorder.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PATH: Final = b"/metrics"
DEADLINE_S: Final = 5.0
MAX_OPEN: Final = 16
MAX_HEAD: Final = 8192
_PAUSE_S: Final = 0.01
"""Between two connections that are taken."""


class Endpoint:
    """Serves while it is entered; `text` is asked what to serve, in its thread: None until there is something."""

    def __init__(self, listener: socket.socket, text: Callable[[], bytes | None], content_type: str) -> None:
        self._listener = listener
        self._text = text
        self._content_type = content_type
        self._open: dict[asyncio.Task[None], None] = {}
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="perfwatch-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        """Serve until it is stopped; what is open then is cut off."""
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        accepting = self._loop.create_task(self._accept())
        self._begun.set()
        await self._stopped.wait()
        accepting.cancel()

    async def _accept(self) -> None:
        while True:
            await self._arrival()
            with suppress(OSError):  # its client has gone, or there are no descriptors left
                self._take(self._listener.accept()[0])
            await asyncio.sleep(_PAUSE_S)

    async def _arrival(self) -> None:
        """Wait until somebody connects."""
        arrived = asyncio.Event()
        self._loop.add_reader(self._listener, arrived.set)
        try:
            await arrived.wait()
        finally:
            self._loop.remove_reader(self._listener)

    def _take(self, client: socket.socket) -> None:
        """Serve a client; its socket is closed when its task ends, also where that never began."""
        client.setblocking(False)  # noqa: FBT003 - as above
        task = self._loop.create_task(self._answer(client))
        self._open[task] = None
        task.add_done_callback(self._open.pop)
        task.add_done_callback(lambda _: client.close())
        if len(self._open) > MAX_OPEN:
            next(iter(self._open)).cancel()

    async def _answer(self, client: socket.socket) -> None:
        """Read one request and answer it, within the time that a connection has."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(DEADLINE_S):
                head = await self._head(client)
                if head is not None:
                    await self._loop.sock_sendall(client, self._response(head.split(b"\r\n", 1)[0].split(b" ")))
                    client.shutdown(socket.SHUT_WR)
                    await self._loop.sock_recv(client, 1)  # until it has all

    async def _head(self, client: socket.socket) -> bytes | None:
        """Read a request up to the empty line; None where there is none, or it is too long."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = await self._loop.sock_recv(client, MAX_HEAD)
            head += more
            if not more or len(head) > MAX_HEAD:
                return None
        return head

    def _response(self, line: list[bytes]) -> bytes:
        method, path = (*line, b"", b"")[:2]
        if method not in {b"GET", b"HEAD"}:
            return _framed("405 Method Not Allowed", "text/plain", b"")
        if path.split(b"?", 1)[0] != PATH:
            return _framed("404 Not Found", "text/plain", b"metrics are at /metrics\n")
        text = self._text()
        if text is None:
            return _framed("503 Service Unavailable", "text/plain", b"nothing is measured yet\n")
        return _framed("200 OK", self._content_type, text, is_head=method == b"HEAD")


def _framed(status: str, content_type: str, body: bytes, *, is_head: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)
