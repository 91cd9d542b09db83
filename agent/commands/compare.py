"""`perfwatch compare`: what changed from one recording to another."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it

import click

from perfwatch.agent.commands import options
from perfwatch.agent.compare_text import lines
from perfwatch.agent.comparing import compare as compared
from perfwatch.agent.report_cells import clean
from perfwatch.agent.report_reading import read_session


@click.command(
    epilog="""\b
Examples:
  perfwatch compare before.perfwatch after.perfwatch
"""
)
@click.argument("before", type=options.FILE)
@click.argument("after", type=options.FILE)
def compare(before: Path, after: Path) -> None:
    """Say what changed from one recording to another: latency, causes and code, by endpoint."""
    comparison = compared(read_session(before).view, read_session(after).view)
    for line in lines(comparison):
        click.echo(clean(line))
