"""Moments of a whole stream at which something happened, whatever the view has seen of it: where one goes to look.

They come as records do, or out of the index of a session, in any order; each kind is bounded: what is too dense is
thinned out, to one moment in so many seconds.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from perfwatch.agent.model import has_failed
from perfwatch.probes.frames import GcPause
from perfwatch.probes.records import ServedRequest, TargetChange
from perfwatch.probes.samples import CgroupSample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import Record, Request

MarkKind: TypeAlias = Literal["slow", "error", "gc", "throttled", "target", "bookmark"]
MARK_KINDS: Final[tuple[MarkKind, ...]] = get_args(MarkKind)
LONG_GC_NS: Final = 10_000_000
"""A pause of the garbage collector that is worth a mark."""
RESTARTS: Final = ("executed", "exited", "gone")
"""Changes of a target that are."""
MAX_MARKS: Final = 50_000
"""Of one kind."""
_SECOND_NS: Final = 1_000_000_000


class Marks:
    """One thread adds, any may read."""

    def __init__(self) -> None:
        self._kinds = {kind: _Moments() for kind in MARK_KINDS}
        self._throttled_ns: dict[str, int] = {}

    def add(self, kind: MarkKind, at_ns: int) -> None:
        """Set one, unless it is there."""
        self._kinds[kind].add(at_ns)

    def remove(self, kind: MarkKind, at_ns: int) -> None:
        """Take one away."""
        self._kinds[kind].remove(at_ns)

    def judged(self, requests: Iterable[Request]) -> None:
        """Mark the requests that were slow: when they were known, so that one who goes there finds them."""
        for request in requests:
            self.add("slow", request.record.at_ns)

    def take(self, record: Record) -> None:
        """Mark what a record tells by itself."""
        match record:
            case ServedRequest():
                if has_failed(record):
                    self.add("error", record.at_ns)
            case GcPause() if record.paused_ns >= LONG_GC_NS:
                self.add("gc", record.at_ns)
            case CgroupSample():
                self.throttled(record.path, record.at_ns, record.throttled_ns)
            case TargetChange() if record.change in RESTARTS:
                self.add("target", record.at_ns)

    def throttled(self, path: str, at_ns: int, throttled_ns: int | None) -> None:
        """Mark a cgroup's sample that was throttled since the one before."""
        before = self._throttled_ns.get(path)
        if throttled_ns is None:
            return
        if len(self._throttled_ns) < MAX_MARKS or before is not None:
            self._throttled_ns[path] = throttled_ns
        if before is not None and throttled_ns > before:
            self.add("throttled", at_ns)

    def before(self, kind: MarkKind, at_ns: int) -> int | None:
        """Return the last one before a moment."""
        return self._kinds[kind].before(at_ns)

    def after(self, kind: MarkKind, at_ns: int) -> int | None:
        """Return the first one after a moment."""
        return self._kinds[kind].after(at_ns)

    def is_between(self, kind: MarkKind, begin_ns: int, end_ns: int) -> bool:
        """Whether there is one from a moment on, and before another."""
        found = self._kinds[kind].after(begin_ns - 1)
        return found is not None and found < end_ns


class _Moments:
    """Times in order."""

    def __init__(self) -> None:
        self._times = array("q")
        self._apart_ns = 1

    def add(self, at_ns: int) -> None:
        if not -(1 << 62) < at_ns < 1 << 62:  # a record may claim any time
            return
        times, number = self._times, at_ns // self._apart_ns
        place = bisect_left(times, number * self._apart_ns)
        if place < len(times) and times[place] // self._apart_ns == number:
            return
        times.insert(place, at_ns)
        if len(times) > MAX_MARKS:
            self._thin()

    def remove(self, at_ns: int) -> None:
        place = bisect_left(self._times, at_ns)
        if place < len(self._times) and self._times[place] == at_ns:
            self._times.pop(place)

    def _thin(self) -> None:
        """Leave one of so many seconds, until there is room for half as many more."""
        while len(self._times) > MAX_MARKS // 2:
            self._apart_ns = max(_SECOND_NS, 2 * self._apart_ns)
            kept = array("q")
            for at_ns in self._times:
                if not kept or kept[-1] // self._apart_ns != at_ns // self._apart_ns:
                    kept.append(at_ns)
            self._times = kept

    def before(self, at_ns: int) -> int | None:
        times = self._times
        place = bisect_left(times, at_ns)
        return times[place - 1] if place else None

    def after(self, at_ns: int) -> int | None:
        times = self._times
        place = bisect_right(times, at_ns)
        return times[place] if place < len(times) else None
