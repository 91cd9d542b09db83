"""Which connection a task serves: the client's address, as its server keeps it.

It is looked for in the local variables of the coroutines, the outermost first, for what the server put there stands
outside of what the application does: uvicorn's protocol (its `scope` names whom a proxy told of), the `scope` of ASGI,
the request of aiohttp, tornado and Sanic, the writer of a server of asyncio's own streams. A client without a port (a
Unix socket, or one that a proxy told of) is none. What leads to the address is remembered, so that it can be seen
later that it still does. Cost: 100 us where there is a client, 5 us a frame where there is none.
"""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes, Found
    from perfwatch.probes.cpython.awaiting import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

MAX_FRAMES: Final = 64
"""So many of a task's are looked at, the outermost ones."""
_MAX_PORT: Final = (1 << 16) - 1
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
    Route("scope", "", "", ("client",), holds="dict"),
    Route("writer", "", "", ("_transport", "_extra", "peername"), "StreamWriter", ("_transport", "_server")),
)
_VARIABLES: Final = frozenset(route.variable for route in ROUTES)


class Client(NamedTuple):
    """Whom a task serves."""

    text: str
    """Its address, as `ServedRequest.remote`."""
    is_lasting: bool
    """Whether the task serves nobody else, as long as it is: its server made it for this connection."""
    evidence: tuple[tuple[int, bytes], ...]
    """What led to it: places, and what lay there."""


class Clients:
    """Finds the clients of one Python's tasks. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, attributes: Attributes, variables: Variables) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._attributes = attributes
        self._variables = variables
        self._objects = Objects(python.memory, python.layout)
        self._one_digit = 1 << 3 if python.layout.minor >= (3, 12) else 1

    def of(self, chain: Chain, codes: Codes) -> Client | None:
        """Return whom a task serves."""
        outermost = zip(reversed(chain.stack), reversed(chain.variables), strict=True)
        for (code, position), variables in islice(outermost, min(chain.own, MAX_FRAMES)):
            if not _VARIABLES & self._variables.numbers(code).keys():
                continue
            frame = codes.frame(code, position)
            if frame is None:
                return None
            bare = frame.function.rpartition(".")[2]
            for route in ROUTES:
                if (not route.function or route.function == bare) and frame.file.endswith(route.file):
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
        return self._address(at, evidence, is_lasting=bool(route.function))

    def _next(self, thing: int, name: str) -> Found | None:
        kind = self._kinds.name_of(thing)
        if name == _SELF:
            return self._attributes.at(thing + self._layout["method.self"]) if kind == "method" else None
        return self._attributes.item(thing, name) if kind == "dict" else self._attributes.of(thing, name)

    def _is_something(self, thing: int, path: tuple[str, ...]) -> bool:
        for name in path:
            found = self._next(thing, name)
            if found is None:
                return False
            thing = found.value
        return self._kinds.name_of(thing) not in {"", "NoneType"}

    def _address(self, pair: int, evidence: list[tuple[int, bytes]], *, is_lasting: bool) -> Client | None:
        """Return the address that a tuple or list tells: host, port, and what IPv6 has more."""
        kind = self._kinds.name_of(pair)
        if kind not in {"tuple", "list"}:
            return None
        items = self._attributes.items(pair) if kind == "tuple" else self._attributes.containers.items(pair)
        if len(items) not in {2, 4}:
            return None
        number = self._memory.read(items[1], self._layout["long.digits"] + 4)
        if number is None or self._kinds.name_of(items[1]) != "int" or self._kinds.name_of(items[0]) != "str":
            return None
        port = integer(number, self._layout["long.digits"], 4)
        if integer(number, self._layout["tuple.size"]) != self._one_digit or not 0 < port <= _MAX_PORT:
            return None
        host = self._objects.texts([items[0]])[0]
        text = address_text(host or "", port)
        # Its count of references changes, its digits do not.
        digits = (items[1] + self._layout["tuple.size"], number[self._layout["tuple.size"] :])
        if kind == "tuple":
            both = b"".join(item.to_bytes(POINTER, "little") for item in items)
            evidence.append((pair + self._layout["tuple.items"], both))
        return Client(text, is_lasting, (*evidence, digits)) if text else None


def address_text(host: str, port: int) -> str | None:
    """Return an address as `ServedRequest.remote` has it; None for a host that is no address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return f"{address}:{port}"
    return f"{address.ipv4_mapped}:{port}" if address.ipv4_mapped else f"[{address}]:{port}"
