"""What a frame has entered by `with`, or `async with`, and not left: locks that it holds, among others.

While a block runs, the bound `__exit__` of what guards it lies on the frame's stack of values. How high that stack is
at an instruction, the code's table of exception handlers tells for every instruction within a `with` or `try`: what
lies below that height is alive for certain, whatever was left above it. Only from 3.11 on; before, nothing is told.
What is held by `acquire()` alone leaves no trace in a frame.

The table is made of entries of four numbers in 6 bits a byte, the highest first (bit 6: more follows; bit 7: an entry
begins): start, length and target in units of two bytes, and the height twice, its lowest bit another's. Source:
Objects/exception_handling_notes.txt of CPython. Cost: 60 us for a code object that is new, 5 us a frame within a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_TABLE_BYTES: Final = 1 << 14
MAX_HEIGHT: Final = 64
_UNIT: Final = 2
_INT: Final = 4
_MORE, _BITS = 1 << 6, 6
_BOUND: Final = {"builtin_function_or_method": "builtin.self", "method": "method.self"}


class Block(NamedTuple):
    """A stretch of code, in bytes, in which the stack of values is at least so high."""

    start: int
    end: int
    height: int


def blocks(table: bytes) -> Iterator[Block]:
    """Yield the stretches of a table of exception handlers, as far as it makes sense. Pure."""
    numbers = _numbers(table)
    for start, length, _, height in zip(numbers, numbers, numbers, numbers, strict=False):
        yield Block(start * _UNIT, (start + length) * _UNIT, height >> 1)


def _numbers(table: bytes) -> Iterator[int]:
    value = 0
    for byte in table:
        value = value << _BITS | byte & (_MORE - 1)
        if not byte & _MORE:
            yield value
            value = 0


class Entered:
    """Finds it; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds) -> None:
        self._memory = python.memory
        self._kinds = kinds
        self._objects = Objects(python.memory, python.layout)
        self._layout = layout = python.layout
        self._table = layout.get("co.exceptiontable")
        self._start = layout.get("co.code_adaptive") or 0
        self._known = Kept(self._read)

    @property
    def is_possible(self) -> bool:
        """Whether this version has such tables."""
        return self._table is not None

    def by(self, code: int, position: int, variables: int) -> tuple[int, ...]:
        """Return the addresses of what a frame has entered; `variables` is where its first variable lies."""
        if self._table is None:
            return ()
        count, known = self._known.of(code)
        offset = position - code - self._start
        height = max((one.height for one in known if one.start <= offset < one.end), default=0)
        if not 0 < height <= MAX_HEIGHT:
            return ()
        data = self._memory.read(variables + count * POINTER, height * POINTER)
        values = [integer(data, at) for at in range(0, len(data), POINTER)] if data else []
        return tuple(thing for value in values if value and (thing := self._guard(value)))

    def _guard(self, value: int) -> int | None:
        """Return whose method something is; None if it is no bound method."""
        field = _BOUND.get(self._kinds.name_of(value))
        return self._memory.word(value + self._layout[field]) if field else None

    def _read(self, code: int) -> tuple[int, tuple[Block, ...]]:
        """Return how many variables of a code object lie before the stack of values, and its blocks."""
        count = self._memory.read(code + self._layout["co.nlocalsplus"], _INT)
        address = self._memory.word(code + (self._table or 0))
        table = self._objects.data(address, MAX_TABLE_BYTES) if address else None
        return (integer(count, 0, _INT), tuple(blocks(table))) if count and table else (0, ())
