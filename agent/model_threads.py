"""The part of a view that says what each thread of the target does, and did.

As in `model.py`: frozen, times in nanoseconds, monotonic.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from perfwatch.probes.frames import Frame as Frame  # noqa: PLC0414, TC001 - msgspec reads the annotations
from perfwatch.probes.records import Bucket as Bucket  # noqa: PLC0414

Doing: TypeAlias = Bucket | Literal["idle"]
"""What a thread does: as the time of a request is booked, or `idle`, waiting for work."""


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """What a thread did between two readings."""

    from_ns: int
    until_ns: int
    spent: tuple[tuple[Doing | None, int], ...]
    """(what, for how many ns), the most first, and all of that time; None where it may not be known."""

    @property
    def doing(self) -> Doing | None:
        """What most of that time was."""
        return self.spent[0][0] if self.spent else None


class TargetThread(msgspec.Struct, frozen=True, gc=False):
    """One thread of the target: what it does at present, and what it did in the last minute, or in a window."""

    pid: int
    tid: int
    name: str
    """In Python, else in the kernel; untrusted."""
    doing: Doing | None
    since_ns: int | None
    """Since when, as far as that was seen; None where it changes all the time."""
    call: str | None
    """The system call that it waits in; None where it waits in none, or that may not be known."""
    cpu: float | None
    """CPU time per time, 0..1, over the last 10 s."""
    wanted_cpu: float | None
    """Part of that time in which it could run, and had no CPU."""
    gil: float | None
    """In which part of the readings of the last 10 s it held the interpreter lock; None where there are none."""
    holds_gil: bool
    """As of the newest reading of its stack."""
    request: int | None
    """Id of the open request that it serves."""
    serves: str | None
    """The same as words: `POST /order`; untrusted."""
    stack: tuple[Frame, ...]
    """As of the newest reading, the innermost first; empty where it runs no Python, or stacks are not read."""
    stack_ns: int | None
    """When that was."""
    kept: tuple[int, int]
    """(waits, ns): for how long requests that ended in the last minute waited for locks that it had."""
    past: tuple[Stretch, ...]
    """Oldest first: the last minute; of a window all, at most 180."""
