"""What is known of the Python code around the requests: stacks of threads, the interpreter's lock, its collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.gc_runs import Pauses
from perfwatch.agent.correlator.interpreters import Interpreters, Paused
from perfwatch.agent.correlator.recent import RecentLists
from perfwatch.agent.correlator.spans import Spans
from perfwatch.agent.model import resumed_at
from perfwatch.probes import frames

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model_queues import Interpreter
    from perfwatch.probes.frames import Frame, GcPause, StackTable, ThreadStacks
    from perfwatch.probes.records import ThreadWait

CodeRecord: TypeAlias = frames.ThreadStacks | frames.PythonSample | frames.GcPause | frames.Span
_PAUSES: Final = 8192
_EACH: Final = 512
"""So many runs since the first reading are added up anew for each view; of more, those before it do not matter."""
_SIGHTINGS: Final = 32_768
"""Of all threads: 10 s of 64 threads at 50 Hz."""
_WAITS: Final = 8192
_MAX_PROCESSES: Final = 256


class Sighting(NamedTuple):
    """What a thread was executing at one moment, as it was read from outside."""

    at_ns: int
    tid: int
    table: StackTable
    place: int
    holds_gil: bool

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The stack, the innermost frame first."""
        return self.table.stack(self.place)


class Code:
    """The newest of each; bounded."""

    def __init__(self) -> None:
        self.interpreters = Interpreters()
        self._pauses: RecentLists[int, GcPause] = RecentLists(_PAUSES)
        self._by_thread: RecentLists[int, Sighting] = RecentLists(_SIGHTINGS)
        self._holding: RecentLists[int, Sighting] = RecentLists(_SIGHTINGS)
        self._waits: RecentLists[int, ThreadWait] = RecentLists(_WAITS)
        self._paused: dict[int, Paused] = {}
        self.runs = Pauses()
        self.spans = Spans()

    def take(self, record: CodeRecord) -> None:
        """Keep a record; costs about 2 us, and 0.3 us for each stack that was read."""
        match record:
            case frames.GcPause():
                self._collected(record)
            case frames.ThreadStacks():
                self._sighted(record)
            case frames.PythonSample():
                self.interpreters.sample(record)
            case frames.Span():
                self.spans.take(record)

    def waited(self, record: ThreadWait) -> None:
        """Keep a wait of a thread that serves no request; costs 1 us."""
        self._waits.add(record.tid, record)

    def waits(self, tid: int, span: Span) -> list[ThreadWait]:
        """Return the waits of a thread that overlap a stretch of time in which it served no request, in order."""
        found = []
        for one in self._waits.newest(tid):
            if resumed_at(one.wait) < (span.from_ns or 0):
                break
            if one.wait.started_ns < span.until_ns:
                found.append(one)
        return found[::-1]

    def pauses(self, pid: int, span: Span) -> list[GcPause]:
        """Return the runs of a process's collector that overlap a stretch of time, in order."""
        found = []
        for pause in self._pauses.newest(pid):
            if pause.at_ns < (span.from_ns or 0):
                break
            if pause.started_ns < span.until_ns and pause.started_ns + pause.paused_ns > (span.from_ns or 0):
                found.append(pause)
        return found[::-1]

    def sightings(self, tid: int, span: Span) -> list[Sighting]:
        """Return what a thread was executing, in order of time."""
        return _within(self._by_thread, tid, span)

    def newest(self, tid: int) -> Sighting | None:
        """Return what a thread was executing last."""
        return next(self._by_thread.newest(tid), None)

    def stack_of(self, tid: int) -> tuple[Frame, ...]:
        """Return the stack of that; none where it was not read."""
        newest = self.newest(tid)
        return () if newest is None else newest.frames

    def holders(self, pid: int, span: Span) -> list[Sighting]:
        """Return the threads of a process that were found holding its interpreter lock, in order of time."""
        return _within(self._holding, pid, span)

    def over(self, span: Span) -> tuple[Interpreter, ...]:
        """Return what the interpreter of each process did over a stretch that ends now."""

        def lately(pid: int, between: Span) -> Paused:
            return Paused.of([max(pause.paused_ns, 0) for pause in self.pauses(pid, between)])

        def ever(pid: int, between: Span) -> Paused:
            total = self._paused.get(pid, Paused())
            return lately(pid, between) if total.runs <= _EACH else total

        return self.interpreters.over(span, ever if span.from_ns is None else lately)

    def _collected(self, pause: GcPause) -> None:
        self._pauses.add(pause.pid, pause)
        self.runs.add(pause)
        before = self._paused.pop(pause.pid, Paused())
        if len(self._paused) >= _MAX_PROCESSES:
            del self._paused[next(iter(self._paused))]
        self._paused[pause.pid] = before.and_one_of(pause.paused_ns)

    def _sighted(self, record: ThreadStacks) -> None:
        table = record.table
        for sample in record.samples[:_SIGHTINGS]:
            sighting = Sighting(sample.at_ns, sample.tid, table, sample.stack, sample.holds_gil)
            self._by_thread.add(sample.tid, sighting)
            if sample.holds_gil:
                self._holding.add(record.pid, sighting)


def _within(kept: RecentLists[int, Sighting], key: int, span: Span) -> list[Sighting]:
    found = []
    for sighting in kept.newest(key):
        if sighting.at_ns < (span.from_ns or 0):
            break
        if sighting.at_ns <= span.until_ns:
            found.append(sighting)
    return found[::-1]
