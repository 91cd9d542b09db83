"""One figure for each of the last seconds: what a chart is drawn of."""

from __future__ import annotations

from typing import Final

KEPT: Final = 120
WHOLE: Final = 3600
"""As many as a view has of the requests."""
_LATE: Final = 5
_SECOND_NS: Final = 1_000_000_000


class Seconds:
    """Of several figures in one second the largest stands."""

    __slots__ = ("_by_second", "_kept")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._by_second: dict[int, float] = {}

    def put(self, value: float, at_ns: int, since_ns: int | None = None) -> None:
        """Take in a figure that held since a moment, or only now; costs about 1 us."""
        last = at_ns // _SECOND_NS
        first = last if since_ns is None else max(since_ns // _SECOND_NS + 1, last - self._kept + 1)
        for second in range(min(first, last), last + 1):
            self._by_second[second] = max(self._by_second.get(second, value), value)
        if len(self._by_second) > 2 * self._kept:
            kept = {second: one for second, one in self._by_second.items() if last - self._kept < second <= last}
            self._by_second = kept

    def until(self, now_ns: int) -> tuple[float | None, ...]:
        """Return the seconds from the first that is known on, None where nothing is, the newest last.

        Up to now; where what was measured last is less than 5 s old, up to that: the next reading tells of all since.
        """
        now = now_ns // _SECOND_NS
        known = [second for second in self._by_second if now - self._kept < second <= now]
        first, last = min(known, default=now + 1), max(known, default=now)
        last = now if now - last >= _LATE else last
        return tuple(self._by_second.get(second) for second in range(first, last + 1))
