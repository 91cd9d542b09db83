"""The benchmark's target in an event loop: nothing at `/`, one awaited call to a neighbour at `/call`; ASGI."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]

BODY: Final = b"ok"
_idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer, and at `/call` ask first."""
    await receive()
    if scope["path"] == "/call":
        await ask()
    headers = [(b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def ask() -> None:
    """Ask the neighbour in the words of Redis, on a connection that is kept."""
    if _idle:
        reader, writer = _idle.pop()
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["NEIGHBOUR_PORT"]))
    writer.write(b"*1\r\n$4\r\nPING\r\n")
    await reader.readline()
    _idle.append((reader, writer))
