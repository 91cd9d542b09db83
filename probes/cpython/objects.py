"""Strings, bytes and tuples in an interpreter's memory: bounded, and several by two calls.

The state of a string (Include/cpython/unicodeobject.h) has from the lowest bit: 2 bits interned (16 from 3.14 on), 3
bits kind (bytes a character), compact, ascii; the characters of a compact one follow its struct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.frames import MAX_FRAME_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.layout import Layout
    from perfwatch.probes.cpython.memory import Memory

MAX_ITEMS: Final = 1 << 12
"""Of a tuple."""
POINTER: Final = 8
_ENCODINGS: Final = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_COMPACT, _ASCII = 1 << 3, 1 << 4


class Objects:
    """Reads them; what is not what it should be is None."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self._memory = memory
        self._string_state = layout["str.state"]
        self._interned_bits = 2 if layout.minor < (3, 14) else 16
        self._string_length = layout["str.length"]
        self._ascii_bytes = layout["sz.ascii"]
        self._compact_bytes = layout["sz.compact"]
        self._bytes_size = layout["bytes.size"]
        self._bytes_data = layout["bytes.data"]
        self._tuple_size = layout["tuple.size"]
        self._tuple_items = layout["tuple.items"]

    def texts(self, addresses: Sequence[int]) -> list[str | None]:
        """Return strings, each cut at `MAX_FRAME_CHARS`; what is not Unicode becomes U+FFFD."""
        heads = self._memory.read_each([(address, self._ascii_bytes) for address in addresses])
        encodings: list[str] = []
        places: list[tuple[int, int]] = []
        for address, head in zip(addresses, heads, strict=True):
            encoding, start, size = self._characters(head) if head else ("", 0, 0)
            encodings.append(encoding)
            places.append((address + start, size))
        return [
            None if not encoding else "" if not size else data.decode(encoding, "replace") if data else None
            for encoding, (_, size), data in zip(encodings, places, self._memory.read_each(places), strict=True)
        ]

    def _characters(self, head: bytes) -> tuple[str, int, int]:
        """Return encoding, place and size of a string's characters; without encoding where it is none."""
        state = integer(head, self._string_state, 4) >> self._interned_bits
        kind = state & 7
        length = min(integer(head, self._string_length), MAX_FRAME_CHARS)
        if kind not in _ENCODINGS or not state & _COMPACT:
            return "", 0, 0
        return _ENCODINGS[kind], self._ascii_bytes if state & _ASCII else self._compact_bytes, length * kind

    def data(self, address: int, limit: int) -> bytes | None:
        """Return the content of a bytes object, at most `limit` of it."""
        size = self._memory.word(address + self._bytes_size)
        if size is None:
            return None
        return self._memory.read(address + self._bytes_data, min(size, limit)) if size else b""

    def items(self, address: int) -> tuple[int, ...] | None:
        """Return the addresses in a tuple; None for one of more than `MAX_ITEMS`."""
        size = self._memory.word(address + self._tuple_size)
        if size is None or size > MAX_ITEMS:
            return None
        data = self._memory.read(address + self._tuple_items, size * POINTER) if size else b""
        return None if data is None else tuple(memoryview(data).cast("Q"))


def integer(data: bytes, at: int, size: int = POINTER) -> int:
    """Return an unsigned integer in what was read."""
    return int.from_bytes(data[at : at + size], "little")
