"""Pauses of a collector whose flag is only looked at now and then: guesses, and short ones are missed. Pure.

A pause is taken to begin half way between two readings, and to end so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.pauses.generations import ran_between
from perfwatch.probes.pauses.pairing import Pause
from perfwatch.probes.pauses.settling import Told

if TYPE_CHECKING:
    from perfwatch.probes.pauses.counting import Counts


class Polling:
    """The readings of one collector, as far as they matter for the next."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._still: Counts | None = None
        """As it was found last when it did not run."""
        self._running: Pause | None = None
        self.ran = 0
        """Collections that were counted, cumulative."""
        self.missed = 0
        """Of these, those that were not seen."""

    def reading(self, at_ns: int, counts: Counts, tid: int) -> list[Told]:
        """Take in a reading; return the pause that has ended since, if one has. If it runs, then by `tid`."""
        last_ns = at_ns if self._last_ns is None else self._last_ns
        self._last_ns = at_ns
        middle_ns = (last_ns + at_ns) // 2
        if counts.is_running:
            begun = self._running or Pause(tid, middle_ns, at_ns)
            self._running = begun._replace(tid=begun.tid or tid)
            return []
        running, self._running = self._running, None
        ran = ran_between(self._still or counts, counts)
        self._still = counts
        self.ran += sum(ran)
        self.missed += max(sum(ran) - (running is not None), 0)
        if running is None:
            return []
        kinds = [generation for generation, times in enumerate(ran) if times]
        return [Told(running._replace(ended_ns=middle_ns), kinds[0] if len(kinds) == 1 else None)]
