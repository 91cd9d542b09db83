"""Short histories of cumulative records: what turns "around that request" into two records to make rates of.

A series keeps its first record and the last 64 (a minute, at one a second). Where the counters of a record do not
continue those before it (a device that was replaced, a CPU that went offline, a clock that went back) it starts anew.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT: Final = 64
_LATE_NS: Final = 3_000_000_000
_MAX_NAMES: Final = 64


class Timed(Protocol):
    """A record."""

    @property
    def at_ns(self) -> int:
        """When it was made."""


R = TypeVar("R", bound=Timed)


class Span(NamedTuple):
    """A stretch of time; without a beginning it begins with the first record."""

    from_ns: int | None
    until_ns: int


class Series(Generic[R]):
    """The records of one subject: a host, a device, a cgroup."""

    __slots__ = ("_continues", "_first", "_kept")

    def __init__(self, continues: Callable[[R, R], bool]) -> None:
        """`continues` says whether the second record's counters go on from those of the first."""
        self._continues = continues
        self._first: R | None = None
        self._kept: deque[R] = deque(maxlen=KEPT)

    @property
    def latest(self) -> R | None:
        """The newest record."""
        return self._kept[-1] if self._kept else None

    def add(self, record: R) -> R | None:
        """Take in a record; returns the one that it continues, if there is one."""
        last = self.latest
        if last is None or record.at_ns <= last.at_ns or not self._continues(last, record):
            self._kept.clear()
            self._first, last = record, None
        self._kept.append(record)
        return last

    def around(self, span: Span) -> tuple[R, R] | None:
        """Return two records that enclose a stretch as closely as may be; None where none were made near it."""
        ends = self._ends(span)
        if ends is None or self._first is None:
            return None
        before, after = ends
        return (self._first if span.from_ns is None else self._kept[before], self._kept[after])

    def within(self, span: Span) -> tuple[R, ...]:
        """Return the kept records after the first of `around` up to its second: for what counts "since the last"."""
        ends = self._ends(span)
        return () if ends is None else tuple(self._kept)[ends[0] + 1 : ends[1] + 1]

    def before(self, until_ns: int) -> R | None:
        """Return the newest kept record of at most this time."""
        index = bisect_right(self._kept, until_ns, key=_at) - 1
        return self._kept[index] if index >= 0 else None

    def _ends(self, span: Span) -> tuple[int, int] | None:
        kept = self._kept
        if len(kept) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        after = min(bisect_left(kept, span.until_ns, key=_at), len(kept) - 1)
        if span.from_ns is None:
            return (0, after) if after else None
        if not after or span.from_ns - kept[-1].at_ns > max(_LATE_NS, 2 * (kept[-1].at_ns - kept[-2].at_ns)):
            return None
        before = bisect_right(kept, span.from_ns, key=_at) - 1
        return min(max(before, 0), after - 1), after


class Named(Generic[R]):
    """A series for each name, at most 64: of more, those that were not heard of for longest are forgotten."""

    __slots__ = ("_by_name", "_continues")

    def __init__(self, continues: Callable[[R, R], bool]) -> None:
        self._continues = continues
        self._by_name: dict[str, Series[R]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, name: str, record: R) -> R | None:
        """Take in a record of this name; returns the one that it continues."""
        series = self._by_name.pop(name, None) or Series(self._continues)
        if len(self._by_name) >= _MAX_NAMES:
            del self._by_name[next(iter(self._by_name))]
        self._by_name[name] = series
        return series.add(record)

    def of(self, name: str) -> Series[R] | None:
        """Return the series of a name."""
        return self._by_name.get(name)

    def around(self, span: Span) -> Iterator[tuple[str, tuple[R, R]]]:
        """Return name and enclosing records of all that have any, by name."""
        for name in sorted(self._by_name):
            pair = self._by_name[name].around(span)
            if pair is not None:
                yield name, pair


def _at(record: Timed) -> int:
    return record.at_ns
