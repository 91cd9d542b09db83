"""The session second by second, for at most the last hour; a request belongs to the second in which it ended.

Seconds are counted from the session's start. The durations of the last `_OPEN` seconds are kept, because
records come late and are corrected; after that a second's quantiles stand, and a correction changes its
counts only.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from perfwatch.agent.correlator.latencies import nearest_rank
from perfwatch.agent.model import Instant

SECOND_NS: Final = 1_000_000_000
_KEPT: Final = 3600
_OPEN: Final = 10
_MAX_DURATIONS: Final = 10_000


class _Second:
    """One second while it may still change."""

    __slots__ = (
        "_made",
        "cpu_use",
        "durations",
        "errors",
        "in_flight",
        "number",
        "p50_ms",
        "p95_ms",
        "requests",
        "slow",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = self.slow = self.errors = self.in_flight = 0
        self.durations: list[int] | None = []
        self.p50_ms: float | None = None
        self.p95_ms: float | None = None
        self.cpu_use: float | None = None
        self._made: Instant | None = None

    def count(self, duration_ns: int, *, slow: bool, failed: bool, sign: int) -> None:
        self._made = None
        self.requests += sign
        self.slow += sign * slow
        self.errors += sign * failed
        if self.durations is None:
            return
        if sign > 0 and len(self.durations) < _MAX_DURATIONS:
            self.durations.append(duration_ns)
        elif sign < 0 and duration_ns in self.durations:
            self.durations.remove(duration_ns)

    def fly(self, count: int) -> None:
        if count > self.in_flight:
            self.in_flight = count
            self._made = None

    def use(self, cpu_use: float | None) -> None:
        self.cpu_use, self._made = cpu_use, None

    def settle(self) -> None:
        self._measure()
        self.durations = None

    def instant(self, origin_ns: int) -> Instant:
        if self._made is None:
            self._measure()
            self._made = Instant(
                at_ns=origin_ns + self.number * SECOND_NS,
                requests=self.requests,
                slow=self.slow,
                errors=self.errors,
                p50_ms=self.p50_ms,
                p95_ms=self.p95_ms,
                in_flight=self.in_flight,
                cpu_use=self.cpu_use,
            )
        return self._made

    def _measure(self) -> None:
        if self.durations is None:
            return
        ordered = sorted(self.durations)
        self.p50_ms = round(nearest_rank(ordered, 0.50) / 1e6, 6) if ordered else None
        self.p95_ms = round(nearest_rank(ordered, 0.95) / 1e6, 6) if ordered else None


class Timeline:
    """Consecutive seconds, the last of them the present one."""

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self._seconds: deque[_Second] = deque(maxlen=_KEPT)

    def advance(self, now_ns: int) -> None:
        """Go on to the second of `now_ns`; the seconds between had no records."""
        number = (now_ns - self._origin_ns) // SECOND_NS
        seconds = self._seconds
        if seconds and seconds[-1].number >= number:
            return
        first = max(seconds[-1].number + 1, number - _KEPT + 1) if seconds else number
        for following in range(first, number + 1):
            if len(seconds) >= _OPEN:
                seconds[-_OPEN].settle()
            seconds.append(_Second(following))

    def count(self, ended_ns: int, duration_ns: int, *, slow: bool, failed: bool) -> int:
        """Count a request; returns the second that it was put in. `advance` came before."""
        number = (ended_ns - self._origin_ns) // SECOND_NS
        number = min(max(number, self._seconds[0].number), self._seconds[-1].number)
        self._second(number).count(duration_ns, slow=slow, failed=failed, sign=1)
        return number

    def retract(self, number: int, duration_ns: int, *, slow: bool, failed: bool) -> None:
        """Take back a request that was counted in this second, if the second is still kept."""
        if number >= self._seconds[0].number:
            self._second(number).count(duration_ns, slow=slow, failed=failed, sign=-1)

    def fly(self, count: int) -> None:
        """Note how many requests are in flight; a second shows the most that were seen in it."""
        self._seconds[-1].fly(count)

    def use(self, cpu_use: float | None) -> None:
        """Note how used the CPUs were up to now; of several readings in a second the last one stands."""
        self._seconds[-1].use(cpu_use)

    def instants(self) -> tuple[Instant, ...]:
        """Return the seconds, oldest first."""
        return tuple(second.instant(self._origin_ns) for second in self._seconds)

    def _second(self, number: int) -> _Second:
        # From the end: the newest seconds are asked for, and a deque is slow in its middle.
        return self._seconds[number - self._seconds[-1].number - 1]
