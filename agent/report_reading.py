"""Reads a recording to its end, and makes its report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_build_recorded import with_recorded
from perfwatch.agent.selection import latest
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.trend import Trend
from perfwatch.probes.records import HostSample, Loss, ProcessSample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from perfwatch.agent.model import Request, SessionInfo, View
    from perfwatch.agent.report_contract import Report
    from perfwatch.probes.records import Record


class Read(NamedTuple):
    """A recording, read to its end."""

    info: SessionInfo
    view: View
    judged: Sequence[Request]
    report: Report


def read_session(file: Path) -> Read:
    """Read a session file and make its report; raises PerfwatchError if it is none."""
    with SessionReader(file) as session:
        return read_to_end(session)


def read_to_end(session: SessionReader) -> Read:
    """Read a session that is open to its end, and make its report."""
    counts: Counter[str] = Counter()
    trend = Trend(session.info.started_ns)
    view, judged = correlate(session.info, trend.passing(_counted(session, counts)))
    trend.judged(latest(judged))
    notes = (session.note,) if session.note else ()
    made = build(session.info, view, judged, records=counts, notes=notes)
    charted = msgspec.structs.replace(made, timeline=tuple(trend.moments(session.info, view.now_ns)))
    return Read(session.info, view, judged, with_recorded(charted, session.verdicts()))


def _counted(session: SessionReader, counts: Counter[str]) -> Iterator[Record]:
    for record in session.records():
        counts["host" if isinstance(record, HostSample | ProcessSample) else "ledger"] += not isinstance(record, Loss)
        yield record
