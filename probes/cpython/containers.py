"""Dictionaries, sets and lists in an interpreter's memory: which addresses they hold.

They are read while they change, so what is found may be of two moments; what is larger than it may be, or makes no
sense, is empty. A dictionary's entries stand in the order in which they came, behind the indices of its hash table. One
that shares its keys (of an instance) has its values elsewhere, in the same order. Cost: 6 us, and 0.1 us an entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import MAX_ITEMS, POINTER, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.python import Python

MAX_ENTRIES: Final = 1 << 14
"""Of a dictionary."""
MAX_SLOTS: Final = 1 << 15
"""Of a set's hash table."""
_REMOVED: Final = (1 << 64) - 1
"""The hash, -1, of what was taken out of a set: nothing else has it."""
_MAX_LOG2: Final = 20
_KEYS_BYTES: Final = 40


class Table(NamedTuple):
    """The entries of a dictionary, in the order in which they came: addresses."""

    keys: Sequence[int]
    values: Sequence[int]
    """0 where there is none (any more)."""
    place: int
    """Where the first value's address lies."""
    stride: int
    """Between the places of two."""


EMPTY: Final = Table((), (), 0, 0)


class Containers:
    """Reads them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = layout = python.layout
        self._keys = layout["dict.keys"]
        self._values = layout["dict.values"]
        self._dict_bytes = layout["sz.dict"]
        self._values_items = layout.get("values.items") or 0

    def entries(self, dictionary: int) -> Table:
        """Return the entries of a dictionary."""
        head = self._memory.read(dictionary, self._dict_bytes)
        if head is None:
            return EMPTY
        values = integer(head, self._values)
        return self.shared(integer(head, self._keys), values + self._values_items if values else 0)

    def shared(self, keys: int, values: int) -> Table:
        """Return the entries of a table of keys; `values` is where the values lie, 0 if beside their keys."""
        form = self._form(keys)
        if form is None:
            return EMPTY
        start, count, width = form
        data = self._memory.read(start, count * width) if count else None
        beside = self._memory.read(values, count * POINTER) if values and count else None
        if data is None or (values and beside is None):
            return EMPTY
        words = memoryview(data).cast("Q").tolist()
        step, first = width // POINTER, (width - 2 * POINTER) // POINTER
        if beside:
            return Table(words[first::step], memoryview(beside).cast("Q").tolist(), values, POINTER)
        return Table(words[first::step], words[first + 1 :: step], start + (first + 1) * POINTER, width)

    def _form(self, keys: int) -> tuple[int, int, int] | None:
        """Return where the entries of a table of keys begin, how many there are, and how many bytes each has."""
        layout = self._layout
        head = self._memory.read(keys, _KEYS_BYTES)
        if head is None:
            return None
        count = integer(head, layout["keys.entries"])
        general = 3 * POINTER
        if layout.get("keys.kind") is None:
            size = integer(head, layout["keys.size"])
            indices, width = size * (1 if size <= 0xFF else 2 if size <= 0xFFFF else 4), general  # noqa: PLR2004
        else:
            log2 = integer(head, layout["keys.log2_index_bytes"], 1)
            size = 1 << min(integer(head, layout["keys.log2_size"], 1), _MAX_LOG2)
            indices = 1 << min(log2, _MAX_LOG2)
            width = general if integer(head, layout["keys.kind"], 1) == layout["KEYS_GENERAL"] else 2 * POINTER
        if count > min(size, MAX_ENTRIES) or size & (size - 1):
            return None
        return keys + layout["keys.indices"] + indices, count, width

    def table(self, head: bytes) -> bytes:
        """Return the hash table of a set, of which `head` is a copy; empty if it cannot be."""
        layout = self._layout
        mask, fill = integer(head, layout["set.mask"]), integer(head, layout["set.fill"])
        if mask >= MAX_SLOTS or fill > mask + 1 or mask & (mask + 1):
            return b""
        return self._memory.read(integer(head, layout["set.table"]), (mask + 1) * layout["sz.set_entry"]) or b""

    def members(self, table: bytes) -> list[int]:
        """Return what the hash table of a set holds."""
        layout = self._layout
        words, step = memoryview(table).cast("Q").tolist(), layout["sz.set_entry"] // POINTER
        keys, hashes = (words[layout[name] // POINTER :: step] for name in ("set.key", "set.hash"))
        return [key for key, hashed in zip(keys, hashes, strict=True) if key and hashed != _REMOVED]

    def items(self, sequence: int) -> list[int]:
        """Return what a list holds."""
        layout = self._layout
        head = self._memory.read(sequence, layout["list.items"] + POINTER)
        size = integer(head, layout["list.size"]) if head else 0
        if not head or not 0 < size <= MAX_ITEMS:
            return []
        data = self._memory.read(integer(head, layout["list.items"]), size * POINTER)
        return list(memoryview(data).cast("Q")) if data else []
