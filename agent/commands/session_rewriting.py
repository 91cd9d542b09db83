"""`perfwatch session repair`, `cut`, `merge`, `compact`: new sessions made of others."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it
from typing import Final

import click

from perfwatch.agent import moments
from perfwatch.agent.commands import options
from perfwatch.agent.commands.selection_options import moment
from perfwatch.agent.report_sentences import counted
from perfwatch.agent.session import rewriting
from perfwatch.agent.session.merging import merge as merge_sessions
from perfwatch.agent.session.reader import SessionReader


@click.command(
    epilog="""\b
Examples:
  perfwatch session repair broken.perfwatch -o whole.perfwatch
"""
)
@click.argument("file", type=options.FILE)
@options.made
def repair(file: Path, output: Path, *, overwrite: bool) -> None:
    """Write what of a damaged session is sound to another file, and say what is lost.

    The losses stand in the new session where they happened: a report tells of them. A file that does not even open any
    more is tried too: what its beginning lost is the same in every session.
    """
    gaps, is_described = rewriting.repair(file, output, overwrite=overwrite)
    lost = sum(gap.seconds for gap in gaps)
    records = [gap.records for gap in gaps]
    told = "" if None in records else f" ({counted(sum(filter(None, records)), 'record')})"
    what = f"{counted(lost, 'second')}{told} lost" if gaps else "no second was lost"
    what += "" if is_described else "; what it was of is not known any more, nor its server's listeners"
    click.echo(f"wrote {output}; {what}", err=True)


@click.command(
    epilog="""\b
Examples:
  perfwatch session cut day.perfwatch --from 10:27 --to 10:30 -o incident.perfwatch
  perfwatch session cut day.perfwatch --from "5m ago" -o last.perfwatch
"""
)
@click.argument("file", type=options.FILE)
@click.option("--from", "begin", metavar="TIME", default="start", help=f"Forms: {moments.EXAMPLES} (UTC).")
@click.option("--to", "end", metavar="TIME", default="end", help="Of the same forms.")
@options.made
def cut(file: Path, begin: str, end: str, output: Path, *, overwrite: bool) -> None:
    """Write a stretch of a session, with the verdicts on its requests, to another file.

    Times of day stay what they were.
    """
    with SessionReader(file) as reader:
        begin_ns, end_ns = (
            moment(text, option, reader.info, reader.first_ns, reader.last_ns)
            for text, option in ((begin, "--from"), (end, "--to"))
        )
    if begin_ns > end_ns:
        raise click.UsageError("--from is later than --to")
    count = rewriting.cut(file, output, begin_ns, end_ns, overwrite=overwrite)
    click.echo(f"wrote {output}: {counted(count, 'record')}", err=True)


@click.command(
    epilog="""\b
Examples:
  perfwatch session merge monday-*.perfwatch -o monday.perfwatch
"""
)
@click.argument("files", type=options.FILE, nargs=-1, required=True)
@options.made
def merge(files: tuple[Path, ...], output: Path, *, overwrite: bool) -> None:
    """Write recordings of one host, made one after the other, as one session: segments, or before and after a restart.

    Recordings between which the host itself was restarted cannot be merged: its clock began anew.
    """
    count = merge_sessions(files, output, overwrite=overwrite)
    click.echo(f"wrote {output}: {counted(count, 'record')}", err=True)


@click.command(
    epilog="""\b
Examples:
  perfwatch session compact old.perfwatch -o small.perfwatch
"""
)
@click.argument("file", type=options.FILE)
@options.made
def compact(file: Path, output: Path, *, overwrite: bool) -> None:
    """Write a session anew in the current format, as small as it gets; nothing is left out.

    Recordings of an earlier format take about a third of the room afterwards.
    """
    before = file.stat().st_size if file.is_file() else 0
    rewriting.compact(file, output, overwrite=overwrite)
    click.echo(f"wrote {output}: {output.stat().st_size / 1e6:.1f} MB of {before / 1e6:.1f} MB", err=True)


COMMANDS: Final = (repair, cut, merge, compact)
