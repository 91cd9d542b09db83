"""How many requests were in the system and how many were done, second by second: what scalability is fitted to.

A second counts each request by how much of it lies in it: its overlap to the concurrency, its overlap as a part of its
latency to what was done. Seconds that are past are summed up by concurrency, eight steps to an octave, so that a day of
them is no more than `_STEPS` sums. Of a request that took over ten seconds the last ten count.
"""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.scaling import scalability
from perfwatch.agent.model import arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Scalability, ServedRequest

_SECOND_NS: Final = 1_000_000_000
_OPEN: Final = 10
_LATE: Final = 2
"""Of the last two seconds not all requests are known yet."""
_LEAST: Final = 0.75
"""At less than that nobody is in anybody's way."""
_PER_OCTAVE: Final = 8
_STEPS: Final = 128


class Point(NamedTuple):
    """Seconds of about the same concurrency."""

    seconds: int
    concurrency: float
    """Mean; so is the throughput."""
    rate_rps: float
    spread: float
    """Sum of the squared deviations of their throughputs from that mean."""


class _Sums:
    """Of seconds of about the same concurrency."""

    __slots__ = ("busy", "done", "done_squared", "seconds")

    def __init__(self) -> None:
        self.seconds = 0
        self.busy = self.done = self.done_squared = 0.0

    def add(self, busy: float, done: float) -> None:
        self.seconds += 1
        self.busy += busy
        self.done += done
        self.done_squared += done * done

    def point(self) -> Point:
        rate = self.done / self.seconds
        return Point(self.seconds, self.busy / self.seconds, rate, max(self.done_squared - rate * self.done, 0.0))


class Windows:
    """The seconds of a session. The first is left out: it had begun before."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._latest = 0
        self._open: dict[int, list[float]] = {}
        """(requests in the system, done) by second, of the last ten."""
        self._past: dict[int, _Sums] = {}
        self._points: list[Point] = []
        """As they were when the present second began: so nothing depends on when somebody looks."""
        self._told: tuple[list[Point], Scalability | None] = (self._points, None)

    def served(self, record: ServedRequest, earlier: ServedRequest | None) -> None:
        """Take in a request, in place of what was told of it before; 1.5 us, and more for each second that it took."""
        latest = record.at_ns // _SECOND_NS
        if self._first is None:
            self._first = self._latest = latest
        if latest > self._latest:
            self._latest = latest
            self._settle()
            self._points = self._by_concurrency()
        if earlier is not None:
            self._count(earlier, -1)
        self._count(record, 1)

    def _count(self, record: ServedRequest, sign: int) -> None:
        arrived_ns, ended_ns = arrival_of(record), record.ended_ns
        first, last = arrived_ns // _SECOND_NS, ended_ns // _SECOND_NS
        if first == last == self._latest:  # most are: nothing is to be cut
            second = self._open.setdefault(last, [0.0, 0.0])
            second[0] += sign * max(ended_ns - arrived_ns, 0) / _SECOND_NS
            second[1] += sign
            return
        took_ns = max(ended_ns - arrived_ns, 1)
        for number in range(max(first, self._latest - _OPEN + 1), min(last, self._latest) + 1):
            inside_ns = min(ended_ns, (number + 1) * _SECOND_NS) - max(arrived_ns, number * _SECOND_NS)
            second = self._open.setdefault(number, [0.0, 0.0])
            second[0] += sign * max(inside_ns, 0) / _SECOND_NS
            second[1] += sign * min(max(inside_ns, 1) / took_ns, 1.0)

    def scalability(self) -> Scalability | None:
        """Return what is fitted to the seconds until now; 2 ms, once a second."""
        if self._told[0] is not self._points:
            self._told = (self._points, scalability(self._points))
        return self._told[1]

    def _by_concurrency(self) -> list[Point]:
        settled = {step: sums.point() for step, sums in self._past.items()}
        more: dict[int, _Sums] = {}
        for busy, done in self._full(self._latest - _LATE):
            more.setdefault(_step(busy), _Sums()).add(busy, done)
        for step, sums in more.items():
            point = sums.point()
            settled[step] = _both(settled[step], point) if step in settled else point
        return sorted(settled.values(), key=lambda point: point.concurrency)

    def _full(self, until: int) -> Iterator[tuple[float, float]]:
        for number, (busy, done) in self._open.items():
            if self._first != number <= until and busy >= _LEAST and done > 0:
                yield busy, done

    def _settle(self) -> None:
        passed = self._latest - _OPEN
        for busy, done in self._full(passed):
            self._past.setdefault(_step(busy), _Sums()).add(busy, done)
        self._open = {number: second for number, second in self._open.items() if number > passed}


def _both(one: Point, other: Point) -> Point:
    seconds = one.seconds + other.seconds
    rate = (one.seconds * one.rate_rps + other.seconds * other.rate_rps) / seconds
    between = sum(each.seconds * (each.rate_rps - rate) ** 2 for each in (one, other))
    concurrency = (one.seconds * one.concurrency + other.seconds * other.concurrency) / seconds
    return Point(seconds, concurrency, rate, one.spread + other.spread + between)


def _step(busy: float) -> int:
    return min(max(round(log2(busy) * _PER_OCTAVE), -_PER_OCTAVE), _STEPS - 1 - _PER_OCTAVE)
