"""Brings pauses and the collector's counts together, at moments when it did not run: then both speak of the same. Pure.

More counted than seen: some were missed, or are told a moment later. More seen than counted: it was called and found
nothing to do (3.12 and later: objects were freed after it had become due), which takes least time: no pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.pauses.generations import generations, ran_between

if TYPE_CHECKING:
    from perfwatch.probes.pauses.counting import Counts
    from perfwatch.probes.pauses.pairing import Pause

MAX_PENDING: Final = 4096
MOST_FREED: Final = 1 << 48
_UNSURE_READINGS: Final = 50
"""After so many without such a moment, pauses are told without their generation."""
_OWED_READINGS: Final = 2
"""For so long more may be counted than seen; then they were missed."""


class Steady(NamedTuple):
    """The collector at a moment when it did not run."""

    at_ns: int
    counts: Counts


class Told(NamedTuple):
    """A pause, and the generation that was collected, if that is known."""

    pause: Pause
    generation: int | None
    collected: int | None = None
    """Objects that it freed."""


class Settling:
    """The pauses of one process that are not told yet."""

    def __init__(self, before: Steady | None) -> None:
        """Count from a moment on; None: from the next one that is known."""
        self._before = before
        self._pending: list[Pause] = []
        self._unsure = self._owed = 0
        self.missed = 0
        """Collections that were counted and not seen, cumulative."""

    def add(self, pause: Pause) -> None:
        """Take in a pause that has ended."""
        self._pending.append(pause)

    def settle(self, steady: Steady | None) -> list[Told]:
        """Return the pauses whose generation is known by now, or will not be; None: the collector always ran."""
        if steady is None:
            self._unsure += 1
            is_late = self._unsure > _UNSURE_READINGS or len(self._pending) > MAX_PENDING
            return self._give_up(None) if is_late else []
        self._unsure = 0
        before = self._before
        ran = ran_between(before.counts, steady.counts) if before else []
        if before is None or min(ran) < 0:
            return self._give_up(steady)
        ended = [pause for pause in self._pending if before.at_ns < pause.ended_ns <= steady.at_ns]
        missing = sum(ran) - sum(pause.is_whole for pause in ended)
        if missing > 0 and self._owed < _OWED_READINGS:
            self._owed += 1
            return []
        self._owed = 0
        self.missed += max(missing, 0)
        early = [Told(pause, None) for pause in self._pending if pause.ended_ns <= before.at_ns]
        self._pending = [pause for pause in self._pending if pause.ended_ns > steady.at_ns]
        self._before = steady
        return early + _told(sorted(ended, key=_start), -missing, before.counts, steady.counts)

    def _give_up(self, steady: Steady | None) -> list[Told]:
        """Tell all without their generation, and count anew."""
        told = [Told(pause, None) for pause in self._pending]
        self._pending = []
        self._before = steady
        self._unsure = self._owed = 0
        return told

    def rest(self) -> list[Told]:
        """Return what is left when the process has ended."""
        return self._give_up(None)


def _told(ended: list[Pause], empty: int, before: Counts, after: Counts) -> list[Told]:
    """Say what each pause collected, when `empty` of them collected nothing; less than 0: so many were missed."""
    whole = [pause for pause in ended if pause.is_whole]
    for pause in sorted(whole, key=_length)[: max(empty, 0)]:
        whole.remove(pause)
    known: list[int | None] = [None] * len(whole)
    if empty >= 0:
        known = generations(before, after, [_length(pause) for pause in whole])
    elif len(kinds := [place for place, times in enumerate(ran_between(before, after)) if times]) == 1:
        known = [kinds[0]] * len(whole)
    cut = [Told(pause, None) for pause in ended if not pause.is_whole]
    freed = [_freed(before, after, generation) for generation in known]
    return [*map(Told, whole, known, freed), *cut]


def _freed(before: Counts, after: Counts, generation: int | None) -> int | None:
    """Return how many objects the only collection of a generation has freed; None where there were several."""
    if generation is None or after.ran[generation] - before.ran[generation] != 1:
        return None
    freed = after.collected[generation] - before.collected[generation]
    return freed if 0 <= freed <= MOST_FREED else None


def _start(pause: Pause) -> int:
    return pause.started_ns


def _length(pause: Pause) -> int:
    return pause.ended_ns - pause.started_ns
