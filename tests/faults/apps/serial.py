"""A WSGI application of which a part is serial: `/share?serial=20&free=20` (mean milliseconds, drawn anew each time).

The serial part is spent under one lock, asleep: whatever else this machine does, no more than one is in it.
"""

from __future__ import annotations

import random
import threading
import time
from urllib.parse import parse_qs

import truth

_LOCK = threading.Lock()


def _some(milliseconds):
    return random.expovariate(1000 / float(milliseconds))


def app(environ, start_response):
    """Sleep, then sleep with the lock; `/_truth` says for how long each."""
    path, query = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
    data = b"ok"
    if path == "/_truth":
        data = truth.as_json()
    elif path.startswith("/share"):
        with truth.request(path):
            with truth.measured("free"):
                time.sleep(_some(query["free"][0]))
            with _LOCK, truth.measured("serial"):
                time.sleep(_some(query["serial"][0]))
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
