"""A plain WSGI application with the middleware around it: gunicorn and wsgiref run it, on any Python from 3.8 on."""

import threading
import time
from pathlib import Path

from perfwatch_middleware import PerfwatchWSGI


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


def pages():
    for number in range(5):
        time.sleep(0.02)
        yield b"page %d" % number


def broken_pages():
    yield b"one page"
    raise LookupError("secret")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise KeyError("secret")
    headers = [("Content-Type", "text/plain")]
    if path.startswith("/sleep"):
        time.sleep(0.02)
    elif path.startswith("/slow"):
        for _ in range(4):
            burn(0.02)
            time.sleep(0.03)
    elif path == "/pages":
        start_response("200 OK", headers)
        return pages()
    elif path == "/broken":
        start_response("200 OK", headers)
        return broken_pages()
    elif path == "/file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))
    body = b"%d" % threading.get_native_id()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


app = PerfwatchWSGI(app)
