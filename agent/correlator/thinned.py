"""Values over a whole session in bounded room: at about even distances, which double when there are too many."""

from __future__ import annotations

from typing import Final

KEPT: Final = 240
_SECOND_NS: Final = 1_000_000_000


class Thinned:
    """(at_ns, value) in order of time: the first of each step, and the newest; at most `KEPT`."""

    __slots__ = ("_newest", "_points", "_step_ns", "_told")

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []
        self._newest: tuple[int, int] | None = None
        self._step_ns = _SECOND_NS // 2
        self._told: tuple[tuple[int, int], ...] | None = None

    def add(self, at_ns: int, value: int) -> None:
        """Take in a value that is newer than those before."""
        self._newest, self._told = (at_ns, value), None
        if self._points and at_ns < self._points[-1][0] + self._step_ns:
            return
        self._points.append((at_ns, value))
        if len(self._points) >= KEPT:
            del self._points[1::2]
            self._step_ns *= 2

    @property
    def points(self) -> tuple[tuple[int, int], ...]:
        """What is kept; made anew only where it has changed."""
        if self._told is None:
            newest = () if self._newest is None or self._newest == self._points[-1] else (self._newest,)
            self._told = (*self._points, *newest)
        return self._told
