"""A server that could do less for the same: each path wastes in one way, `/fair/...` beside it does not.

`gunicorn --chdir tests/faults/apps chancing:app`, with FAULTY_WEB, FAULTY_SECURE_WEB, FAULTY_AUTHORITY and FAULTY_PG as
far as what is asked for needs them.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import ssl
import threading
import time
from urllib.parse import parse_qsl

from planted import burn

WEB, SECURE = os.environ.get("FAULTY_WEB", ""), os.environ.get("FAULTY_SECURE_WEB", "")
LISTING = json.dumps([{"id": n, "name": f"item {n}", "price": n * 7 % 100} for n in range(1000)]).encode()
PACKED = gzip.compress(LISTING * 20)
PICTURE = os.urandom(60_000)
STYLE = b"body { margin: 0 }\n" * 400
_kept = threading.local()
_numbers = iter(range(1, 1 << 62))


def _ask(client, path="/wait?ms=15"):
    client.request("GET", path)
    return client.getresponse().read()


def _kept_client():
    if not hasattr(_kept, "client"):
        _kept.client = http.client.HTTPConnection(WEB)
    return _kept.client


def report(**_):
    """The same for all who ask, and made anew each time."""
    burn(0.005)
    _ask(_kept_client())
    return "text/plain", b"the report"


def search(q="", **_):
    """Another answer for each query."""
    burn(0.005)
    return "text/plain", b"found %8s" % q.encode()


def changing(**_):
    """The same question, and each time something else to do."""
    burn(0.003 + 0.012 * (next(_numbers) % 2))
    return "text/plain", b"ok"


def style(**_):
    return "text/css", STYLE


def listing(**_):
    return "application/json", LISTING


def packed(**_):
    return "application/json", PACKED


def picture(**_):
    return "image/png", PICTURE


def fresh(**_):
    """A connection for each request."""
    client = http.client.HTTPConnection(WEB)
    _ask(client)
    client.close()
    return "text/plain", b"ok"


def kept(**_):
    _ask(_kept_client())
    return "text/plain", b"ok"


def secure(**_):
    """A handshake for each request, from nothing."""
    context = ssl.create_default_context(cafile=os.environ["FAULTY_AUTHORITY"])
    client = http.client.HTTPSConnection(SECURE, context=context)
    _ask(client)
    client.close()
    return "text/plain", b"ok"


def together(**_):
    """Two calls that do not need each other."""
    _ask(_kept_client(), "/prices/wait?ms=30")
    _ask(_kept_client(), "/stock/wait?ms=30")
    return "text/plain", b"ok"


def busy(**_):
    """A service that is too busy every other time, and is asked again."""
    for _ in range(2):
        _kept_client().request("GET", "/often-busy?ms=15")
        answer = _kept_client().getresponse()
        answer.read()
        if answer.status == 200:
            break
    return "text/plain", b"ok"


def conflict(**_):
    """A transaction that comes into conflict with another one, and is done again."""
    import psycopg2

    if not hasattr(_kept, "mine"):
        _kept.mine, _kept.other = (psycopg2.connect(os.environ["FAULTY_PG"]) for _ in range(2))
        _kept.mine.set_session(isolation_level="REPEATABLE READ")
        _kept.other.autocommit = True
    item = next(_numbers) % 1000
    for spoiled in (True, False):
        try:
            with _kept.mine.cursor() as mine, _kept.other.cursor() as other:
                mine.execute("SELECT name FROM items WHERE id = %s", (item,))
                time.sleep(0.01)
                if spoiled:
                    other.execute("UPDATE items SET name = name || '' WHERE id = %s", (item,))
                mine.execute("UPDATE items SET name = name || ' ' WHERE id = %s", (item,))
            _kept.mine.commit()
            break
        except psycopg2.errors.SerializationFailure:
            _kept.mine.rollback()
    return "text/plain", b"ok"


PATHS = {
    "report": report,
    "search": search,
    "changing": changing,
    "static": style,
    "listing": listing,
    "packed": packed,
    "picture": picture,
    "fresh": fresh,
    "kept": kept,
    "secure": secure,
    "together": together,
    "busy": busy,
    "conflict": conflict,
}


def app(environ, start_response):
    """The WSGI application."""
    name = environ["PATH_INFO"].split("/")[1]
    kind, body = PATHS[name](**dict(parse_qsl(environ.get("QUERY_STRING", ""))))
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    headers += [("Content-Encoding", "gzip")] if name == "packed" else []
    start_response("200 OK", headers)
    return [body]
