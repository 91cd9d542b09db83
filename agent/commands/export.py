"""`perfwatch export`: a recording in a format that other programs read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING, get_args

import click

from perfwatch.agent.analysis.request_columns import RowKind
from perfwatch.agent.commands import options
from perfwatch.agent.commands.otlp_options import OtlpChoice, otlp_options
from perfwatch.agent.commands.redaction_options import Recording, recording
from perfwatch.agent.commands.selection_options import SelectionChoice, selection_choice
from perfwatch.agent.export.exported import Exported
from perfwatch.agent.export.formats import FORMATS, load
from perfwatch.agent.session.place import make

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
  perfwatch export slow.perfwatch --format csv --table calls -o calls.csv
  perfwatch export slow.perfwatch --otlp http://localhost:4318
"""
)
@click.option("--format", "name", type=click.Choice(list(FORMATS)), help="One of those below.")
@click.option("--table", type=click.Choice(get_args(RowKind)), help="What a row is; for csv and parquet.")
@otlp_options
@click.option("-o", "--output", type=options.FILE, metavar="OUT", help="Write to this file instead of the output.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@selection_choice
@recording
def export(  # noqa: PLR0913 - one for each option
    recording: Recording,
    *,
    name: str | None,
    table: RowKind | None,
    otlp: OtlpChoice | None,
    output: Path | None,
    overwrite: bool,
    choice: SelectionChoice,
) -> None:
    """Write what a recording holds, or a part of it, in a format of another program; or send it to one."""
    _check(recording.file, name, table, output, is_sent=otlp is not None)
    with _opened(recording, choice, table or "requests") as exported:
        if otlp is not None:
            otlp.send(exported)
        elif name is not None and output is None:
            load(name)(exported, sys.stdout.buffer)
        elif name is not None and output is not None:
            _write_to(output, exported, load(name), overwrite=overwrite)


def _check(file: Path, name: str | None, table: RowKind | None, output: Path | None, *, is_sent: bool) -> None:
    """Raise a usage error for options that do not go together."""
    if (name is None) != is_sent:
        raise click.UsageError("give either --format or --otlp")
    one = FORMATS[name] if name is not None else None
    if one is None and output is not None:
        raise click.UsageError("--otlp writes no file: leave -o out")
    if table is not None and (one is None or not one.has_rows):
        raise click.UsageError(f"--table is for {' and '.join(name for name, one in FORMATS.items() if one.has_rows)}")
    if one is not None and output is None and not one.is_text and sys.stdout.isatty():
        raise click.UsageError(f"{name} is nothing for a terminal: -o {file.stem}{one.extension}")


@contextmanager
def _opened(recording: Recording, choice: SelectionChoice, table: RowKind) -> Iterator[Exported]:
    """Open what is meant of a recording; tell at the end what was missing in it."""
    with recording.opened() as session:
        exported = Exported(session, choice.selection(session.info, session.first_ns, session.last_ns), table)
        yield exported
        if exported.note:
            click.echo(f"perfwatch: {exported.note}", err=True)


def _write_to(path: Path, exported: Exported, write: Write, *, overwrite: bool) -> None:
    def fill(draft: Path) -> None:
        with draft.open("wb") as out:
            write(exported, out)

    make(path, fill, overwrite=overwrite)
    click.echo(f"wrote {path}", err=True)
