"""What a write to the collector's flag was, told by the instruction that did it: the value itself is not seen.

    c7 83 50 03 00 00 01 00 00 00    movl $0x1,0x350(%rbx)     3.8 to 3.12: the value stands in its last four bytes
    f0 0f b1 13                      lock cmpxchg %edx,(%rbx)  3.13: set, unless it was set already
    87 01                            xchg %eax,(%rcx)          3.13: cleared

A compiler may do otherwise: then the writes of a thread are taken to alternate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from perfwatch.probes.cpython.memory import Memory

Writing: TypeAlias = Literal["set", "clear"]

_INSTRUCTION_BYTES: Final = 11
"""Of the longest of them."""
_MAX_KNOWN: Final = 64
_PLACE: Final = rb"(?:[\0-\x3f].?|[\x40-\x7f]..?|[\x80-\xbf].{4,5}|\x05.{4})"
"""Mode and register, index, displacement."""
_MOVE: Final = re.compile(rb"\xc7" + _PLACE + rb"(?P<value>[\0\1])\0\0\0$", re.DOTALL)
_COMPARE: Final = re.compile(rb"\xf0[\x40-\x4f]?\x0f\xb1" + _PLACE + rb"$", re.DOTALL)
_EXCHANGE: Final = re.compile(rb"\x87" + _PLACE + rb"$", re.DOTALL)


class Writers:
    """The instructions of one process that wrote the flag, looked at once each."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[int, Writing | None] = {}

    def what(self, after: int) -> Writing | None:
        """Return what the instruction before an address does; None if that is not known. Raises Vanished."""
        if after not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                return None
            code = self._memory.read(after - _INSTRUCTION_BYTES, _INSTRUCTION_BYTES)
            self._known[after] = None if code is None else parse_writer(code)
        return self._known[after]


def parse_writer(code: bytes) -> Writing | None:
    """Return what the instruction does that ends where `code` ends."""
    if move := _MOVE.search(code):
        return "set" if move["value"] == b"\1" else "clear"
    if _COMPARE.search(code):
        return "set"
    return "clear" if _EXCHANGE.search(code) else None
