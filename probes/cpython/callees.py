"""What is called at a place in the code of another process: reads the instructions and names that calls.py needs."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from perfwatch.probes.cpython.bytecode import MAX_CODE_BYTES, Instruction, instruction_set, instructions
from perfwatch.probes.cpython.calls import called

if TYPE_CHECKING:
    from perfwatch.probes.cpython.objects import Objects
    from perfwatch.probes.cpython.python import Python


class Callee:
    """The calls of one code object; what it reads of that is kept with it."""

    def __init__(self, python: Python, objects: Objects, address: int) -> None:
        self._python = python
        self._objects = objects
        self._address = address
        self._instructions: list[Instruction] | None = None
        self._end = 0
        self._tuples: dict[str, tuple[int, ...]] = {}

    def at(self, offset: int) -> str | None:
        """Return what the instruction at an offset calls; see calls.py."""
        if self._instructions is None:
            self._instructions = self._decode()
        # 3.11 and 3.12 stand at a cache behind the instruction while a Python function runs.
        index = bisect_right(self._instructions, offset, key=lambda each: each.offset) - 1
        if index < 0 or offset >= self._end:
            return None
        return called(self._python.layout.minor, self._instructions, index, self)

    def of_global(self, number: int) -> str | None:
        """Return a name of `co_names`."""
        return self._name("co.names", number)

    def of_local(self, number: int, *, cell: bool) -> str | None:
        """Return the name of a local variable; `cell`: before 3.11, of one that closures share."""
        if self._python.layout.get("co.localsplusnames") is not None:
            return self._name("co.localsplusnames", number)
        if not cell:
            return self._name("co.varnames", number)
        own = len(self._tuple("co.cellvars"))
        return self._name("co.cellvars", number) if number < own else self._name("co.freevars", number - own)

    def _name(self, field: str, number: int) -> str | None:
        addresses = self._tuple(field)
        return self._objects.texts([addresses[number]])[0] if number < len(addresses) else None

    def _tuple(self, field: str) -> tuple[int, ...]:
        found = self._tuples.get(field)
        if found is None:
            address = self._python.memory.word(self._address + self._python.layout[field])
            found = self._tuples[field] = (self._objects.items(address) if address else None) or ()
        return found

    def _decode(self) -> list[Instruction]:
        known = instruction_set(self._python.layout.minor)
        code = self._code() if known else None
        self._end = len(code or b"")
        return instructions(known, code) if known and code else []

    def _code(self) -> bytes | None:
        """Return the instructions as they are in memory."""
        memory, layout = self._python.memory, self._python.layout
        inline = layout.get("co.code_adaptive")
        if inline is None:
            address = memory.word(self._address + layout["co.code"])
            return self._objects.data(address, MAX_CODE_BYTES) if address else None
        units = memory.word(self._address + layout["tuple.size"])
        return memory.read(self._address + inline, min(units * 2, MAX_CODE_BYTES)) if units else None
