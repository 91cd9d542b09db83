"""`perfwatch export`: a recording in a format that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.redaction_options import Recording, recording
from perfwatch.agent.commands.selection_options import SelectionChoice, selection_choice
from perfwatch.agent.export.exported import Exported
from perfwatch.agent.export.formats import FORMATS, load
from perfwatch.agent.session.place import make

if TYPE_CHECKING:
    from perfwatch.agent.export.formats import Write

_ABOUT = "\n".join(f"  {name:<10}  {one.about}" for name, one in FORMATS.items())


@click.command(
    epilog=f"""\b
Formats:
{_ABOUT}

\b
Examples:
  perfwatch export slow.perfwatch --format collapsed | flamegraph.pl --countname ns > slow.svg
  perfwatch export slow.perfwatch --format collapsed --endpoint "POST /order" -o order.collapsed.txt
"""
)
@click.option("--format", "name", type=click.Choice(list(FORMATS)), required=True, help="One of those below.")
@click.option("-o", "--output", type=options.FILE, metavar="OUT", help="Write to this file instead of the output.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@selection_choice
@recording
def export(recording: Recording, *, name: str, output: Path | None, overwrite: bool, choice: SelectionChoice) -> None:
    """Write what a recording holds, or a part of it, in a format of another program."""
    one = FORMATS[name]
    if output is None and not one.is_text and sys.stdout.isatty():
        raise click.UsageError(f"{name} is nothing for a terminal: -o {recording.file.stem}{one.extension}")
    write = load(name)
    with recording.opened() as session:
        exported = Exported(session, choice.selection(session.info, session.first_ns, session.last_ns))
        if output is None:
            write(exported, sys.stdout.buffer)
        else:
            _write_to(output, exported, write, overwrite=overwrite)
        if exported.note:
            click.echo(f"perfwatch: {exported.note}", err=True)


def _write_to(path: Path, exported: Exported, write: Write, *, overwrite: bool) -> None:
    def fill(draft: Path) -> None:
        with draft.open("wb") as out:
            write(exported, out)

    make(path, fill, overwrite=overwrite)
    click.echo(f"wrote {path}", err=True)
