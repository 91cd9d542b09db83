"""What a code object in another process is made of: its instructions, the names that they number, what handles errors.

Each part is read when it is asked for, and kept. Cost: 1 us an instruction, 2 us a name.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.bytecode import MAX_CODE_BYTES, UNKNOWN, Instruction, instruction_set, instructions
from perfwatch.probes.cpython.calls import called
from perfwatch.probes.cpython.flow import CALL_FINALLY, Flow
from perfwatch.probes.cpython.handlers import MAX_TABLE_BYTES, blocks

if TYPE_CHECKING:
    from perfwatch.probes.cpython.objects import Objects
    from perfwatch.probes.cpython.python import Python

MAX_NAMES: Final = 1 << 10
MAX_CALLED: Final = 32
"""Where `finally` is called (3.8), so many times: each may go back to behind each call."""
_HIDING: Final = (UNKNOWN, "INSTRUMENTED_", "ENTER_EXECUTOR", "RESERVED")
"""Instructions in whose place others stood that cannot be told: a tracer's, of a function that was compiled."""


class Body:
    """One code object. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, objects: Objects, address: int) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._objects = objects
        self._address = address
        self._texts: dict[str, list[str | None]] = {}
        self.minor = python.layout.minor

    @cached_property
    def instructions(self) -> list[Instruction]:
        """Those of the first `MAX_CODE_BYTES`, as they are in memory."""
        known = instruction_set(self.minor)
        return instructions(known, self._code) if known else []

    @cached_property
    def flow(self) -> Flow | None:
        """The ways through it; None where not all of it is known."""
        names = [each.name for each in self.instructions]
        is_whole = len(self._code) < MAX_CODE_BYTES and not any(name.startswith(_HIDING) for name in names)
        is_whole = is_whole and names.count(CALL_FINALLY) <= MAX_CALLED
        at = self._layout.get("co.exceptiontable")
        if not is_whole or at is None:
            return Flow(self.instructions, None) if is_whole and self.instructions else None
        address = self._memory.word(self._address + at)
        table = self._objects.data(address, MAX_TABLE_BYTES) if address else None
        if table is None or len(table) == MAX_TABLE_BYTES:
            return None
        return Flow(self.instructions, blocks(table)) if self.instructions else None

    def place(self, offset: int) -> int | None:
        """Return the place of the instruction at an offset; 3.11 and 3.12 may stand at a cache behind it."""
        place = bisect_right(self.instructions, offset, key=lambda each: each.offset) - 1
        return place if place >= 0 and offset < len(self._code) else None

    def called(self, offset: int) -> str | None:
        """Return what the instruction at an offset calls; see calls.py."""
        place = self.place(offset)
        return None if place is None else called(self.minor, self.instructions, place, self)

    def of_global(self, number: int) -> str | None:
        """Return a name of `co_names`."""
        return self._name("co.names", number)

    def of_local(self, number: int, *, cell: bool) -> str | None:
        """Return the name of a local variable; `cell`: before 3.11, of one that closures share."""
        if self._layout.get("co.localsplusnames") is not None:
            return self._name("co.localsplusnames", number)
        if not cell:
            return self._name("co.varnames", number)
        own = len(self.names("co.cellvars"))
        return self._name("co.cellvars", number) if number < own else self._name("co.freevars", number - own)

    def names(self, field: str) -> list[str | None]:
        """Return the strings of one of its tuples; the last is None where there are more."""
        if field not in self._texts:
            address = self._memory.word(self._address + self._layout[field])
            found = self._objects.items(address) if address else None
            is_whole = found is not None and len(found) <= MAX_NAMES
            self._texts[field] = [*self._objects.texts((found or ())[:MAX_NAMES]), *(() if is_whole else (None,))]
        return self._texts[field]

    def _name(self, field: str, number: int) -> str | None:
        names = self.names(field)
        return names[number] if number < len(names) else None

    @cached_property
    def _code(self) -> bytes:
        memory, layout = self._memory, self._layout
        inline = layout.get("co.code_adaptive")
        if inline is None:
            address = memory.word(self._address + layout["co.code"])
            found = self._objects.data(address, MAX_CODE_BYTES) if address else None
        else:
            units = memory.word(self._address + layout["tuple.size"])
            found = memory.read(self._address + inline, min(units * 2, MAX_CODE_BYTES)) if units else None
        return found or b""
