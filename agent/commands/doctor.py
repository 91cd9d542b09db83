"""`perfwatch doctor`: what can be measured here, what is missing, how to get it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final

import click

from perfwatch.agent.commands import options
from perfwatch.agent.doctor import Diagnosis, diagnose
from perfwatch.agent.json_text import json_text
from perfwatch.agent.target import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEADINGS: Final = ("what", "status", "found", "what is lost", "what would help")
_PIPED_WIDTH: Final = 120
_LEAST_WIDTH: Final = 72
_CONCLUSIONS: Final = {
    "exact": "perfwatch can attach {where}, with the exact ledger.",
    "sampled": "perfwatch can attach {where}, in sampled fidelity: its verdicts are less certain.",
    "none": "perfwatch cannot attach {where}; recordings can be reported and replayed.",
}


@click.command(
    epilog="""\b
Examples:
  perfwatch doctor
  perfwatch doctor --pid 4312    what could be measured of this process
  sudo perfwatch doctor --json
"""
)
@click.option("--pid", type=options.PID, help="Ask about this process instead of one of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def doctor(pid: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Say what perfwatch can measure on this machine, what is missing, and the command that would help."""
    found = diagnose(pid)
    if as_json:
        click.echo(json_text(found), nl=False)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    click.echo("\n".join(_table(list(_rows(found)), max(width, _LEAST_WIDTH))))
    where = "here" if pid is None else f"to process {pid}"
    click.echo("\n" + _CONCLUSIONS[found.fidelity].format(where=where))


def _rows(found: Diagnosis) -> Iterator[tuple[str, ...]]:
    yield _HEADINGS
    for check in found.checks:
        yield check.name, check.status, check.found, check.lost or "", check.remedy or ""
    for probe in found.probes:
        yield probe.name, probe.status, probe.reason or probe.measures, probe.lost or "", probe.remedy or ""


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Lay rows out in columns, cells wrapped; two spaces between columns."""
    widths = _widths([max(map(len, column)) for column in zip(*rows, strict=True)], width)
    for row in rows:
        yield from _row(row, widths)


def _widths(wanted: Sequence[int], width: int) -> list[int]:
    """Give each column what it wants, as long as there is enough; then the widest ones share what is left."""
    widths = [0] * len(wanted)
    left = width - 2 * (len(wanted) - 1)
    narrowest_first = sorted(range(len(wanted)), key=lambda column: wanted[column])
    for taken, column in enumerate(narrowest_first):
        widths[column] = min(wanted[column], left // (len(wanted) - taken))
        left -= widths[column]
    return widths


def _row(row: tuple[str, ...], widths: Sequence[int]) -> Iterator[str]:
    cells = [textwrap.wrap(printable(cell), wide) or [""] for cell, wide in zip(row, widths, strict=True)]
    for line in range(max(map(len, cells))):
        parts = (cell[line] if line < len(cell) else "" for cell in cells)
        yield "  ".join(f"{part:<{wide}}" for part, wide in zip(parts, widths, strict=True)).rstrip()
