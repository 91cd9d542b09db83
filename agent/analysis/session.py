"""A recording, opened for a program of one's own: what `perfwatch report` says, as typed values and as data frames."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, overload

from perfwatch.agent.analysis.served import served
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    import pandas as pd

    from perfwatch.agent.analysis.request_columns import CallOf
    from perfwatch.agent.model import Endpoint, Request, SessionInfo, Verdict, View
    from perfwatch.agent.report_contract import Report
    from perfwatch.agent.session.stored import StoredVerdict
    from perfwatch.probes.records import Record

_Kind = TypeVar("_Kind")


def open_session(path: str | os.PathLike[str], *, redact: bool = False, keep: Iterable[str] = ()) -> Session:
    """Open a recording; use it in a `with` block, or `close` it.

    Raises PerfwatchError, whose text says in one line why a file cannot be read. One that is still being recorded shows
    what it held at this moment. With `redact` nothing names people, machines and data (docs/sharing.md); `keep` are
    words of paths that stay.
    """
    if not redact:
        return Session(Path(path), SessionReader(Path(path)))
    from perfwatch.agent.redact.reading import open_reader  # noqa: PLC0415 - few redact

    return Session(Path(path), open_reader(Path(path), redact=True, keep=keep))


class Session:
    """A recording. All that iterates reads the file as it goes, and can be asked for as often as one likes.

    Verdicts are those that the correlator gives today; `recorded_verdicts` are those that were given live. Times are
    nanoseconds of the recording's own monotonic clock: `time` makes dates of them. Not for several threads at once.
    """

    def __init__(self, path: Path, reader: SessionReader) -> None:
        self._path = path
        self._reader: SessionReader | None = reader
        self._view: View | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {str(self._path)!r}{'' if self._reader else ', closed'}>"

    def close(self) -> None:
        """Close the file. May be called again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def info(self) -> SessionInfo:
        """What was recorded: host, target, settings, probes."""
        return self._open.info

    @property
    def started(self) -> dt.datetime:
        """When the recording began, UTC."""
        return self.time(self.info.started_ns)

    @property
    def duration_s(self) -> float:
        """From the beginning to the last record."""
        return max(self._open.last_ns - self.info.started_ns, 0) / 1e9

    @property
    def ended(self) -> str | None:
        """Why the recording ended; None for one that is still being made, or was cut off."""
        return self._open.ended

    @property
    def note(self) -> str | None:
        """What is missing or damaged in the file, as far as it was read; None if nothing is."""
        return self._open.note

    def time(self, at_ns: int) -> dt.datetime:
        """Turn a time of this recording into a date, UTC; whole microseconds."""
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=self.info.unix_ns(at_ns) // 1000)

    def requests(self) -> Iterator[Request]:
        """Yield every request that ended, once, with its ledger; those that were judged with their verdict.

        In the order in which they ended. At most 16,384 are held in memory, while later records may change them.
        """
        correlator = Correlator(self.info)
        yield from served(correlator, self._open.records())
        self._view = correlator.view()

    def calls(self) -> Iterator[CallOf]:
        """Yield what the requests asked of other processes: pairs of `request` and `call`."""
        from perfwatch.agent.analysis.request_columns import calls_of  # noqa: PLC0415 - needed by few

        return (call for request in self.requests() for call in calls_of(request))

    @overload
    def records(self) -> Iterator[Record]: ...
    @overload
    def records(self, kind: type[_Kind]) -> Iterator[_Kind]: ...
    def records(self, kind: type[object] = object) -> Iterator[object]:
        """Yield the raw records, in the order in which they were delivered; of one kind, where it is given."""
        return (record for record in self._open.records() if isinstance(record, kind))

    def recorded_verdicts(self) -> Iterator[StoredVerdict]:
        """Yield the verdicts as they were given live; of several on one request, the last stands."""
        return self._open.verdicts()

    @property
    def view(self) -> View:
        """How things stood at the end; the first time, the whole recording is read for it."""
        if self._view is None:
            for _ in self.requests():
                pass
        if self._view is None:
            raise AssertionError(self._path)
        return self._view

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole recording."""
        return self.view.verdict

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints with their verdicts, the one that costs its users most first."""
        return self.view.endpoints

    def report(self) -> Report:
        """Return what `perfwatch report --json` writes."""
        from perfwatch.agent.report_reading import read_to_end  # noqa: PLC0415 - needed by few

        return read_to_end(self._open).report

    @property
    def frames(self) -> tuple[str, ...]:
        """The names of the tables that `frame` makes."""
        from perfwatch.agent.analysis.tables import TABLES  # noqa: PLC0415 - needed by few

        return tuple(TABLES)

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table as a pandas data frame; `frames` names them. Units stand in the columns' names.

        Raises PerfwatchError without pandas, and for a name that is none.
        """
        from perfwatch.agent.analysis.frames import frame  # noqa: PLC0415 - needed by few
        from perfwatch.agent.analysis.tables import TABLES  # noqa: PLC0415

        if name not in TABLES:
            raise PerfwatchError(f"there is no table {name!r}", f"there are: {', '.join(TABLES)}")
        table = TABLES[name]
        return frame(table.columns(self.info), table.rows(self))

    @property
    def _open(self) -> SessionReader:
        if self._reader is None:
            raise PerfwatchError(f"{self._path} was closed", "use it within its `with` block")
        return self._reader
