"""The first of two services: an asyncio server in one thread, which asks the other one for every answer.

| route | what it asks of the prices | what that is slow for |
|---|---|---|
| `GET /buy/{}` | `GET /price/{}` | a lock |
| `GET /quote/{}` | `GET /discount/{}` | its own code |
| `GET /total/{}` | `GET /tax/{}` | nothing |

    python -m perfwatch.examples.storefront 127.0.0.1:8000 127.0.0.1:8001
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from perfwatch.examples.leash import leash

ASKED: Final = {"buy": "price", "quote": "discount", "total": "tax"}
"""What each page asks for."""
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Prices:
    """A client of the other service; connections that nobody uses are kept for the next call."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str) -> bytes:
        """Return the body of what the other service answers."""
        reader, writer = self._kept() or await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: prices\r\n\r\n".encode())
            head = await reader.readuntil(_END)
            body = await reader.readexactly(_length_of(head))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return body

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a connection that is open still; the other service closes those that nobody used for long."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None


class Storefront:
    """Answers each connection's requests one after the other."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            while True:
                head = await reader.readuntil(_END)
                path = head.split(b" ", 2)[1].decode("latin-1")
                writer.write(await self._answer(path))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError):
            pass  # it was closed, or spoke something else
        finally:
            writer.close()

    async def _answer(self, path: str) -> bytes:
        name, _, number = path.strip("/").partition("/")
        asked = ASKED.get(name)
        if asked is None:
            return _response("404 Not Found", b"not here\n")
        return _response("200 OK", name.encode() + b" " + await self._prices.ask(f"/{asked}/{number}"))


def _response(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _length_of(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.removeprefix(_LENGTH)) for line in lines if line.startswith(_LENGTH)), 0)


async def serve(address: str, prices: str) -> None:
    """Serve on an address until the end of the process."""
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(Storefront(Prices(prices)).serve, host, int(port), backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> int:
    """Serve on the first address that is an argument, and ask the second for prices."""
    leash()
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
