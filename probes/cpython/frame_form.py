"""What a frame looks like in memory, version by version, and how stacks are put together of copies of frames. Pure.

3.8 to 3.10: each frame is an object of its own; `f_back` leads from the innermost to the root. 3.11 and later: most
frames lie one after the other in chunks of memory, the data stack of their thread; those of generators lie in the
generators, and where C called Python one without a function lies on the C stack (3.12 and later; its owner says so).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.probes.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from perfwatch.probes.cpython.layout import Layout

Stack: TypeAlias = tuple[tuple[int, int], ...]
"""Code object's address and position (see codes.py) of each frame, the innermost first."""
MAX_DEPTH: Final = 1024
"""Of a deeper stack so many of the innermost frames are told."""
MAX_FRAME_BYTES: Final = 1 << 10
_TAG: Final = 7
"""From 3.14 on the lowest bits of a reference to a code object say how it is counted."""
_FORMATS: Final = {8: "Q", 4: "I", 1: "B"}


class Stretch(NamedTuple):
    """A stretch of memory in which frames lie."""

    start: int
    last: int
    """The last address at which a whole frame can lie."""
    at: int
    """Where in the copy is what is read of a frame at `start`."""


class FrameForm:
    """The frames of one version; raises Malformed for a layout that cannot be."""

    def __init__(self, layout: Layout) -> None:
        position = layout.get("f.prev_instr")
        fields = {
            "back": (layout["f.back"], 8),
            "code": (layout["f.code"], 8),
            "position": (layout["f.lasti"], 4) if position is None else (position, 8),
        }
        self._no_function = layout.get("FRAME_OWNED_BY_CSTACK")
        if self._no_function is not None:
            fields["owner"] = (layout["f.owner"], 1)
        self.start = min(at for at, _ in fields.values())
        """Where in a frame begins what is read of it."""
        self.end = max(at + size for at, size in fields.values())
        self.size = self.end - self.start
        self._fields = _struct(fields, self.start)
        names = sorted(fields, key=lambda name: fields[name])
        self._code, self._back, self._position = (names.index(name) for name in ("code", "back", "position"))
        self._owner = names.index("owner") if "owner" in names else 0
        self._tag = _TAG if layout.minor >= (3, 14) else 0

    def back(self, data: bytes, at: int) -> int:
        """Return the address of the frame that called one, from a copy of that; 0: none did."""
        address: int = self._fields.unpack_from(data, at)[self._back]
        return address

    def stack(
        self, data: bytes, innermost: int, single: Mapping[int, int], stretches: Sequence[Stretch]
    ) -> Stack | None:
        """Put a stack together; None if a frame of it is not in the copy.

        `single` has, by address, where in the copy a frame is that lies by itself, and `stretches` the others.
        """
        unpack, code, back, position = self._fields.unpack_from, self._code, self._back, self._position
        owner, no_function, address_bits = self._owner, self._no_function, ~self._tag
        stack: list[tuple[int, int]] = []
        address = innermost
        for _ in range(MAX_DEPTH):
            if not address:
                break
            at = single.get(address)
            if at is None:
                for start, last, copy in stretches:
                    if start <= address <= last:
                        at = copy + address - start
                        break
                else:
                    return None
            found = unpack(data, at)
            if no_function is None or found[owner] < no_function:
                stack.append((found[code] & address_bits, found[position]))
            address = found[back]
        return tuple(stack)


def _struct(fields: Mapping[str, tuple[int, int]], start: int) -> struct.Struct:
    """Return the layout of some fields, each (offset, size); raises Malformed where they overlap or lie far apart."""
    text, at = "<", start
    for offset, size in sorted(fields.values()):
        if not at <= offset < at + MAX_FRAME_BYTES:
            raise Malformed("frames whose fields do not lie side by side")
        text += f"{offset - at}x{_FORMATS[size]}"
        at = offset + size
    return struct.Struct(text)
