"""Local variables of a frame, by name.

They lie in a row behind the frame: the names are those of its code object, up to 3.10 of three tuples of it. One that
an inner function uses too is in a cell. Where they lie is kept for a second. Cost: 40 us for a code object that is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.attributes import Found
from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.objects import POINTER

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_VARIABLES: Final = 256
_NAMES: Final = ("co.localsplusnames", "co.varnames", "co.cellvars", "co.freevars")
_CELL: Final = "cell"


class Variables:
    """Finds them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, attributes: Attributes) -> None:
        self._memory = python.memory
        self._kinds = kinds
        self._attributes = attributes
        layout = python.layout
        self._names = [at for name in _NAMES if (at := layout.get(name)) is not None]
        self._content = layout["cell.content"]
        self._known = Kept(self._read)

    def of(self, code: int, variables: int, name: str) -> Found | None:
        """Return a variable of a frame that executes a code object; `variables` is where its first lies."""
        number = self.numbers(code).get(name)
        if number is None:
            return None
        place = variables + number * POINTER
        value = self._memory.word(place)
        if value and self._kinds.name_of(value) == _CELL:
            place = value + self._content
            value = self._memory.word(place)
        return Found(value, place) if value else None

    def numbers(self, code: int) -> dict[str, int]:
        """Return which variable of a code object has which name."""
        return self._known.of(code)

    def _read(self, code: int) -> dict[str, int]:
        addresses: list[int] = []
        for at in self._names:
            names = self._memory.word(code + at)
            addresses += self._attributes.items(names) if names else ()
        texts = self._attributes.texts(addresses[:MAX_VARIABLES])
        numbered = ((texts.get(address), number) for number, address in enumerate(addresses[:MAX_VARIABLES]))
        return {name: number for name, number in numbered if name}
