"""What time it is, on the clocks that a recording needs: its own stands still while the host is suspended.

clock_gettime(2): CLOCK_MONOTONIC, CLOCK_REALTIME, which is set and slewed, and CLOCK_BOOTTIME (Linux 2.6.39), which
goes on in a suspend. Cost: 1 us.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.samples import ClockReading

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE_NS: Final = 10_000_000
"""What is told of the wall clock is right to this."""
_TRIES: Final = 3
_CLOSE_NS: Final = 100_000


class Times(NamedTuple):
    """One moment on three clocks, in nanoseconds."""

    monotonic_ns: int
    unix_ns: int
    boot_ns: int


def read_times() -> Times:
    """Read the clocks, again where something came between."""
    for _ in range(_TRIES):
        before_ns = time.monotonic_ns()
        unix_ns, boot_ns = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < _CLOSE_NS:
            break
    return Times((before_ns + after_ns) // 2, unix_ns, boot_ns)


class Clocks:
    """Tells how the clocks stand: at first, and whenever that has changed."""

    def __init__(self, read: Callable[[], Times] = read_times) -> None:
        self._read = read
        self._seen_ns: int | None = None
        self._told = (0, 0)

    def read(self) -> tuple[ClockReading, ...]:
        """Return a reading if one is due, of the moment of the last look: after that the clocks stood as now."""
        times = self._read()
        seen_ns, self._seen_ns = self._seen_ns, times.monotonic_ns
        offset_ns, suspended_ns = times.unix_ns - times.monotonic_ns, times.boot_ns - times.monotonic_ns
        if seen_ns is not None and _are_near((offset_ns, suspended_ns), self._told):
            return ()
        self._told = offset_ns, suspended_ns
        at_ns = times.monotonic_ns if seen_ns is None else seen_ns
        return (ClockReading(at_ns, at_ns + offset_ns, suspended_ns),)


def _are_near(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return all(abs(a - b) <= TOLERANCE_NS for a, b in zip(one, other, strict=True))
