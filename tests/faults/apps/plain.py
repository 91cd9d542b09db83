"""The plainest target: an empty handler at `/`, 1 ms of CPU at `/ms`, 30 ms of sleep at `/sleep/ID`; WSGI."""

from __future__ import annotations

import time


def spend(path):
    """Return the answer to a path, after the CPU time that it costs."""
    if path == "/ms":
        until = time.thread_time() + 0.001
        while time.thread_time() < until:
            sum(range(50))
    elif path.startswith("/sleep"):
        time.sleep(0.03)
    return b"ok"


def app(environ, start_response):
    """WSGI."""
    data = spend(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]
