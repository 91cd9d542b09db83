"""`perfwatch export`: a recording in a format that other programs read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.otlp_options import OtlpChoice, otlp_options
from perfwatch.agent.commands.selection_options import SelectionChoice, selection_choice
from perfwatch.agent.export.exported import Exported
from perfwatch.agent.export.formats import FORMATS, load
from perfwatch.agent.session.place import make
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from collections.abc import Iterator

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
  perfwatch export slow.perfwatch --otlp http://localhost:4318
"""
)
@click.argument("file", type=options.FILE)
@click.option("--format", "name", type=click.Choice(list(FORMATS)), help="One of those below.")
@otlp_options
@click.option("-o", "--output", type=options.FILE, metavar="OUT", help="Write to this file instead of the output.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@selection_choice
def export(  # noqa: PLR0913 - one for each option
    file: Path,
    *,
    name: str | None,
    otlp: OtlpChoice | None,
    output: Path | None,
    overwrite: bool,
    choice: SelectionChoice,
) -> None:
    """Write what a recording holds, or a part of it, in a format of another program; or send it to one."""
    if (name is None) == (otlp is None):
        raise click.UsageError("give either --format or --otlp")
    if otlp is not None:
        if output is not None:
            raise click.UsageError("--otlp writes no file: leave -o out")
        with _opened(file, choice) as exported:
            otlp.send(exported)
    elif name is not None:
        _write(file, name, output, choice, overwrite=overwrite)


@contextmanager
def _opened(file: Path, choice: SelectionChoice) -> Iterator[Exported]:
    """Open what is meant of a recording; tell at the end what was missing in it."""
    with SessionReader(file) as session:
        exported = Exported(session, choice.selection(session.info, session.first_ns, session.last_ns))
        yield exported
        if exported.note:
            click.echo(f"perfwatch: {exported.note}", err=True)


def _write(file: Path, name: str, output: Path | None, choice: SelectionChoice, *, overwrite: bool) -> None:
    one = FORMATS[name]
    if output is None and not one.is_text and sys.stdout.isatty():
        raise click.UsageError(f"{name} is nothing for a terminal: -o {file.stem}{one.extension}")
    write = load(name)
    with _opened(file, choice) as exported:
        if output is None:
            write(exported, sys.stdout.buffer)
        else:
            _write_to(output, exported, write, overwrite=overwrite)


def _write_to(path: Path, exported: Exported, write: Write, *, overwrite: bool) -> None:
    def fill(draft: Path) -> None:
        with draft.open("wb") as out:
            write(exported, out)

    make(path, fill, overwrite=overwrite)
    click.echo(f"wrote {path}", err=True)
