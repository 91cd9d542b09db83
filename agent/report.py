"""The report of a session: made of its records, written as JSON or as text.

`correlate` drives a whole recording through the correlator, `build` fills the contract
(`report_contract.py`), `to_json` and `to_text` write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.shown import Reported
from perfwatch.agent.json_text import json_text
from perfwatch.agent.report_build import build
from perfwatch.agent.report_text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import Record, Request, SessionInfo, View
    from perfwatch.agent.report_contract import Report

__all__ = ["build", "correlate", "to_json", "to_text"]


def correlate(info: SessionInfo, records: Iterable[Record]) -> tuple[View, list[Request]]:
    """Return how things stood at the end, and all requests that were judged, in the order in which they were.

    A request whose record was corrected is in the list once for each time that it was judged.
    """
    correlator, judged = Correlator(info), Reported()
    for record in records:
        for request in correlator.feed(record):
            judged.add(request)
    return correlator.view(), judged.requests


def to_json(report: Report) -> str:
    """Return the report as JSON, indented, with a newline at its end."""
    return json_text(report)
