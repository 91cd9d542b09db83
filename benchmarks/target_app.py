"""The benchmark's target: an empty handler at `/`, and one that uses 1 ms of CPU at `/ms`; WSGI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

BODY: Final = b"ok"
HANDLER_S: Final = 0.001


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, and at `/ms` compute first."""
    if environ["PATH_INFO"] == "/ms":
        until = time.thread_time() + HANDLER_S
        while time.thread_time() < until:
            sum(range(50))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]
