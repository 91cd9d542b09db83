"""What a coroutine or a generator looks like in memory, version by version: where it stands, and what it awaits.

Up to 3.10 its frame is an object of its own, which knows it; from 3.11 on the frame lies within it. What it awaits is
the topmost on the frame's stack of values, while it is suspended in an await or `yield from`: 3.13 says so itself;
before, the next instruction tells, YIELD_FROM up to 3.10, a RESUME whose argument is 2 (yield from) or 3 (await) later.
A generator that is executed keeps its height elsewhere.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.bytecode import instruction_set
from perfwatch.probes.cpython.objects import POINTER, integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.probes.cpython.layout import Layout

MAX_HEIGHT: Final = 1 << 12
_INT: Final = 4
_NEGATIVE: Final = 1 << 7
"""The smallest byte that stands for a negative number."""
_NEVER_BEGAN: Final = (1 << 32) - 1
_RESUME_IN_AWAIT: Final = 2
_ARGUMENT_BITS: Final = 3


class Standing(NamedTuple):
    """Where a coroutine stands."""

    code: int
    position: int
    """As `Codes.frame` takes it."""
    variables: int
    """Address of its first local variable."""
    awaited: int
    """Where the address of what it awaits lies, if it awaits; 0 if it is not suspended."""
    is_certain: bool
    """Whether it awaits is known; else its next instruction tells."""


class CoroutineForm:
    """The coroutines and generators of one version. Pure."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.is_apart = layout.minor < (3, 11)
        """Its frame lies elsewhere."""
        frame_end = layout["f.localsplus"]
        self.head_bytes = layout["coro.frame"] + (POINTER if self.is_apart else frame_end)
        self.frame_bytes = frame_end
        known = instruction_set(layout.minor)
        name = "YIELD_FROM" if self.is_apart else "RESUME"
        if not self.is_apart:
            frame = layout["coro.frame"]
            fields = {
                "state": (layout["coro.state"], "B"),
                "code": (frame + layout["f.code"], "Q"),
                "position": (frame + layout["f.prev_instr"], "Q"),
                "top": (frame + layout["f.stack_top"], "I"),
            }
            self._fields = struct.Struct(_format(fields))
            self._certain = layout.get("FRAME_SUSPENDED_YIELD_FROM")
            self._suspended = self._certain or layout["FRAME_SUSPENDED"]
            self._executing = layout["FRAME_EXECUTING"]
            self._variables = frame + frame_end
        self._awaiting = frozenset(known.by_name[name].numbers) if known and name in known.by_name else frozenset()

    def frame(self, head: bytes) -> int:
        """Return the address of the frame that lies apart, from a copy of a coroutine; 0: it has ended."""
        return integer(head, self._layout["coro.frame"])

    def within(self, address: int, head: bytes) -> Standing | None:
        """Read a coroutine whose frame is within it; None if it has ended."""
        state, code, position, top = self._fields.unpack_from(head)
        if state < _NEGATIVE and state != self._executing:
            return None  # the states before it began to run, and while it is suspended, are negative
        variables = address + self._variables
        awaited = variables + (top - 1) * POINTER if state == self._suspended and 0 < top < MAX_HEIGHT else 0
        return Standing(code, position, variables, awaited, self._certain is not None)

    def apart(self, coroutine: int, frame: int, copy: bytes) -> Standing | None:
        """Read a coroutine whose frame lies apart; None if that is of another."""
        layout = self._layout
        if integer(copy, layout["f.coro"]) != coroutine:
            return None
        position = integer(copy, layout["f.lasti"], _INT)
        top = self._top(copy)
        awaited = top - POINTER if top and position != _NEVER_BEGAN else 0
        variables = frame + layout["f.localsplus"]
        is_within = variables <= awaited < variables + MAX_HEIGHT * POINTER
        return Standing(
            code=integer(copy, layout["f.code"]),
            position=position,
            variables=variables,
            awaited=awaited if is_within else 0,
            is_certain=False,
        )

    def _top(self, copy: bytes) -> int:
        """Return where the stack of values ends, of a frame that lies apart; 0 if it is not suspended."""
        layout = self._layout
        if layout.get("f.state") is None:
            is_executed = integer(copy, layout["f.executing"], 1)
            return 0 if is_executed else integer(copy, layout["f.stack_top"])
        if integer(copy, layout["f.state"], 1) != layout["FRAME_SUSPENDED"]:
            return 0
        height = integer(copy, layout["f.stack_depth"], _INT)
        return integer(copy, layout["f.value_stack"]) + height * POINTER if 0 < height < MAX_HEIGHT else 0

    def awaits(self, instruction: bytes) -> bool:
        """Whether a suspended coroutine awaits, by the instruction behind its position."""
        opcode, argument = instruction[0], instruction[1]
        return opcode in self._awaiting and (self.is_apart or argument & _ARGUMENT_BITS >= _RESUME_IN_AWAIT)


def _format(fields: Mapping[str, tuple[int, str]]) -> str:
    """Return the layout of some fields, each (offset, kind), that stand in the order of their offsets."""
    text, at = "<", 0
    for offset, kind in fields.values():
        text += f"{offset - at}x{kind}"
        at = offset + struct.calcsize(kind)
    return text
