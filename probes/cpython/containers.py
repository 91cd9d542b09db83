"""Dictionaries, sets and lists in an interpreter's memory: which addresses they hold.

They are read while they change, so what is found may be of two moments; what is larger than it may be, or makes no
sense, is empty. A dictionary's entries stand in the order in which they came, behind the indices of its hash table. One
that shares its keys (of an instance) has its values elsewhere, in the same order. Cost: 6 us, and 0.1 us an entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import MAX_ITEMS, POINTER, integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

MAX_ENTRIES: Final = 1 << 14
"""Of a dictionary."""
MAX_SLOTS: Final = 1 << 15
"""Of a set's hash table."""
_REMOVED: Final = (1 << 64) - 1
"""The hash, -1, of what was taken out of a set: nothing else has it."""
_MAX_LOG2: Final = 20
_KEYS_BYTES: Final = 40


class Entry(NamedTuple):
    """One entry of a dictionary: addresses."""

    key: int
    value: int
    place: int
    """Where the value's address lies."""


class Containers:
    """Reads them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = layout = python.layout
        self._keys = layout["dict.keys"]
        self._values = layout["dict.values"]
        self._dict_bytes = layout["sz.dict"]
        self._values_items = layout.get("values.items") or 0

    def entries(self, dictionary: int) -> list[Entry]:
        """Return the entries of a dictionary."""
        head = self._memory.read(dictionary, self._dict_bytes)
        if head is None:
            return []
        values = integer(head, self._values)
        return self.shared(integer(head, self._keys), values + self._values_items if values else 0)

    def shared(self, keys: int, values: int) -> list[Entry]:
        """Return the entries of a table of keys; `values` is where the values lie, 0 if beside their keys."""
        form = self._form(keys)
        if form is None:
            return []
        start, count, width = form
        data = self._memory.read(start, count * width) if count else None
        beside = self._memory.read(values, count * POINTER) if values and count else None
        if data is None or (values and beside is None):
            return []
        words = memoryview(data).cast("Q")
        step, first = width // POINTER, (width - 2 * POINTER) // POINTER
        found = []
        for number in range(count):
            at = number * step + first
            key = words[at]
            place = values + number * POINTER if values else start + (at + 1) * POINTER
            value = integer(beside, number * POINTER) if beside else words[at + 1]
            if key and value:
                found.append(Entry(key, value, place))
        return found

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

    def members(self, head: bytes) -> list[int]:
        """Return what a set holds; `head` is a copy of it."""
        layout = self._layout
        mask, fill = integer(head, layout["set.mask"]), integer(head, layout["set.fill"])
        if mask >= MAX_SLOTS or fill > mask + 1 or mask & (mask + 1):
            return []
        width = layout["sz.set_entry"]
        data = self._memory.read(integer(head, layout["set.table"]), (mask + 1) * width)
        if data is None:
            return []
        words = memoryview(data).cast("Q")
        keys, hashes = (words[layout[name] // POINTER :: width // POINTER] for name in ("set.key", "set.hash"))
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
