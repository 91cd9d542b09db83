"""Instructions of 3.8 to 3.13: which they are, where they jump to, how they change the height of the stack. Pure.

opcodes.json is written by derive.py from what each interpreter says of its own; own_opcodes.py explains the fields. A
specialised or instrumented form (3.11 and later rewrite code while it runs) is told by the instruction that it stands
for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

OPCODES: Final = Path(__file__).with_name("opcodes.json")
MAX_CODE_BYTES: Final = 1 << 14
"""Of a code object so much is looked into: some 600 lines."""
UNKNOWN: Final = "?"
"""Name of what this version has no instruction for."""
_EXTENDED: Final = "EXTENDED_ARG"
_UNIT_BYTES: Final = 2
_MAX_ARGUMENT: Final = (1 << 32) - 1


class Facts(msgspec.Struct, frozen=True):
    """What is known of an instruction of one version."""

    numbers: tuple[int, ...]
    caches: int
    effect: tuple[int, ...] | None
    jump: Literal["absolute", "forward", "back"] | None = None
    jumped: tuple[int, ...] | None = None


class Instruction(NamedTuple):
    """One instruction of a code object."""

    offset: int
    """In bytes, of itself and not of an EXTENDED_ARG before it."""
    name: str
    argument: int
    target: int | None
    """Offset that it may jump to."""
    facts: Facts | None

    def effect(self, *, jumps: bool = False) -> int | None:
        """Return how much higher the stack is behind it; None where that is not known."""
        table = (self.facts.jumped if jumps else self.facts.effect) if self.facts else None
        if table is None:
            return None
        slope, *period = table
        return slope * self.argument + period[self.argument % len(period)]


class InstructionSet(NamedTuple):
    """The instructions of one version."""

    minor: tuple[int, int]
    by_number: dict[int, tuple[str, Facts]]
    by_name: dict[str, Facts]


@cache
def instruction_set(minor: tuple[int, int]) -> InstructionSet | None:
    """Return the instructions of a version; None where there is no table of it."""
    facts = _tables().get(f"{minor[0]}.{minor[1]}")
    if facts is None:
        return None
    by_number = {number: (name, each) for name, each in facts.items() for number in each.numbers}
    return InstructionSet(minor, by_number, facts)


@cache
def _tables() -> dict[str, dict[str, Facts]]:
    return msgspec.json.decode(OPCODES.read_bytes(), type=dict[str, dict[str, Facts]])


def instructions(known: InstructionSet, code: bytes) -> list[Instruction]:
    """Decode a code object's bytes; what comes behind an unknown instruction may be nonsense."""
    found: list[Instruction] = []
    at = extended = 0
    unit = _UNIT_BYTES if known.minor >= (3, 10) else 1
    while at + 1 < len(code):
        name, facts = known.by_number.get(code[at], (UNKNOWN, None))
        argument = extended | code[at + 1]
        behind = at + _UNIT_BYTES * (1 + (facts.caches if facts else 0))
        if name == _EXTENDED:
            extended = argument << 8 & _MAX_ARGUMENT
        else:
            extended = 0
            found.append(Instruction(at, name, argument, _target(facts, behind, argument * unit), facts))
        at = behind
    return found


def _target(facts: Facts | None, behind: int, distance: int) -> int | None:
    if facts is None or facts.jump is None:
        return None
    if facts.jump == "absolute":
        return distance
    return behind - distance if facts.jump == "back" else behind + distance
