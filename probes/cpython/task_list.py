"""Where asyncio keeps its tasks: `_all_tasks` of the module asyncio.tasks, from 3.12 on `_scheduled_tasks`.

That is a WeakSet: an object around a set of weak references. The tasks of all threads and loops are in it, until they
are freed. Those that a subclass of the C module's Task makes are too; pure Python ones are not known to `Kinds`, and
tasks that have not been suspended since they were begun eagerly stand in no list. 3.14 keeps no such set.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.objects import POINTER, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.attributes import Attributes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_TASKS: Final = 4096
"""So many are looked at."""
LOOKED_FOR_NS: Final = 1_000_000_000
"""How often it is looked for where it is; that it is still there is seen at each reading."""
_MODULE: Final = "asyncio.tasks"
_REFERENCES: Final = frozenset({"weakref", "weakref.ReferenceType"})
"""Names of their type: up to 3.12, and later."""


class TaskList:
    """The list of one Python's tasks. Its methods raise Vanished or Unavailable, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, attributes: Attributes) -> None:
        self._memory = python.memory
        self._kinds = kinds
        self._attributes = attributes
        self._layout = layout = python.layout
        self._modules = python.interpreter_state + layout["is.modules"]
        self._name = "_all_tasks" if layout.minor < (3, 12) else "_scheduled_tasks"
        self._module: tuple[bytes, int] = (b"", 0)
        """The head of `sys.modules` when it was looked through, and the module that was found."""
        self._set = 0
        self._look_ns = 0
        self._seen: tuple[bytes, bytes] = (b"", b"")
        """The set when its members were listed."""
        self._references: list[int] = []

    def references(self) -> list[int]:
        """Return the addresses of the weak references to tasks; none where there is no asyncio."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOKED_FOR_NS
            self._set = self._find()
        head = self._memory.read(self._set, self._layout["sz.set"]) if self._set else None
        if head is None or self._kinds.name(integer(head, self._layout["ob.type"])) != "set":
            return []
        shape = head[self._layout["set.fill"] :]
        table = self._attributes.containers.table(head)
        if (shape, table) != self._seen:
            self._seen = shape, table
            self._references = self._attributes.containers.members(table)[:MAX_TASKS]
        return self._references

    def tasks(self, references: Sequence[int]) -> list[int]:
        """Return the object of each weak reference; 0 where there is none any more, or it is none."""
        layout = self._layout
        size = layout["weakref.object"] + POINTER
        found = []
        for data in self._memory.read_each([(reference, size) for reference in references]):
            is_one = data and self._kinds.name(integer(data, layout["ob.type"])) in _REFERENCES
            found.append(integer(data, layout["weakref.object"]) if data and is_one else 0)
        return found

    def _find(self) -> int:
        """Return the address of the set; 0 if there is none."""
        module = self._find_module()
        names = self._memory.word(module + self._layout["module.dict"]) if module else None
        weak = self._item(names, self._name)
        if not weak or self._kinds.name_of(weak) != "WeakSet":
            return 0
        data = self._attributes.of(weak, "data")
        return data.value if data else 0

    def _find_module(self) -> int:
        """Return the address of the module; looks through `sys.modules` only where that has changed."""
        layout = self._layout
        modules = self._memory.word(self._modules)
        head = self._memory.read(modules, layout["sz.dict"]) if modules else None
        if not modules or head is None:
            return 0
        seen, module = self._module
        shape = head[layout["dict.used"] :]
        if shape != seen or (module and self._kinds.name_of(module) != "module"):
            module = self._item(modules, _MODULE)
            self._module = shape, module
        return module

    def _item(self, dictionary: int | None, key: str) -> int:
        if not dictionary or self._kinds.name_of(dictionary) != "dict":
            return 0
        found = self._attributes.item(dictionary, key)
        return found.value if found else 0
