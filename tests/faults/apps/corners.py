"""One application in three shapes, for what a protocol allows and few clients do: WSGI, ASGI, aiohttp.

`/sleep/MS` answers late, `/stream` in four pieces 150 ms apart, `/events` with three server-sent events 200 ms apart,
`/upload` with how many bytes it was sent, `/empty` with 204, `/same` with 304; ASGI also speaks WebSocket.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

PIECES: Final = 4
PIECE_S: Final = 0.15
EVENTS: Final = 3
EVENT_S: Final = 0.2
_STATUS: Final = {"/empty": (204, "No Content"), "/same": (304, "Not Modified")}


def late_s(path):
    """How long the answer to a path takes."""
    return int(path.rpartition("/")[2]) / 1000 if path.startswith("/sleep/") else 0


def kind_of(path):
    """Content type of what a path answers."""
    return "text/event-stream" if path == "/events" else "text/plain"


def wsgi(environ, start_response):
    """WSGI."""
    path = environ["PATH_INFO"]
    status, reason = _STATUS.get(path, (200, "OK"))
    if path in {"/stream", "/events"}:
        start_response("200 OK", [("Content-Type", kind_of(path))])
        return _pieces(path)
    time.sleep(late_s(path))
    body = b"%d" % len(environ["wsgi.input"].read()) if path == "/upload" else b"ok"
    body = b"" if status != 200 else body
    start_response(f"{status} {reason}", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _pieces(path):
    count, pause_s = (PIECES, PIECE_S) if path == "/stream" else (EVENTS, EVENT_S)
    for number in range(count):
        if number or path == "/events":
            time.sleep(pause_s)
        yield b"data: %d\n\n" % number


async def asgi(scope, receive, send):
    """ASGI."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await _converse(receive, send)
    elif scope["path"] in {"/stream", "/events"}:
        await _stream(scope["path"], send)
    else:
        await _answer(scope["path"], receive, send)


async def _live(receive, send):
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _converse(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def _start(path, send, status, length):
    headers = [(b"content-type", kind_of(path).encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _stream(path, send):
    count, pause_s = (PIECES, PIECE_S) if path == "/stream" else (EVENTS, EVENT_S)
    await _start(path, send, 200, None)
    for number in range(count):
        if number or path == "/events":
            await asyncio.sleep(pause_s)
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _answer(path, receive, send):
    status = _STATUS.get(path, (200, ""))[0]
    received, more = 0, path == "/upload"
    while more:
        message = await receive()
        received, more = received + len(message.get("body", b"")), message.get("more_body", False)
    await asyncio.sleep(late_s(path))
    body = (b"%d" % received if path == "/upload" else b"ok") if status == 200 else b""
    await _start(path, send, status, len(body) if status != 304 else None)
    await send({"type": "http.response.body", "body": body})


async def aiohttp_handler(request):
    """aiohttp."""
    from aiohttp import web

    path = request.path
    status = _STATUS.get(path, (200, ""))[0]
    if path in {"/stream", "/events"}:
        response = web.StreamResponse(headers={"Content-Type": kind_of(path)})
        await response.prepare(request)
        for number, piece in enumerate([b"data: x\n\n"] * (PIECES if path == "/stream" else EVENTS)):
            if number or path == "/events":
                await asyncio.sleep(PIECE_S if path == "/stream" else EVENT_S)
            await response.write(piece)
        return response
    body = await request.read() if path == "/upload" else b""
    await asyncio.sleep(late_s(path))
    if status != 200:
        return web.Response(status=status)
    return web.Response(text=str(len(body)) if path == "/upload" else "ok")


def main(port, certificate=None):
    """Serve with aiohttp."""
    import ssl

    from aiohttp import web

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", aiohttp_handler)
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
