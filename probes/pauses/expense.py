"""What watching a process's collector costs that process, and when it is to be polled instead, or watched again. Pure.

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
"""Of one core."""
WINDOW_NS: Final = 3_000_000_000
CALM: Final = 0.5
"""A process is watched again when for a while it would have cost it less than this part of the limit."""
PATIENCE_NS: Final = 10_000_000_000
"""So long; after each time that it was given up, twice as long."""
_MAX_DOUBLINGS: Final = 5


class Expense:
    """Of one process."""

    def __init__(self, now_ns: int) -> None:
        self._costs: deque[tuple[int, int]] = deque()
        self._sum_ns = 0
        self._calm_since_ns = now_ns
        self._given_up = 0

    def add(self, now_ns: int, writes: int, switches: int) -> None:
        """Take in what was seen since the last time; when it is polled: what would have been."""
        cost_ns = writes * WRITE_NS + switches * SWITCH_NS
        self._costs.append((now_ns, cost_ns))
        self._sum_ns += cost_ns
        while self._costs[0][0] <= now_ns - WINDOW_NS:
            self._sum_ns -= self._costs.popleft()[1]
        if self.share >= CALM * LIMIT:
            self._calm_since_ns = now_ns

    @property
    def share(self) -> float:
        """What it cost of a core in the last seconds."""
        return self._sum_ns / WINDOW_NS

    @property
    def is_too_much(self) -> bool:
        """Whether it is to be polled instead."""
        return self.share > LIMIT

    def give_up(self, now_ns: int) -> None:
        """Take in that it is polled from now on."""
        self._given_up += 1
        self._calm_since_ns = now_ns

    def may_be_watched(self, now_ns: int) -> bool:
        """Whether there was calm for long enough."""
        return now_ns - self._calm_since_ns >= PATIENCE_NS << min(self._given_up - 1, _MAX_DOUBLINGS)
