"""The name of a task, which tells it from others that lay at its address before.

asyncio counts the tasks of a process: one that was given no name is `Task-7`, which from 3.12 on is the bare number
until somebody asks. Who names tasks may use a name again. Cost: 8 us.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_BYTES: Final = 64
_NUMBER_BYTES: Final = 28
_COUNTED: Final = re.compile(rb"Task-\d+\Z")


class Name(NamedTuple):
    """A task's name."""

    place: int
    content: bytes
    """Empty where it cannot be read."""
    is_counted: bool
    """Whether no other task of the process ever has it."""


class Names:
    """The names of one Python's tasks."""

    def __init__(self, python: Python, kinds: Kinds) -> None:
        layout = python.layout
        self._memory = python.memory
        self._kinds = kinds
        self._task_name = layout["task.name"]
        self._length = layout["str.length"]
        self._start = layout["tuple.size"]
        """Behind the head that all objects have: there the size of an int is, the length of a string."""
        self._ascii_bytes = layout["sz.ascii"]

    def of(self, task: int) -> Name:
        """Return the name of the task at an address; raises Vanished."""
        name = self._memory.word(task + self._task_name)
        kind = self._kinds.name_of(name) if name else ""
        size = _NUMBER_BYTES if kind == "int" else 0
        if name and kind == "str":
            head = self._memory.read(name, self._ascii_bytes)
            size = self._ascii_bytes + min(integer(head, self._length), MAX_BYTES) if head else 0
        data = self._memory.read(name + self._start, size - self._start) if name and size else None
        if not name or not data:
            return Name(0, b"", is_counted=False)
        text = data[self._ascii_bytes - self._start :]
        return Name(name + self._start, data, kind == "int" or bool(_COUNTED.match(text)))
