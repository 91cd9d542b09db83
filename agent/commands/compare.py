"""`perfwatch compare`: what changed from one recording to another."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING, Any, Final

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.report import text_width
from perfwatch.agent.commands.tree_options import wants_color
from perfwatch.agent.compare_text import lines
from perfwatch.agent.comparing import compare as compared
from perfwatch.agent.report_reading import read_session

if TYPE_CHECKING:
    from perfwatch.agent.compare_figures import Piece, Tone

_STYLES: Final[dict[Tone, dict[str, Any]]] = {
    "strong": {"bold": True},
    "quiet": {"dim": True},
    "worse": {"fg": "red"},
    "better": {"fg": "green"},
}


@click.command(
    epilog="""\b
Examples:
  perfwatch compare before.perfwatch after.perfwatch
"""
)
@click.argument("before", type=options.FILE)
@click.argument("after", type=options.FILE)
def compare(before: Path, after: Path) -> None:
    """Hold one recording against another, side by side: latency, throughput, causes, ledger and code, by endpoint.

    On a terminal of less than 96 columns one stands below the other.
    """
    comparison = compared(*(read_session(file).view for file in (before, after)))
    for line in lines(comparison, (str(before), str(after)), text_width()):
        click.echo("".join(_styled(piece) for piece in line).rstrip(), color=wants_color())


def _styled(piece: Piece) -> str:
    return click.style(piece.text, **_STYLES[piece.tone]) if piece.tone in _STYLES else piece.text
