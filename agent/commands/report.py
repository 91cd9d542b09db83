"""`perfwatch report`: what a recording says, as text or as JSON."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING

import click

from perfwatch.agent.commands import options
from perfwatch.agent.report import build, correlate, to_json, to_text
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import HostSample, Loss, ProcessSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.report_contract import Report
    from perfwatch.probes.records import Record


@click.command(
    epilog="""\b
Examples:
  perfwatch report slow.perfwatch
  perfwatch report slow.perfwatch --json | jq .verdict
"""
)
@click.argument("file", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (schema perfwatch.report/1).")
def report(file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Say what a recording holds: the verdict, the endpoints, the slow requests."""
    made = read_report(file)
    if as_json:
        click.echo(to_json(made), nl=False)
    else:
        click.echo(to_text(made, text_width()), nl=False)


def read_report(file: Path) -> Report:
    """Make the report of a session file; raises PerfwatchError if it is none."""
    with SessionReader(file) as session:
        counts: Counter[str] = Counter()
        view, requests = correlate(session.info, _counted(session, counts))
        notes = (session.note,) if session.note else ()
        return build(session.info, view, requests, records=counts, notes=notes)


def text_width() -> int:
    """Width of a text report: the terminal's, within what reads well."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 80), 120)


def _counted(session: SessionReader, counts: Counter[str]) -> Iterator[Record]:
    for record in session.records():
        counts["host" if isinstance(record, HostSample | ProcessSample) else "ledger"] += not isinstance(record, Loss)
        yield record
