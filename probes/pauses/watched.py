"""Turns the writes to one collector's flag into pauses with their generation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.pauses.pairing import Pairing
from perfwatch.probes.pauses.settling import Settling, Steady
from perfwatch.probes.pauses.writing import Writers
from perfwatch.probes.readers.watchpoint import Exit, Lost, Write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.cpython.memory import Memory
    from perfwatch.probes.pauses.counting import CollectorCounts
    from perfwatch.probes.pauses.settling import Told
    from perfwatch.probes.readers.watchpoint import Event

_LOOKS: Final = 3
"""So often a moment is looked for at which it does not run."""


class WatchedCollector:
    """One collector whose flag is watched since before this was made. What it reads raises Vanished."""

    def __init__(self, counts: CollectorCounts, memory: Memory) -> None:
        self._counts = counts
        self._writers = Writers(memory)
        self._pairing = Pairing()
        self._steady = self._look()
        self._settling = Settling(self._steady)

    @property
    def missed(self) -> int:
        """Collections that were counted and not seen, cumulative."""
        return self._settling.missed

    def look(self) -> None:
        """Look at the counts, before the writes that belong to them are read; 6 us."""
        self._steady = self._look()

    def _look(self) -> Steady | None:
        for _ in range(_LOOKS):
            first, at_ns, second = self._counts.read(), time.monotonic_ns(), self._counts.read()
            if first and second and first.ran == second.ran and not (first.is_running or second.is_running):
                return Steady(at_ns, second)
        return None

    def take(self, events: Iterable[Event]) -> int:
        """Take in what was seen, of each thread in order of time; return the number of writes."""
        writes = 0
        for event in events:
            match event:
                case Write(at_ns, _, tid, after):
                    writes += 1
                    pause = self._pairing.write(at_ns, tid, self._writers.what(after))
                case Exit(at_ns, _, tid):
                    pause = self._pairing.end(at_ns, tid)
                case Lost(at_ns, number):
                    writes += number
                    self._pairing.forget(at_ns)
                    continue
            if pause:
                self._settling.add(pause)
        return writes

    def settle(self) -> list[Told]:
        """Return the pauses that can be told by now."""
        if self._steady:
            self._pairing.forget(self._steady.at_ns)
        return self._settling.settle(self._steady)

    def rest(self) -> list[Told]:
        """Return the pauses that are not told yet: it is not watched any more."""
        return self._settling.rest()

    def end(self, at_ns: int) -> list[Told]:
        """Return what is not told yet, and in what its threads ended; they still ran at `at_ns`."""
        for tid in self._pairing.running():
            pause = self._pairing.end(at_ns, tid)
            if pause and pause.ended_ns > pause.started_ns:
                self._settling.add(pause)
        return self.rest()
