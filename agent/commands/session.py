"""`perfwatch session`: what a session file is, whether it is whole, and new ones made of it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING, Final

import click

from perfwatch.agent.commands import options, session_rewriting
from perfwatch.agent.commands.session_redact import redact
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.json_text import json_text
from perfwatch.agent.report_cells import clean
from perfwatch.agent.report_layout import moment
from perfwatch.agent.report_sentences import counted
from perfwatch.agent.session.copying import copy as copy_session
from perfwatch.agent.session.gaps import verified
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.summary import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.session.gaps import Gap

_DAY: Final = "%Y-%m-%d %H:%M:%S"
_CLOCK: Final = "%H:%M:%S"
_MANY: Final = 20
"""Gaps that are told one by one."""


@click.group(
    epilog="""\b
Examples:
  perfwatch session info slow.perfwatch
  perfwatch session verify slow.perfwatch
  perfwatch session cut day.perfwatch --from 10:27 --to 10:30 -o incident.perfwatch
"""
)
def session() -> None:
    """Look after session files: what one is, whether it is whole, and new ones made of it.

    No command changes FILE: what comes of it is another file.
    """


@session.command(
    epilog="""\b
Examples:
  perfwatch session info slow.perfwatch
  perfwatch session info slow.perfwatch --json | jq .state
"""
)
@click.argument("file", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def info(file: Path, *, as_json: bool) -> None:
    """Say what a session is: its format, state, length and size, and what was recorded; without reading all of it."""
    summary = summarize(file)
    if as_json:
        click.echo(json_text(summary), nl=False)
        return
    for name, told in _described(summary):
        click.echo(clean(f"{name:<10} {told}"))


@session.command(
    epilog="""\b
Examples:
  perfwatch session verify slow.perfwatch
"""
)
@click.argument("file", type=options.FILE)
def verify(file: Path) -> None:
    """Read all of a session, and check every second of it; exit code 1 where something that was recorded is lost."""
    with SessionReader(file) as reader:
        found = verified(reader)
        for gap in found.gaps[:_MANY]:
            click.echo(clean(_lost(gap, reader.info)))
        if len(found.gaps) > _MANY:
            click.echo(f"and {len(found.gaps) - _MANY} more")
        if reader.is_damaged:
            lost = f"{found.lost} of {counted(found.seconds, 'second')} lost" if found.lost else found.note
            raise PerfwatchError(f"{file} is damaged: {lost}", f"perfwatch session repair {file} -o OUT")
    note = f"; {found.note}" if found.note else ""
    records, verdicts = counted(found.records, "record"), counted(found.verdicts, "verdict")
    click.echo(clean(f"whole: {counted(found.seconds, 'second')}, {records}, {verdicts}{note}"))


@session.command(
    epilog="""\b
Examples:
  perfwatch session copy /var/lib/perfwatch/now.perfwatch -o now.perfwatch
"""
)
@click.argument("file", type=options.FILE)
@options.made
def copy(file: Path, output: Path, *, overwrite: bool) -> None:
    """Copy a session to one file, also while it is recorded: the recorder goes on."""
    copy_session(file, output, overwrite=overwrite)
    click.echo(f"wrote {output}", err=True)


for command in (*session_rewriting.COMMANDS, redact):
    session.add_command(command)


def _described(summary: Summary) -> Iterator[tuple[str, str]]:
    ended = f": {summary.ended}" if summary.ended else ""
    rate = "" if summary.bytes_per_s is None else f", {summary.bytes_per_s / 1e3:.1f} kB a second"
    yield "file", f"{summary.file}: format {summary.format}, {summary.bytes / 1e6:.1f} MB{rate}"
    yield "state", f"{summary.state}{ended}"
    yield "recorded", f"{moment(summary.first, _DAY)} to {moment(summary.last, _DAY)} UTC, {summary.duration_s:.1f} s"
    yield "of", f"{summary.command} (pid {summary.pid}) on {summary.hostname}, {summary.fidelity}"
    yield "by", f"perfwatch {summary.perfwatch_version}"
    counts = (summary.seconds, "second"), (summary.records, "record"), (summary.verdicts, "verdict")
    yield "holds", ", ".join(counted(*one) for one in counts)
    if summary.clock_changes:
        yield (
            "clocks",
            f"the wall clock was told anew {counted(summary.clock_changes, 'time')}: set, slewed, or a suspend",
        )
    if summary.note:
        yield "note", summary.note


def _lost(gap: Gap, info: SessionInfo) -> str:
    begin = "the beginning" if gap.after_ns is None else moment(info.unix_s(gap.after_ns), _CLOCK)
    end = "the end" if gap.before_ns is None else moment(info.unix_s(gap.before_ns), _CLOCK)
    records = "" if gap.records is None else f", {counted(gap.records, 'record')}"
    return f"lost: {counted(gap.seconds, 'second')}{records} between {begin} and {end} (UTC)"
