"""The table of a code object's exception handlers, from 3.11 on: what handles an exception, and how high the stack is.

It is made of entries of four numbers in 6 bits a byte, the highest first (bit 6: more follows; bit 7: an entry begins):
start, length and handler in units of two bytes, and the height twice, its lowest bit another's. The entries stand in
order, and none lies within another. Source: Objects/exception_handling_notes.txt of CPython. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TABLE_BYTES: Final = 1 << 14
_UNIT: Final = 2
_MORE, _BITS = 1 << 6, 6


class Block(NamedTuple):
    """A stretch of code that has a handler, in bytes; within it the stack of values is at least so high."""

    start: int
    end: int
    handler: int
    """Where it goes on after an exception within."""
    height: int


def blocks(table: bytes) -> Iterator[Block]:
    """Yield the stretches of a table of exception handlers, as far as it makes sense."""
    numbers = _numbers(table)
    for start, length, handler, height in zip(numbers, numbers, numbers, numbers, strict=False):
        yield Block(start * _UNIT, (start + length) * _UNIT, handler * _UNIT, height >> 1)


def _numbers(table: bytes) -> Iterator[int]:
    value = 0
    for byte in table:
        value = value << _BITS | byte & (_MORE - 1)
        if not byte & _MORE:
            yield value
            value = 0
