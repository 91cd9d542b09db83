"""The storefront of the examples in threads: each request's own thread asks the prices, on a connection of its own."""

import os
import threading

from perfwatch.examples.http_client import Call, Connection
from perfwatch.examples.storefront import ASKED

_local = threading.local()


def app(environ, start_response):
    """Answer with what the prices say; the address of these is in the environment."""
    name, _, number = environ["PATH_INFO"].strip("/").partition("/")
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = Connection(os.environ["PRICES"], 30)
    body = connection.request(Call(f"/{ASKED.get(name, 'tax')}/{number or 0}"), keep_body=True).body
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
