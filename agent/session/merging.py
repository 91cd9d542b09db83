"""Makes one session of several that were recorded one after the other on one host."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.gaps import Gap, with_gaps
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.renumbering import Renumbering
from perfwatch.agent.session.rewriting import Rewriter, ended, loss, make

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CLOSE_NS: Final = 2_000_000_000
"""Two recordings of one host agree on its clocks to this, and one that follows another overlaps it by less."""


def merge(paths: Sequence[Path], output: Path, *, overwrite: bool = False) -> int:
    """Write one recording after the other, in order of time; PerfwatchError where their times cannot be compared."""
    with contextlib.ExitStack() as stack:
        readers = [(path, stack.enter_context(SessionReader(path))) for path in paths]
        readers.sort(key=lambda one: one[1].first_ns)
        for before, after in pairwise(readers):
            _check_order(*before, *after)
        (_, first), (_, last) = readers[0], readers[-1]
        info = first.info.with_clocks(clock for _, reader in readers for clock in reader.info.clocks)

        def fill(rewriter: Rewriter) -> str:
            previous = None
            for path, reader in readers:
                moved = Renumbering() if reader.info.previous == previous else rewriter.highest.beyond
                previous = path.name
                for part in with_gaps(reader):
                    if isinstance(part, Gap):
                        rewriter.second((loss(part, reader.first_ns),), ())
                    else:
                        rewriter.second(list(map(moved.record, part.records)), list(map(moved.verdict, part.verdicts)))
            return ended(last)

        return make(output, info, fill, overwrite=overwrite)


def _check_order(path: Path, before: SessionReader, later: Path, after: SessionReader) -> None:
    """Raise PerfwatchError unless a recording follows another, on the same host, without a restart between."""
    apart_s = abs(before.info.unix_s(after.info.started_ns) - after.info.started_unix_ns / 1e9)
    is_told = any(clock.at_ns > before.last_ns for clock in after.info.clocks)
    if before.info.hostname != after.info.hostname or (apart_s > _CLOSE_NS / 1e9 and not is_told):
        raise PerfwatchError(
            f"{path} and {later} cannot be merged: they are of two hosts, or it was restarted between them",
            "report on each; perfwatch compare holds them against each other",
        )
    if after.first_ns < before.last_ns - _CLOSE_NS:
        raise PerfwatchError(
            f"{path} and {later} overlap in time: merge joins recordings one after the other",
            "cut one of them with perfwatch session cut",
        )
