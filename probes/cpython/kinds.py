"""What an object is, by its type: the name that the type has, and whether that is one of asyncio's tasks in C.

A type is known by the address in an object's head. That it is one is seen by its own type, which is `type` or made of
it. Names are kept for a second: a class can be freed, and another come to lie
there. Cost: 6 us for a type that is new, 0.1 us for one that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.objects import integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.python import Python

MAX_NAME_BYTES: Final = 96
MAX_BASES: Final = 16
NO_TYPE: Final = ""
TASK: Final = "_asyncio.Task"


class Kinds:
    """The types of one Python. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        layout = python.layout
        self._memory = python.memory
        self._type = layout["ob.type"]
        self._name = layout["type.name"]
        self._base = layout["type.base"]
        self._basic_size = layout["type.basic_size"]
        self._task_bytes = layout["sz.task"]
        self._bytes = max(self._base, self._basic_size, self._name) + 8
        self._names = Kept(self._read)
        self._tasks = Kept(self._is_task)

    def name(self, kind: int) -> str:
        """Return the name of the type at an address, as it has it: `dict`, `_asyncio.Future`; empty if it is none."""
        return self._names.of(kind)

    def is_task(self, kind: int) -> bool:
        """Whether objects of a type are tasks of the C module, or of a class made of that."""
        return bool(self.name(kind)) and self._tasks.of(kind)

    def name_of(self, thing: int) -> str:
        """Return the name of an object's type."""
        kind = self._memory.word(thing + self._type)
        return self.name(kind) if kind else NO_TYPE

    def names_of(self, things: Sequence[int]) -> list[str]:
        """Return the names of the types of objects."""
        words = self._memory.read_each([(thing + self._type, 8) for thing in things])
        return [self.name(integer(word, 0)) if word else NO_TYPE for word in words]

    def _is_task(self, kind: int) -> bool:
        for _ in range(MAX_BASES):
            data = self._memory.read(kind, self._bytes)
            if data is None:
                return False
            if self.name(kind) == TASK:
                return integer(data, self._basic_size) == self._task_bytes
            kind = integer(data, self._base)
        return False

    def _read(self, kind: int) -> str:
        data = self._memory.read(kind, self._bytes)
        if data is None or not self._is_metaclass(integer(data, self._type)):
            return NO_TYPE
        return self._memory.text(integer(data, self._name), MAX_NAME_BYTES)

    def _is_metaclass(self, kind: int) -> bool:
        """Whether the objects of a type are types: it is `type`, the one type that is its own, or made of it."""
        for _ in range(MAX_BASES):
            data = self._memory.read(kind, self._bytes) if kind else None
            if data is None:
                return False
            if integer(data, self._type) == kind:
                return True
            kind = integer(data, self._base)
        return False
