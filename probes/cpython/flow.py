"""Which instruction can come after which in a code object, exceptions included. Pure.

Any instruction can raise. What handles that stands in the code's table of exception handlers; up to 3.10 instructions
say so themselves: they put handlers on the frame's stack of blocks and take them off again, and that stack is the same
on every way to an instruction. Ways that are never gone may be among these, none that is gone is missing: what holds on
all of them is certain. Source: Python/compile.c of CPython 3.8 to 3.10. Cost: 2 us an instruction.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.calls import NO_WAY_ON

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from perfwatch.probes.cpython.bytecode import Instruction
    from perfwatch.probes.cpython.handlers import Block

MAX_BLOCKS: Final = 32
"""Within each other: CPython itself allows 20."""
_SETUP: Final = "SETUP_"
CALL_FINALLY, _END_FINALLY = "CALL_FINALLY", "END_FINALLY"
"""In 3.8: a `finally` that is left by `return` or `break` is called, and goes back behind the call at its end."""


class Flow:
    """The ways through one code object."""

    def __init__(self, code: Sequence[Instruction], table: Iterable[Block] | None) -> None:
        """Take the stretches that have handlers; None up to 3.10, where the instructions say it."""
        self._code = code
        self._offsets = [each.offset for each in code]
        self._resumed = [at + 1 for at, each in enumerate(code[:-1]) if each.name == CALL_FINALLY]
        self.onward = [self._after(at) for at in range(len(code))]
        """Places of the instructions that can come after each, if it does not raise."""
        self.handler = self._by_blocks() if table is None else self._by_table(table)
        """Place of what handles an exception that each raises; None: nothing does."""
        self._reached = self.ahead(0, (), raising=True) if code else set()
        self.before: list[list[tuple[int, bool]]] = [[] for _ in code]
        """Places of the instructions after which each can come, and whether it does as they raise."""
        for at in self._reached:
            for place in self.onward[at]:
                self.before[place].append((at, False))
            handler = self.handler[at]
            if handler is not None:
                self.before[handler].append((at, True))

    def since(self, at: int, marks: Collection[int]) -> tuple[set[int], bool]:
        """Return the places passed on the ways to an instruction, back to the last of `marks` on each.

        And whether a way has none of them, from the beginning on. One that raised has done nothing.
        """
        passed: set[int] = set()
        going = [at]
        while going:
            for place, raised in self.before[going.pop()]:
                if place not in passed and (raised or place not in marks):
                    passed.add(place)
                    going.append(place)
        return passed, at == 0 or 0 in passed or at not in self._reached

    def ahead(self, at: int, marks: Collection[int], *, raising: bool) -> set[int]:
        """Return the places on the ways on from an instruction, itself too, up to the first of `marks` on each.

        `raising`: also as instructions raise.
        """
        found = {at}
        going = [at]
        while going:
            place = going.pop()
            if place not in marks:
                handler = self.handler[place] if raising else None
                new = {*self.onward[place], *(() if handler is None else (handler,))} - found
                found |= new
                going += new
        return found

    def _target(self, at: int) -> int | None:
        """Return the place that an instruction can jump to; it may jump to the EXTENDED_ARG before that."""
        target = self._code[at].target
        place = len(self._code) if target is None else bisect_left(self._offsets, target)
        return place if place < len(self._code) else None

    def _after(self, at: int) -> tuple[int, ...]:
        name = self._code[at].name
        following = (at + 1,) if at + 1 < len(self._code) and name not in NO_WAY_ON else ()
        if name == _END_FINALLY:
            return (*following, *self._resumed)
        target = None if name.startswith(_SETUP) else self._target(at)
        if target is None:
            return following
        return (target,) if name == CALL_FINALLY else (*following, target)

    def _by_table(self, table: Iterable[Block]) -> list[int | None]:
        handler: list[int | None] = []
        for block in table:  # in order, and none within another
            start, end, target = (bisect_left(self._offsets, at) for at in (block.start, block.end, block.handler))
            handler += [None] * (start - len(handler))
            handler += [target if target < len(self._code) else None] * (end - len(handler))
        return handler + [None] * (len(self._code) - len(handler))

    def _by_blocks(self) -> list[int | None]:
        """Follow the blocks from the first instruction on; a handler's own block holds nothing, and is left out."""
        blocks: dict[int, tuple[int, ...]] = {}
        going: list[tuple[int, tuple[int, ...]]] = [(0, ())] if self._code else []
        while going:
            at, open_blocks = going.pop()
            if at in blocks or len(open_blocks) > MAX_BLOCKS:
                continue
            blocks[at] = open_blocks
            name, target = self._code[at].name, self._target(at)
            if name.startswith(_SETUP) and target is not None:
                going.append((target, open_blocks))
                open_blocks = (*open_blocks, target)
            elif name == "POP_BLOCK":
                open_blocks = open_blocks[:-1]
            following = self.onward[at] if name != _END_FINALLY else (at + 1,)
            if name == CALL_FINALLY:
                following = (*following, at + 1)
            going += [(place, open_blocks) for place in following if place < len(self._code)]
        return [blocks[at][-1] if blocks.get(at) else None for at in range(len(self._code))]
