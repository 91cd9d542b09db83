"""Which bytes of one direction of a connection were captured, by sequence number: pure.

Segments may come out of order, on the loopback too (a sender runs on two CPUs), and more than once. What is missing is
missed for good only when the other end acknowledges it: it had it, and so should we.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from perfwatch.probes.wire.segments import SEQUENCE_SPACE, ahead, behind

if TYPE_CHECKING:
    from perfwatch.probes.wire.segments import Segment

MAX_HOLES: Final = 64


@dataclass(slots=True)
class Flow:
    """One direction."""

    next: int | None = None
    """The number behind the furthest byte that was captured; None before the first."""
    _holes: list[tuple[int, int]] = field(default_factory=list)
    """Before it, from and until which number bytes are missing; the oldest first."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self._holes

    def take(self, segment: Segment) -> bool:
        """Note a segment with payload; whether it brought bytes that were not there."""
        end = behind(segment)
        if self.next is None or ahead(end, self.next) > 0:
            self._fill(segment.sequence, end)
            self._reach(segment.sequence)
            self.next = end
            return True
        return self._fill(segment.sequence, end)

    def finish(self, segment: Segment) -> None:
        """Note a FIN, which stands behind the last byte, and counts as one."""
        self._reach(behind(segment))
        self.next = (behind(segment) + 1) % SEQUENCE_SPACE

    def misses(self, acknowledged: int) -> bool:
        """Whether the other end acknowledges what was not captured; if so, it is expected no more."""
        if self.next is None:
            return False
        if ahead(acknowledged, self.next) > 0:
            self.next = acknowledged
        elif not self._holes or ahead(acknowledged, self._holes[0][0]) <= 0:
            return False
        self._holes.clear()
        return True

    def _reach(self, number: int) -> None:
        if self.next is not None and ahead(number, self.next) > 0 and len(self._holes) < MAX_HOLES:
            self._holes.append((self.next, number))

    def _fill(self, start: int, end: int) -> bool:
        left: list[tuple[int, int]] = []
        for first, last in self._holes:
            left += [(first, _lower(last, start))] if ahead(start, first) > 0 else []
            left += [(_higher(first, end), last)] if ahead(last, end) > 0 else []
        filled = left != self._holes
        self._holes = left[:MAX_HOLES]  # each segment may make two of one
        return filled


def _lower(first: int, second: int) -> int:
    return first if ahead(second, first) > 0 else second


def _higher(first: int, second: int) -> int:
    return first if ahead(first, second) > 0 else second
