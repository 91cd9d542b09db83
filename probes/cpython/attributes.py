"""Attributes of an instance, by name: in its dictionary, beside its type's keys, or in a slot of its class.

Up to 3.10 an instance has a dictionary. In 3.11 and 3.12 its values may lie by themselves, in 3.13 within the instance;
their keys are those that the type keeps for all its instances. Properties are code, and not found. What a name's
address holds is kept for a second. Cost: 10 us, and 10 us more for each class with slots.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.containers import Containers, Entry
from perfwatch.probes.cpython.kinds import KEPT_FOR_NS, MAX_BASES, MAX_KEPT
from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.cpython.python import Python

MAX_MEMBERS: Final = 64
"""Of a class."""
MAX_NAME_BYTES: Final = 64
_MANAGED_DICT: Final = 1 << 4
_INLINE_VALUES: Final = 1 << 2
_DICT_AT: Final = -3 * POINTER
_VALUES_AT: Final = -4 * POINTER
"""In 3.11."""


class Found(NamedTuple):
    """A value, and where its address lies."""

    value: int
    place: int


class Attributes:
    """Reads them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._objects = Objects(python.memory, python.layout)
        self.containers = Containers(python)
        self._texts: dict[int, str | None] = {}
        self._until_ns = 0

    def of(self, instance: int, name: str) -> Found | None:
        """Return an attribute of an instance."""
        layout = self._layout
        kind = self._memory.word(instance + layout["ob.type"])
        head = self._memory.read(kind, layout["type.cached_keys"] + POINTER) if kind else None
        if head is None:
            return None
        return self._pick(self._own(instance, head), name) or self._slot(instance, head, name)

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

    def _pick(self, entries: list[Entry], name: str) -> Found | None:
        texts = self.texts(entry.key for entry in entries)
        return next((Found(each.value, each.place) for each in entries if texts.get(each.key) == name), None)

    def texts(self, addresses: Iterable[int]) -> dict[int, str | None]:
        """Return strings by their addresses; more than were asked for."""
        if time.monotonic_ns() > self._until_ns or len(self._texts) > MAX_KEPT:
            self._texts.clear()
            self._until_ns = time.monotonic_ns() + KEPT_FOR_NS
        new = [address for address in addresses if address not in self._texts]
        if new:
            self._texts.update(zip(new, self._objects.texts(new), strict=True))
        return self._texts

    def _own(self, instance: int, kind: bytes) -> list[Entry]:
        """Return what an instance of a type has itself."""
        layout, memory = self._layout, self._memory
        flags = integer(kind, layout["type.flags"])
        if not flags & _MANAGED_DICT or layout.minor < (3, 11):
            offset = integer(kind, layout["type.dict_offset"], 4)
            dictionary = memory.word(instance + offset) if 0 < offset < 1 << 16 else 0
            return self.containers.entries(dictionary) if dictionary else []
        dictionary = memory.word(instance + _DICT_AT) or 0
        values = 0
        if layout.minor == (3, 11):
            values = memory.word(instance + _VALUES_AT) or 0
        elif layout.minor == (3, 12):
            values = dictionary + 1 if dictionary & 1 else 0
        elif not dictionary and flags & _INLINE_VALUES:
            values = instance + integer(kind, layout["type.basic_size"])
            valid = memory.read(values + layout["values.valid"], 1)
            values = values if valid == b"\1" else 0
        if values:
            return self.containers.shared(integer(kind, layout["type.cached_keys"]), values + layout["values.items"])
        return self.containers.entries(dictionary) if dictionary else []

    def _slot(self, instance: int, kind: bytes, name: str) -> Found | None:
        """Return what stands in a slot that a class of the instance has."""
        layout, memory = self._layout, self._memory
        encoded = name.encode() + b"\0"
        for _ in range(MAX_BASES):
            for member in self._members(integer(kind, layout["type.members"])):
                text = memory.read(integer(member, layout["member.name"]), len(encoded))
                if text == encoded:
                    place = instance + integer(member, layout["member.offset"])
                    value = memory.word(place)
                    return Found(value, place) if value else None
            base = integer(kind, layout["type.base"])
            above = memory.read(base, layout["type.cached_keys"] + POINTER) if base else None
            if above is None:
                return None
            kind = above
        return None

    def _members(self, address: int) -> list[bytes]:
        """Return the members of a class; behind the last stands one without a name."""
        size = self._layout["sz.member"]
        found = []
        for number in range(MAX_MEMBERS):
            member = self._memory.read(address + number * size, size)
            if not member or not integer(member, self._layout["member.name"]):
                break
            found.append(member)
        return found
