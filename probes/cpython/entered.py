"""What a frame has entered by `with`, or `async with`, and not left: locks that it holds, among others.

While a block runs, the bound `__exit__` of what guards it lies on the frame's stack of values. What lies there below
where the block began is alive for certain, whatever was left above it. That height stands, up to 3.10, in the frame, on
its stack of blocks; from 3.11 on the code's table of exception handlers has it for every instruction within a `with` or
`try`. Cost: 60 us for a code object that is new, 5 us a frame within a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.handlers import MAX_TABLE_BYTES, Block, blocks
from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.objects import POINTER, Objects, integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_HEIGHT: Final = 64
MAX_BLOCKS: Final = 20
_INT: Final = 4
BOUND: Final = {"builtin_function_or_method": "builtin.self", "method": "method.self"}
"""Where bound methods have whose they are."""


class Entered:
    """Finds it; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds) -> None:
        self._memory = python.memory
        self._kinds = kinds
        self._objects = Objects(python.memory, python.layout)
        self._layout = layout = python.layout
        self._table = layout.get("co.exceptiontable")
        self._start = layout.get("co.code_adaptive") or 0
        self._known = Kept(self._read)
        self.is_possible = self._table is not None or layout.get("f.blocks") is not None
        """Whether it is known of this version."""

    def by(self, code: int, position: int, variables: int) -> tuple[int, ...]:
        """Return the addresses of what a frame has entered; `variables` is where its first variable lies."""
        start, height = self._by_table(code, position, variables) if self._table else self._by_blocks(variables)
        if not 0 < height <= MAX_HEIGHT:
            return ()
        data = self._memory.read(start, height * POINTER)
        values = [integer(data, at) for at in range(0, len(data), POINTER)] if data else []
        return tuple(thing for value in values if value and (thing := self._guard(value)))

    def _by_table(self, code: int, position: int, variables: int) -> tuple[int, int]:
        """Return where the stack of values begins, and how high it is at least."""
        count, known = self._known.of(code)
        offset = position - code - self._start
        height = max((one.height for one in known if one.start <= offset < one.end), default=0)
        return variables + count * POINTER, height

    def _by_blocks(self, variables: int) -> tuple[int, int]:
        """Return the same of a frame of 3.10 or earlier, by its innermost block."""
        layout = self._layout
        frame = self._memory.read(variables - layout["f.localsplus"], layout["f.localsplus"]) or b""
        count = integer(frame, layout["f.block_count"], _INT)
        if not 0 < count <= MAX_BLOCKS:
            return 0, 0
        innermost = layout["f.blocks"] + (count - 1) * layout["sz.block"]
        return integer(frame, layout["f.value_stack"]), integer(frame, innermost + layout["block.height"], _INT)

    def _guard(self, value: int) -> int | None:
        """Return whose method something is; None if it is no bound method."""
        field = BOUND.get(self._kinds.name_of(value))
        return self._memory.word(value + self._layout[field]) if field else None

    def _read(self, code: int) -> tuple[int, tuple[Block, ...]]:
        """Return how many variables of a code object lie before the stack of values, and its blocks."""
        count = self._memory.read(code + self._layout["co.nlocalsplus"], _INT)
        address = self._memory.word(code + (self._table or 0))
        table = self._objects.data(address, MAX_TABLE_BYTES) if address else None
        return (integer(count, 0, _INT), tuple(blocks(table))) if count and table else (0, ())
