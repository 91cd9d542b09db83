"""What watching a collector's flag costs a process, and when it is given up for that, or begun again. Pure.

The cost is counted, not measured: writes to the flag times 12 us, and where threads are watched, their switches times
1.3 us (both measured, in CPU time, in a virtual machine on an AMD EPYC; on bare metal they cost less).
"""

from __future__ import annotations

from collections import deque
from typing import Final

WRITES: Final = 2
"""Of a collection."""
WRITE_NS: Final = 12_000
SWITCH_NS: Final = 1_300
LIMIT: Final = 0.01
"""Of one core, for a process of the target."""
OTHERS_LIMIT: Final = 0.001
"""For all other processes of the host, which have their flag at the same address by chance."""
WINDOW_NS: Final = 3_000_000_000
CALM: Final = 0.5
"""A process is watched again when for a while it would have cost it less than this part of the limit."""
PATIENCE_NS: Final = 10_000_000_000
"""So long; after each time that it was given up, twice as long."""
_MAX_DOUBLINGS: Final = 5


class Expense:
    """Of one process, or of all others together."""

    def __init__(self, now_ns: int, limit: float) -> None:
        """`limit` is what it may come to, of one core."""
        self._limit = limit
        self._costs: deque[tuple[int, int]] = deque()
        self._sum_ns = 0
        self._calm_since_ns = now_ns
        self._times_given_up = 0
        self.is_given_up = False
        """Whether it is watched no more because of what that cost."""

    def add(self, now_ns: int, writes: int, switches: int) -> None:
        """Take in what was seen since the last time; when it is polled: what would have been."""
        cost_ns = writes * WRITE_NS + switches * SWITCH_NS
        self._costs.append((now_ns, cost_ns))
        self._sum_ns += cost_ns
        while self._costs[0][0] <= now_ns - WINDOW_NS:
            self._sum_ns -= self._costs.popleft()[1]
        if self.share >= CALM * self._limit:
            self._calm_since_ns = now_ns

    @property
    def share(self) -> float:
        """What it cost of a core in the last seconds."""
        return self._sum_ns / WINDOW_NS

    @property
    def is_too_much(self) -> bool:
        """Whether it is to be polled instead."""
        return self.share > self._limit

    def give_up(self, now_ns: int) -> None:
        """Take in that it is not watched any more."""
        self.is_given_up = True
        self._times_given_up += 1
        self._calm_since_ns = now_ns

    def forgive(self, now_ns: int) -> None:
        """Let it be watched again if it would have cost little for long enough."""
        if self.is_given_up:
            patience_ns = PATIENCE_NS << min(self._times_given_up - 1, _MAX_DOUBLINGS)
            self.is_given_up = now_ns - self._calm_since_ns < patience_ns
