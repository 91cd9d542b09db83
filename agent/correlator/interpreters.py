"""The Python of each process of the target: who held its interpreter lock, what its collector did.

Shares of the lock are shares of readings: it was looked at so often, and was held by that thread in so many of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import grown, part, per_second
from perfwatch.agent.correlator.series import Named, Span
from perfwatch.agent.model_queues import GilShare, Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.probes.frames import PythonSample

_HOLDERS: Final = 5
_MAX_INTERPRETERS: Final = 16
_MAX_THREADS: Final = 1024
_MAX_CHARS: Final = 64
_GENERATIONS: Final = 3


class Paused(NamedTuple):
    """What single runs of a collector add up to."""

    runs: int = 0
    paused_ns: int = 0
    longest_ns: int = 0

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Paused:
        """Add up their lengths."""
        return cls(len(lengths), sum(lengths), max(lengths, default=0))

    def and_one_of(self, paused_ns: int) -> Paused:
        """Return the sums with one more run."""
        paused_ns = max(paused_ns, 0)
        return Paused(self.runs + 1, self.paused_ns + paused_ns, max(self.longest_ns, paused_ns))


class GilRate(NamedTuple):
    """An interpreter lock over a stretch of time."""

    held: float
    """Part of the readings in which some thread held it, 0..1."""
    handoffs_s: float | None
    holders: tuple[tuple[int, float], ...]
    """(thread, part of the readings in which it held the lock), the largest first."""


class GcRate(NamedTuple):
    """What a collector did over a stretch of time, the youngest generation first; empty where it is not known."""

    collections: tuple[int, ...]
    collected: tuple[int, ...]


class Interpreters:
    """The readings of each process."""

    def __init__(self) -> None:
        self._samples: Named[PythonSample] = Named(_continues)

    def sample(self, sample: PythonSample) -> None:
        """Take in a reading; costs about 2 us."""
        self._samples.add(str(sample.pid), sample)

    def latest(self, pid: int) -> PythonSample | None:
        """Return the last reading of a process."""
        series = self._samples.of(str(pid))
        return None if series is None else series.latest

    def thread_name(self, pid: int, tid: int) -> str | None:
        """Return what a thread is called in Python."""
        return self.names(pid).get(tid)

    def names(self, pid: int) -> dict[int, str]:
        """Return what the threads of a process are called in Python, as far as that is known."""
        latest = self.latest(pid)
        named = () if latest is None else latest.threads[:_MAX_THREADS]
        return {one.tid: one.name[:_MAX_CHARS] for one in named if one.name}

    def gil(self, pid: int, span: Span) -> GilRate | None:
        """Return who held the lock of a process around a stretch of time."""
        pair = self._around(pid, span)
        return None if pair is None else gil_rate(*pair)

    def held(self, pid: int, span: Span) -> dict[int, float] | None:
        """Return in which part of the readings each thread held the lock; None where it was not looked at."""
        pair = self._around(pid, span)
        readings = None if pair is None else grown(pair[0].gil_readings, pair[1].gil_readings)
        return {tid: part(count, readings) for tid, count in _held(*pair)} if pair is not None and readings else None

    def gc(self, pid: int, span: Span) -> GcRate | None:
        """Return what the collector of a process did around a stretch of time."""
        pair = self._around(pid, span)
        return None if pair is None else gc_rate(*pair)

    def over(self, span: Span, paused: Callable[[int, Span], Paused]) -> tuple[Interpreter, ...]:
        """Describe them all; `paused` says what the single runs of a process's collector add up to meanwhile."""
        told = [
            self._described(before, after, paused(after.pid, Span(before.at_ns, after.at_ns)))
            for _, (before, after) in self._samples.around(span)
        ]
        told.sort(key=lambda one: (-(one.gil_held or 0.0), one.pid))
        return tuple(told[:_MAX_INTERPRETERS])

    def _around(self, pid: int, span: Span) -> tuple[PythonSample, PythonSample] | None:
        series = self._samples.of(str(pid))
        return None if series is None else series.around(span)

    def _described(self, before: PythonSample, after: PythonSample, paused: Paused) -> Interpreter:
        passed_ns = after.at_ns - before.at_ns
        gil, gc = gil_rate(before, after), gc_rate(before, after)
        runs = sum(gc.collections) if gc.collections else paused.runs or None
        was_seen = bool(paused.runs) or runs == 0
        return Interpreter(
            pid=after.pid,
            version=after.version[:_MAX_CHARS],
            gil_held=None if gil is None else gil.held,
            gil_handoffs_s=None if gil is None else gil.handoffs_s,
            holders=tuple(
                GilShare(tid, self.thread_name(after.pid, tid), share) for tid, share in (gil.holders if gil else ())
            ),
            gc_pauses_s=per_second(runs, passed_ns),
            gc_longest_ms=paused.longest_ns / 1e6 if was_seen else None,
            gc_share=part(paused.paused_ns, passed_ns) if was_seen else None,
            gc_thresholds=thresholds(after),
            gc_collections=gc.collections,
            gc_collected=sum(gc.collected),
        )


def gil_rate(before: PythonSample, after: PythonSample) -> GilRate | None:
    """Return who held an interpreter lock between two readings; None where it was not looked at."""
    readings = grown(before.gil_readings, after.gil_readings)
    if not readings:
        return None
    free = grown(before.gil_free, after.gil_free) or 0
    held = _held(before, after)
    held.sort(key=lambda one: (-one[1], one[0]))
    return GilRate(
        held=1.0 - part(free, readings),
        handoffs_s=per_second(grown(before.gil_handoffs, after.gil_handoffs), after.at_ns - before.at_ns),
        holders=tuple((tid, part(count, readings)) for tid, count in held[:_HOLDERS] if count),
    )


def _held(before: PythonSample, after: PythonSample) -> list[tuple[int, int]]:
    """Pair each thread with the readings that found it holding the lock."""
    known = {one.tid: one.readings for one in before.gil_held[:_MAX_THREADS]}
    return [(one.tid, grown(known.get(one.tid, 0), one.readings) or 0) for one in after.gil_held[:_MAX_THREADS]]


def gc_rate(before: PythonSample, after: PythonSample) -> GcRate:
    """Return what a collector did between two readings."""
    pairs = list(zip(before.generations[:_GENERATIONS], after.generations[:_GENERATIONS], strict=False))
    return GcRate(
        collections=tuple(grown(old.collections, new.collections) or 0 for old, new in pairs),
        collected=tuple(grown(old.collected, new.collected) or 0 for old, new in pairs),
    )


def thresholds(sample: PythonSample) -> tuple[int, ...]:
    """Return the thresholds of the generations, the youngest first; empty where one is not known."""
    told = [one.threshold for one in sample.generations[:_GENERATIONS]]
    return tuple(one for one in told if one is not None) if None not in told else ()


def _continues(before: PythonSample, after: PythonSample) -> bool:
    """Tell an interpreter that was executed anew, or a probe that was: they count from 0."""
    return after.gil_readings >= before.gil_readings and (after.gil_handoffs or 0) >= (before.gil_handoffs or 0)
