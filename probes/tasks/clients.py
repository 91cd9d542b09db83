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
from perfwatch.probes.tasks.addresses import Addresses
from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes, Found
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

MAX_FRAMES: Final = 64
"""So many of a task's are looked at, the outermost ones."""
_SCOPE: Final = "scope"
_HTTP_2: Final = "2"
_SELF: Final = "__self__"
"""Of a bound method."""


class Route(NamedTuple):
    """A way from a local variable to a client's address."""

    variable: str
    function: str
    """Bare name of the function that has it; empty: any."""
    file: str
    """What the name of its file ends with."""
    path: tuple[str, ...]
    """Attributes, one after the other; of a dictionary keys."""
    holds: str = ""
    """What the type of the variable must be named."""
    witness: tuple[str, ...] = ()
    """What must lead to something that is not None."""


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

    def __init__(
        self, python: Python, kinds: Kinds, attributes: Attributes, variables: Variables, codes: Codes
    ) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._attributes = attributes
        self._variables = variables
        self._rules = Rules(ROUTES, codes, variables)
        self._addresses = Addresses(python, kinds)
        self._objects = Objects(python.memory, python.layout)

    def of(self, chain: Chain) -> Client | None:
        """Return whom a task serves."""
        outermost = zip(reversed(chain.stack), reversed(chain.variables), strict=True)
        self._rules.renew()
        for (code, position), variables in islice(outermost, min(chain.own, MAX_FRAMES)):
            for route in self._rules.of(code, position):
                start = self._variables.of(code, variables, route.variable)
                client = self._along(route, start) if start else None
                if client is not None:
                    return client
        return None

    def _along(self, route: Route, start: Found) -> Client | None:
        """Go along a route from what a variable holds."""
        if route.holds and self._kinds.name_of(start.value) != route.holds:
            return None
        if route.witness and not self._is_something(start.value, route.witness):
            return None
        evidence = [(start.place, start.value.to_bytes(POINTER, "little"))]
        at = start.value
        for name in route.path:
            found = self._next(at, name)
            if found is None:
                return None
            at = found.value
            evidence.append((found.place, at.to_bytes(POINTER, "little")))
        address = self._addresses.of(at)
        if address is None:
            return None
        path, seen = self._stream(start.value) if route.variable == _SCOPE else ("", ())
        return Client(f"{address.text}{path}", bool(route.function), (*evidence, *address.evidence, *seen))

    def _stream(self, scope: int) -> tuple[str, tuple[tuple[int, bytes], ...]]:
        """Return a space and the path that a scope of HTTP/2 tells, and where they were seen; nothing of others."""
        version, path = self._next(scope, "http_version"), self._next(scope, "path")
        if version is None or path is None:
            return "", ()
        texts = self._objects.texts([version.value, path.value])
        if texts[0] != _HTTP_2 or not texts[1]:
            return "", ()
        return f" {texts[1]}", ((path.place, path.value.to_bytes(POINTER, "little")),)

    def _next(self, thing: int, name: str) -> Found | None:
        """Return what an attribute, or a key of a dictionary, leads to."""
        kind = self._memory.word(thing + self._layout["ob.type"])
        known = self._kinds.name(kind) if kind else ""
        if name == _SELF:
            return self._attributes.at(thing + self._layout["method.self"]) if known == "method" else None
        return self._attributes.item(thing, name) if known == "dict" else self._attributes.of(thing, name, kind)

    def _is_something(self, thing: int, path: tuple[str, ...]) -> bool:
        for name in path:
            found = self._next(thing, name)
            if found is None:
                return False
            thing = found.value
        return self._kinds.name_of(thing) not in {"", "NoneType"}
