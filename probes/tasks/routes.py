"""Ways from a local variable of a coroutine to an address, attribute by attribute, and how they are gone along.

What leads to the address is remembered, so that it can be seen later that it still does. Cost: 100 us where there is
an address at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER
from perfwatch.probes.tasks.addresses import Addresses

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes, Found
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

_SELF: Final = "__self__"
"""Of a bound method."""


class Route(NamedTuple):
    """A way from a local variable to an address."""

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


class Reached(NamedTuple):
    """An address at the end of a route."""

    text: str
    evidence: tuple[tuple[int, bytes], ...]
    """What led to it: places, and what lay there."""


class Routes:
    """Goes along those of one Python. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, attributes: Attributes) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._attributes = attributes
        self._addresses = Addresses(python, kinds)

    def along(self, route: Route, start: Found) -> Reached | None:
        """Go along a route from what a variable holds."""
        if route.holds and self._kinds.name_of(start.value) != route.holds:
            return None
        if route.witness and not self._is_something(start.value, route.witness):
            return None
        evidence = [(start.place, start.value.to_bytes(POINTER, "little"))]
        at = start.value
        for name in route.path:
            found = self.next(at, name)
            if found is None:
                return None
            at = found.value
            evidence.append((found.place, at.to_bytes(POINTER, "little")))
        address = self._addresses.of(at)
        return Reached(address.text, (*evidence, *address.evidence)) if address else None

    def next(self, thing: int, name: str) -> Found | None:
        """Return what an attribute, or a key of a dictionary, leads to."""
        kind = self._memory.word(thing + self._layout["ob.type"])
        known = self._kinds.name(kind) if kind else ""
        if name == _SELF:
            return self._attributes.at(thing + self._layout["method.self"]) if known == "method" else None
        return self._attributes.item(thing, name) if known == "dict" else self._attributes.of(thing, name, kind)

    def _is_something(self, thing: int, path: tuple[str, ...]) -> bool:
        for name in path:
            found = self.next(thing, name)
            if found is None:
                return False
            thing = found.value
        return self._kinds.name_of(thing) not in {"", "NoneType"}
