"""What is exported: a recording that is open, and which of its requests and times are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.analysis.served import served
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.selection import Selection, picked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from perfwatch.agent.analysis.request_columns import RowKind
    from perfwatch.agent.model import Record, Request, SessionInfo
    from perfwatch.agent.session.reader import SessionReader


class Exported:
    """Streams of what is meant; each reads the recording anew, and keeps little of it in memory."""

    def __init__(self, session: SessionReader, selection: Selection | None = None, rows: RowKind = "requests") -> None:
        self._session = session
        self.selection = selection or Selection()
        self.rows: RowKind = rows
        """What a row is, where the format has rows."""

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self._session.info

    @property
    def note(self) -> str | None:
        """One line about what of the recording is missing, as far as it was read yet."""
        return self._session.note

    @property
    def is_whole(self) -> bool:
        """Whether all of the recording is meant."""
        return self.selection == Selection()

    def requests(self, watch: Callable[[Record], None] | None = None) -> Iterator[Request]:
        """Yield each request that is meant once, judged or not; PerfwatchError at the end where there was none.

        Only a judged one (`verdict`) has stacks: those are the slow ones. `watch` is shown every
        record as it is read.
        """
        records = self._session.records()
        watched = records if watch is None else _shown(records, watch)
        return picked(served(Correlator(self.info), watched), self.selection)

    def records(self) -> Iterator[Record]:
        """Yield all records of the times that are meant, in order of delivery, whatever requests are."""
        end_ns = self.selection.to_ns
        for record in self._session.records(self.selection.from_ns):
            if end_ns is None or record.at_ns <= end_ns:
                yield record


def _shown(records: Iterable[Record], watch: Callable[[Record], None]) -> Iterator[Record]:
    for record in records:
        watch(record)
        yield record
