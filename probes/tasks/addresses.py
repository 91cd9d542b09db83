"""A client's address as servers keep it: a tuple or list of host, port, and what IPv6 has more."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

_DIGIT_BYTES: Final = 4
_MAX_PORT: Final = (1 << 16) - 1
_MAX_PORT_CHARS: Final = 5


class Address(NamedTuple):
    """An address that was read."""

    text: str
    """As `ServedRequest.remote`."""
    evidence: tuple[tuple[int, bytes], ...]
    """Where it lies, and what lay there."""


class Addresses:
    """Reads those of one Python. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds) -> None:
        layout = python.layout
        self._memory = python.memory
        self._kinds = kinds
        self._objects = Objects(python.memory, layout)
        self._type, self._digits, self._ascii = layout["ob.type"], layout["long.digits"], layout["sz.ascii"]
        self._size, self._items = layout["tuple.size"], layout["tuple.items"]
        self._one_digit = 1 << 3 if layout.minor >= (3, 12) else 1

    def of(self, pair: int) -> Address | None:
        """Return the address that a tuple or list tells."""
        head = self._memory.read(pair, self._items + 2 * POINTER)
        kind = self._kinds.name(integer(head, self._type)) if head else ""
        if not head or kind not in {"tuple", "list"} or integer(head, self._size) not in {2, 4}:
            return None
        place = pair + self._items if kind == "tuple" else integer(head, self._items)
        items = self._memory.read(place, 2 * POINTER) if kind == "list" else head[self._items :]
        port = self._port(integer(items, POINTER)) if items else None
        if not items or port is None:
            return None
        number, piece = port
        host = integer(items, 0)
        name = self._objects.texts([host])[0] if self._kinds.name_of(host) == "str" else None
        text = address_text(name, number) if name else None
        return Address(text, ((place, items), piece)) if text else None

    def _port(self, number: int) -> tuple[int, tuple[int, bytes]] | None:
        """Return a port, and where it lies; granian has it as a string."""
        head = self._memory.read(number, self._digits + _DIGIT_BYTES)
        kind = self._kinds.name(integer(head, self._type)) if head else ""
        if head and kind == "int" and integer(head, self._size) == self._one_digit:
            port = integer(head, self._digits, _DIGIT_BYTES)
        elif head and kind == "str" and integer(head, self._size) <= _MAX_PORT_CHARS:
            head = self._memory.read(number, self._ascii + integer(head, self._size)) or b""
            digits = head[self._ascii :]
            port = int(digits) if digits.isdigit() else 0
        else:
            return None
        # Its count of references changes, what is behind its type does not.
        return (port, (number + self._size, head[self._size :])) if 0 < port <= _MAX_PORT else None


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
