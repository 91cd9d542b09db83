"""Attributes of an instance, by name: in its dictionary, beside its type's keys, or in a slot of its class.

Up to 3.10 an instance has a dictionary. In 3.11 and 3.12 its values may lie by themselves, in 3.13 within the instance;
their keys are those that the type keeps for all its instances. Properties are code, and not found. What a name's
address holds is kept for a second. Cost: 10 us, and 10 us more for each class with slots.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.containers import EMPTY, Containers, Table
from perfwatch.probes.cpython.kept import KEPT_FOR_NS, MAX_KEPT
from perfwatch.probes.cpython.kinds import MAX_BASES
from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.python import Python

MAX_MEMBERS: Final = 64
"""Of a class."""
MAX_NAME_BYTES: Final = 64
MAX_OFFSET: Final = 1 << 16
"""Of what an instance has, from its start."""
_MANAGED_DICT: Final = 1 << 4
_INLINE_VALUES: Final = 1 << 2
_DICT_AT: Final = -3 * POINTER
_VALUES_AT: Final = -4 * POINTER
"""In 3.11."""


class Found(NamedTuple):
    """A value, and where its address lies."""

    value: int
    place: int


class _Type(NamedTuple):
    """What a type says of where its instances have what."""

    flags: int
    dict_offset: int
    basic_size: int
    cached_keys: int
    slots: dict[str, int]
    """Offset of each slot, by its name."""


class Attributes:
    """Reads them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = layout = python.layout
        self._objects = Objects(python.memory, layout)
        self._type = layout["ob.type"]
        self._type_bytes = layout["type.cached_keys"] + POINTER
        self.containers = Containers(python)
        self._texts: dict[int, str | None] = {}
        self._types: dict[int, _Type | None] = {}
        self._until_ns = 0

    def of(self, instance: int, name: str, kind: int | None = None) -> Found | None:
        """Return an attribute of an instance; `kind` is the address of its type, if that is known already."""
        kind = kind or self._memory.word(instance + self._type)
        known = self._kind(kind) if kind else None
        if known is None:
            return None
        if name in known.slots:
            return self.at(instance + known.slots[name])
        return self._pick(self._own(instance, known), name)

    def item(self, dictionary: int, key: str) -> Found | None:
        """Return a value of a dictionary, by a key that is a string."""
        return self._pick(self.containers.entries(dictionary), key)

    def at(self, place: int) -> Found | None:
        """Return what the address at a place leads to."""
        value = self._memory.word(place)
        return Found(value, place) if value else None

    def items(self, sequence: int) -> tuple[int, ...]:
        """Return what a tuple holds."""
        return self._objects.items(sequence) or ()

    def texts(self, addresses: Sequence[int]) -> dict[int, str | None]:
        """Return strings by their addresses; more than were asked for."""
        self._renew()
        known = self._texts
        new = [address for address in addresses if address not in known]
        if new:
            known.update(zip(new, self._objects.texts(new), strict=True))
        return known

    def _renew(self) -> None:
        """Forget what was read more than a second ago."""
        if time.monotonic_ns() > self._until_ns or len(self._texts) > MAX_KEPT or len(self._types) > MAX_KEPT:
            self._texts.clear()
            self._types.clear()
            self._until_ns = time.monotonic_ns() + KEPT_FOR_NS

    def _pick(self, table: Table, name: str) -> Found | None:
        texts = self.texts(table.keys)
        for number, (key, value) in enumerate(zip(table.keys, table.values, strict=True)):
            if value and texts.get(key) == name:
                return Found(value, table.place + number * table.stride)
        return None

    def _own(self, instance: int, kind: _Type) -> Table:
        """Return what an instance of a type has itself."""
        layout, memory = self._layout, self._memory
        if not kind.flags & _MANAGED_DICT or layout.minor < (3, 11):
            dictionary = memory.word(instance + kind.dict_offset) if 0 < kind.dict_offset < MAX_OFFSET else 0
            return self.containers.entries(dictionary) if dictionary else EMPTY
        dictionary = memory.word(instance + _DICT_AT) or 0
        values = 0
        if layout.minor == (3, 11):
            values = memory.word(instance + _VALUES_AT) or 0
        elif layout.minor == (3, 12):
            values = dictionary + 1 if dictionary & 1 else 0
        elif not dictionary and kind.flags & _INLINE_VALUES:
            values = instance + kind.basic_size
            values = values if memory.read(values + layout["values.valid"], 1) == b"\1" else 0
        if values:
            return self.containers.shared(kind.cached_keys, values + layout["values.items"])
        return self.containers.entries(dictionary) if dictionary else EMPTY

    def _kind(self, address: int) -> _Type | None:
        """Return what a type says; kept for a second."""
        self._renew()
        if address not in self._types:
            head = self._memory.read(address, self._type_bytes)
            self._types[address] = self._parse(head) if head else None
        return self._types[address]

    def _parse(self, head: bytes) -> _Type:
        layout = self._layout
        return _Type(
            flags=integer(head, layout["type.flags"]),
            dict_offset=integer(head, layout["type.dict_offset"]),
            basic_size=integer(head, layout["type.basic_size"]),
            cached_keys=integer(head, layout["type.cached_keys"]),
            slots=self._slots(head),
        )

    def _slots(self, head: bytes) -> dict[str, int]:
        """Return the slots that a class has, and those that it is made of, but for those of another name."""
        slots: dict[str, int] = {}
        for _ in range(MAX_BASES):
            for name, offset in self._members(integer(head, self._layout["type.members"])):
                slots.setdefault(name, offset)
            base = integer(head, self._layout["type.base"])
            above = self._memory.read(base, self._type_bytes) if base else None
            if above is None:
                break
            head = above
        return slots

    def _members(self, address: int) -> list[tuple[str, int]]:
        """Return name and offset of a class's members; behind the last stands one without a name."""
        layout, size, found = self._layout, self._layout["sz.member"], []
        for number in range(MAX_MEMBERS):
            member = self._memory.read(address + number * size, size)
            if not member or not integer(member, layout["member.name"]):
                break
            name = self._memory.text(integer(member, layout["member.name"]), MAX_NAME_BYTES)
            offset = integer(member, layout["member.offset"])
            if 0 < offset < MAX_OFFSET:
                found.append((name, offset))
        return found
