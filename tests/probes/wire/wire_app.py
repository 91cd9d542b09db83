"""A WSGI application whose answers differ in size, manner, status and time."""

import time


def app(environ, start_response):
    """`/sleep/MS`, `/big/BYTES`, `/stream/PIECES` (chunked, 30 ms apart), `/status/CODE`; anything else echoes."""
    _, kind, *rest = environ["PATH_INFO"].split("/")
    body = environ["wsgi.input"].read()
    status = "200 OK"
    if kind == "sleep":
        time.sleep(int(rest[0]) / 1000)
    elif kind == "big":
        body = bytes(int(rest[0]))
    elif kind == "status":
        status = f"{rest[0]} As Asked"
    elif kind == "stream":
        start_response(status, [("Content-Type", "text/plain")])
        return pieces(int(rest[0]))
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def pieces(number):
    """Yield so many pieces, 30 ms apart."""
    for piece in range(number):
        if piece:
            time.sleep(0.03)
        yield b"piece\n"
