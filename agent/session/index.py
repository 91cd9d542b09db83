"""The marks of a whole session, out of its tables and not out of its seconds, a stretch at a time.

What the rows say is not checked here: a mark leads somewhere, and what is shown there is.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.marks import LONG_GC_NS, RESTARTS, MarkKind, Marks
from perfwatch.agent.session.fetch import UNSOUND
from perfwatch.probes.frames import GcPause
from perfwatch.probes.samples import CgroupSample

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from perfwatch.agent.session.format import Format

STRETCH: Final = 60
"""Seconds that are read at a time: about 10 ms of a busy server's."""
_MOST: Final = 100
"""Marks of a kind in one second."""
_LATER: Final = 5
"""Seconds after a request within which its verdict is given."""
_KEPT: Final = "SELECT marks FROM seconds WHERE number BETWEEN ? AND ? AND marks IS NOT NULL"
_SPAN: Final = """
SELECT min(first_seq), max(first_seq + records), min(first_verdict), max(first_verdict + verdicts)
FROM seconds WHERE number BETWEEN ? AND ?"""
_REQUESTS: Final = """
SELECT at_ns, coalesce(status >= 500, 0) OR outcome <> 'answered' AS failed, id IN judged AS slow FROM requests
WHERE seq BETWEEN ? AND ? AND (failed OR slow)"""
_JUDGED: Final = "WITH judged AS MATERIALIZED (SELECT request_id FROM verdicts WHERE seq BETWEEN ? AND ?)"
_PAUSES: Final = "SELECT at_ns FROM gc_pauses WHERE seq BETWEEN ? AND ? AND paused_ns >= ?"
_CGROUPS: Final = "SELECT path, at_ns, throttled_ns FROM cgroups WHERE seq BETWEEN ? AND ? ORDER BY seq"
_CHANGES: Final = "SELECT at_ns FROM target_changes WHERE seq BETWEEN ? AND ? AND change IN (?, ?, ?)"


class Index:
    """Reads one session from its first second to its last."""

    def __init__(self, db: sqlite3.Connection, of: Format, numbers: Sequence[int], marks: Marks) -> None:
        self._db, self._marks = db, marks
        self._is_packed = of.is_packed
        self._has = {kind: kind in of.record_tables for kind in (GcPause, CgroupSample)}
        self._next, self._last = (numbers[0], numbers[-1]) if numbers else (1, 0)

    @property
    def is_done(self) -> bool:
        """Whether the whole session was read."""
        return self._next > self._last

    def step(self) -> None:
        """Read the next stretch; of one that is damaged what can be read."""
        first, self._next = self._next, self._next + STRETCH
        with contextlib.suppress(*UNSOUND):
            (self._take if self._is_packed else self._read)(first, self._next - 1)

    def _take(self, first: int, last: int) -> None:
        """Take the marks that were made when it was recorded: of each second the first few of a kind."""
        for (told,) in self._db.execute(_KEPT, (first, last)):
            for kind, times in _decoder.decode(told).items():
                for at_ns in times[:_MOST]:
                    self._marks.add(kind, at_ns)

    def _read(self, first: int, last: int) -> None:
        marks = self._marks
        seq = self._span(first, last)[:2]
        judged = self._span(first, last + _LATER)[2:]
        requests = self._db.execute(_JUDGED + _REQUESTS, (*judged, *seq)).fetchall()
        for at_ns, failed, slow in msgspec.convert(requests, list[tuple[int, int, int]]):
            if failed:
                marks.add("error", at_ns)
            if slow:
                marks.add("slow", at_ns)
        for (at_ns,) in self._times(_CHANGES, *seq, *RESTARTS):
            marks.add("target", at_ns)
        if self._has[GcPause]:
            for (at_ns,) in self._times(_PAUSES, *seq, LONG_GC_NS):
                marks.add("gc", at_ns)
        if self._has[CgroupSample]:
            for row in msgspec.convert(self._db.execute(_CGROUPS, seq).fetchall(), list[tuple[str, int, int | None]]):
                marks.throttled(*row)

    def _times(self, query: str, *arguments: int | str) -> list[tuple[int]]:
        return msgspec.convert(self._db.execute(query, arguments).fetchall(), list[tuple[int]])

    def _span(self, first: int, last: int) -> tuple[int, int, int, int]:
        """Return the first and last `seq` of the records and of the verdicts of some seconds."""
        found = self._db.execute(_SPAN, (first, last)).fetchone()
        if found[0] is None:
            return 1, 0, 1, 0
        begin, end, first_verdict, end_verdict = msgspec.convert(found, tuple[int, int, int, int])
        return begin, end - 1, first_verdict, end_verdict - 1


_decoder: Final = msgspec.json.Decoder(dict[MarkKind, list[int]])
