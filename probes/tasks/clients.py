"""Which connection a task serves: the client's address, as its server keeps it.

It is looked for in the local variables of the coroutines, the outermost first, for what the server put there stands
outside of what the application does: uvicorn's protocol (its `scope` names whom a proxy told of), the `scope` of ASGI,
the request of aiohttp, tornado and Sanic, the connection of websockets, the writer of a server of asyncio's own
streams. A client without a port (a Unix socket, or one that a proxy told of) is none. What leads to the address is
remembered, so that it can be seen later that it still does. Streams of HTTP/2 share a connection: of theirs the
`scope` has the path, too. Cost: 100 us where there is a client, 5 us a frame where
there is none.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER, Objects
from perfwatch.probes.tasks.routes import Route
from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.variables import Variables
    from perfwatch.probes.tasks.routes import Routes

MAX_FRAMES: Final = 64
"""So many of a task's are looked at, the outermost ones."""
_SCOPE: Final = "scope"
_HTTP_2: Final = "2"
_SELF: Final = "__self__"

ROUTES: Final = (
    Route("self", "run_asgi", "uvicorn/protocols/http/h11_impl.py", ("on_response", _SELF, "client")),
    Route("self", "run_asgi", "uvicorn/protocols/http/httptools_impl.py", ("on_response", _SELF, "client")),
    Route("self", "start", "aiohttp/web_protocol.py", ("_current_request", "_transport_peername")),
    Route("request", "", "", ("_transport_peername",)),
    Route("self", "_server_request_loop", "tornado/http1connection.py", ("context", "address")),
    Route("self", "_execute", "tornado/web.py", ("request", "connection", "context", "address")),
    Route("request", "", "", ("conn_info", "peername")),
    Route("connection", "protocol_handler", "websockets/asyncio/server.py", ("transport", "_extra", "peername")),
    Route(_SCOPE, "", "", ("client",), holds="dict"),
    Route("writer", "", "", ("_transport", "_extra", "peername"), "StreamWriter", ("_transport", "_server")),
)


class Client(NamedTuple):
    """Whom a task serves."""

    text: str
    """Its address, as `ServedRequest.remote`; of a stream of HTTP/2 a space and its path follow."""
    is_lasting: bool
    """Whether the task serves nobody else, as long as it is: its server made it for this connection."""
    evidence: tuple[tuple[int, bytes], ...]
    """What led to it: places, and what lay there."""


class Clients:
    """Finds the clients of one Python's tasks. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, routes: Routes, objects: Objects, variables: Variables, codes: Codes) -> None:
        self._routes = routes
        self._objects = objects
        self._variables = variables
        self._rules = Rules(ROUTES, codes, variables)

    def of(self, chain: Chain) -> Client | None:
        """Return whom a task serves."""
        outermost = zip(reversed(chain.stack), reversed(chain.variables), strict=True)
        self._rules.renew()
        for (code, position), variables in islice(outermost, min(chain.own, MAX_FRAMES)):
            for route in self._rules.of(code, position):
                start = self._variables.of(code, variables, route.variable)
                found = self._routes.along(route, start) if start else None
                if start and found is not None:
                    path, seen = self._stream(start.value) if route.variable == _SCOPE else ("", ())
                    return Client(f"{found.text}{path}", bool(route.function), (*found.evidence, *seen))
        return None

    def _stream(self, scope: int) -> tuple[str, tuple[tuple[int, bytes], ...]]:
        """Return a space and the path that a scope of HTTP/2 tells, and where they were seen; nothing of others."""
        version, path = self._routes.next(scope, "http_version"), self._routes.next(scope, "path")
        if version is None or path is None:
            return "", ()
        texts = self._objects.texts([version.value, path.value])
        if texts[0] != _HTTP_2 or not texts[1]:
            return "", ()
        return f" {texts[1]}", ((path.place, path.value.to_bytes(POINTER, "little")),)
