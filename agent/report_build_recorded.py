"""What a recording keeps of the verdicts that were given live, beside those that a report makes anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.findings import counted
from perfwatch.agent.report_build_queues import encodable
from perfwatch.agent.report_contract import RecordedVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from perfwatch.agent.report_contract import Report, RequestReport
    from perfwatch.agent.session.stored import StoredVerdict

_WHERE: Final = "as it was said live: report --json, slow_requests[].recorded"


def with_recorded(report: Report, verdicts: Iterable[StoredVerdict]) -> Report:
    """Add to each request what was recorded of it, and to the notes how many are judged otherwise today."""
    recorded = {one.request_id: one for one in verdicts}
    requests = [_with_own(one, recorded) for one in report.slow_requests]
    changed = note_changes(requests)
    notes = [*report.notes, changed] if changed else report.notes
    return msgspec.structs.replace(report, slow_requests=requests, notes=notes)


def _with_own(request: RequestReport, recorded: Mapping[int, StoredVerdict]) -> RequestReport:
    one = recorded.get(request.id)
    if one is None:
        return request
    principle, mechanism = encodable(one.principle), encodable(one.mechanism)
    told = RecordedVerdict(principle, mechanism, one.share, one.confidence, encodable(one.summary))
    return msgspec.structs.replace(request, recorded=told)


def note_changes(requests: Iterable[RequestReport]) -> str | None:
    """Say how many requests are judged otherwise today; None where none is."""
    pairs = [(one, one.recorded) for one in requests if one.recorded is not None]
    changed = sum((one.principle, one.mechanism) != (then.principle, then.mechanism) for one, then in pairs)
    if not changed:
        return None
    return f"of {counted(len(pairs), 'recorded verdict')} {changed} would be another by the rules of today ({_WHERE})"
