"""Which connection a task serves: the client's address, as its server keeps it.

It is looked for in the local variables of the coroutines, the outermost first, for what the server put there stands
outside of what the application does: uvicorn's protocol (its `scope` names whom a proxy told of), the `scope` of ASGI,
the request of aiohttp, tornado and Sanic, the writer of a server of asyncio's own streams. A client without a port (a
Unix socket, or one that a proxy told of) is none. What leads to the address is remembered, so that it can be seen
later that it still does. Cost: 100 us where there is a client, 5 us a frame where there is none.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER, Objects, integer
from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes, Found
    from perfwatch.probes.cpython.awaiting import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

MAX_FRAMES: Final = 64
"""So many of a task's are looked at, the outermost ones."""
_DIGIT_BYTES: Final = 4
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

    def __init__(
        self, python: Python, kinds: Kinds, attributes: Attributes, variables: Variables, codes: Codes
    ) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._attributes = attributes
        self._variables = variables
        self._rules = Rules(ROUTES, codes, variables)
        self._objects = Objects(python.memory, python.layout)
        self._size, self._items = python.layout["tuple.size"], python.layout["tuple.items"]
        self._one_digit = 1 << 3 if python.layout.minor >= (3, 12) else 1

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
        layout = self._layout
        head = self._memory.read(pair, self._items + 2 * POINTER)
        kind = self._kinds.name(integer(head, layout["ob.type"])) if head else ""
        if not head or kind not in {"tuple", "list"} or integer(head, self._size) not in {2, 4}:
            return None
        items = head[self._items :]
        if kind == "tuple":
            evidence.append((pair + self._items, items))
        else:
            items = self._memory.read(integer(items, 0), 2 * POINTER) or bytes(2 * POINTER)
        host, number = integer(items, 0), integer(items, POINTER)
        port = self._memory.read(number, layout["long.digits"] + _DIGIT_BYTES)
        if port is None or self._kinds.name(integer(port, layout["ob.type"])) != "int":
            return None
        # Its count of references changes, its digits do not.
        evidence.append((number + self._size, port[self._size :]))
        digit = integer(port, layout["long.digits"], _DIGIT_BYTES)
        is_port = integer(port, self._size) == self._one_digit and 0 < digit <= _MAX_PORT
        name = self._objects.texts([host])[0] if is_port and self._kinds.name_of(host) == "str" else None
        text = address_text(name, digit) if name else None
        return Client(text, is_lasting, tuple(evidence)) if text else None


@lru_cache(maxsize=1024)
def address_text(host: str, port: int) -> str | None:
    """Return an address as `ServedRequest.remote` has it; None for a host that is no address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return f"{address}:{port}"
    return f"{address.ipv4_mapped}:{port}" if address.ipv4_mapped else f"[{address}]:{port}"
