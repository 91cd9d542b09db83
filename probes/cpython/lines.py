"""Line tables of code objects: which line an instruction belongs to. Pure.

Offsets are in bytes from the start of the code. Three formats (CPython's Objects/lnotab_notes.txt, PEP 626, and
Objects/locations.md):

- 3.8, 3.9 `co_lnotab`: pairs (bytes, lines) of steps, lines signed; both are added before what follows them;
- 3.10 `co_linetable`: pairs (bytes, lines) that describe one stretch each; lines -128: it has no line;
- 3.11 and later: entries of which only the first byte has its highest bit set: 4 bits kind, 3 bits length in code
  units less one; some kinds are followed by a line delta as a signed number of 6-bit groups, then columns.

The tables are hostile input: what does not make sense ends the table there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TABLE_BYTES: Final = 1 << 16
"""Of a table that is read; code behind that has no lines. The longest in the standard library has a few KiB."""
NO_LINE: Final = 0
_MAX_LINE: Final = 1 << 30
_PEP_626_NO_LINE: Final = -128
_FIRST: Final = 0x80
_SIGN: Final = 0x80
_NO_LOCATION, _LONG, _NO_COLUMNS, _ONE_LINE = 15, 14, 13, 10
_CODE_UNIT_BYTES: Final = 2
_GROUP_BITS: Final = 6
_MORE: Final = 1 << _GROUP_BITS
_MAX_GROUPS: Final = 6


class Lines:
    """The lines of one code object."""

    __slots__ = ("_first", "_lines", "_starts")

    def __init__(self, minor: tuple[int, int], table: bytes, first: int) -> None:
        """`minor` is the version that made the table, `first` the code object's first line."""
        self._first = first
        self._starts = array("I")
        self._lines = array("I")
        parse = _lnotab if minor < (3, 10) else _pep_626 if minor < (3, 11) else _locations
        for start, line in parse(table[:MAX_TABLE_BYTES], first):
            known = line if 0 <= line < _MAX_LINE else NO_LINE
            if not self._lines or self._lines[-1] != known:
                self._starts.append(start)
                self._lines.append(known)

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, offset: int) -> int:
        """Return the line of the instruction at an offset; before the first instruction it is that of the `def`."""
        place = bisect_right(self._starts, offset)
        return self._lines[place - 1] if place else self._first


def _lnotab(table: bytes, line: int) -> Iterator[tuple[int, int]]:
    offset = 0
    yield offset, line
    for step, delta in zip(table[::2], table[1::2], strict=False):
        offset += step
        line += _signed(delta)
        yield offset, line


def _pep_626(table: bytes, line: int) -> Iterator[tuple[int, int]]:
    offset = 0
    for step, delta in zip(table[::2], table[1::2], strict=False):
        lines = _signed(delta)
        if lines == _PEP_626_NO_LINE:
            yield offset, NO_LINE
        else:
            line += lines
            if step:
                yield offset, line
        offset += step
    yield offset, NO_LINE


def _locations(table: bytes, line: int) -> Iterator[tuple[int, int]]:
    offset = at = 0
    while at < len(table) and table[at] & _FIRST:
        kind, units = table[at] >> 3 & 15, (table[at] & 7) + 1
        if kind == _NO_LOCATION:
            yield offset, NO_LINE
        else:
            line += _delta(kind, table, at + 1)
            yield offset, line
        offset += units * _CODE_UNIT_BYTES
        at += 1
        while at < len(table) and not table[at] & _FIRST:
            at += 1
    yield offset, NO_LINE


def _delta(kind: int, table: bytes, at: int) -> int:
    if kind in {_LONG, _NO_COLUMNS}:
        number = _varint(table, at)
        return -(number >> 1) if number & 1 else number >> 1
    return kind - _ONE_LINE if kind > _ONE_LINE else 0


def _varint(table: bytes, at: int) -> int:
    number = 0
    for group, byte in enumerate(table[at : at + _MAX_GROUPS]):
        number |= (byte & (_MORE - 1)) << group * _GROUP_BITS
        if not byte & _MORE:
            break
    return number


def _signed(byte: int) -> int:
    return byte - 256 if byte & _SIGN else byte
