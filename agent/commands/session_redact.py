"""`perfwatch session redact`: a recording that can be given to others, as a file that perfwatch reads."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.redaction_options import keep


@click.command(
    epilog="""\b
Examples:
  perfwatch session redact slow.perfwatch -o to-share.perfwatch
  perfwatch session redact slow.perfwatch -o to-share.perfwatch --keep order --keep warehouse
"""
)
@click.argument("file", type=options.FILE)
@options.made
@keep
def redact(file: Path, output: Path, *, overwrite: bool, keep: tuple[str, ...]) -> None:
    """Write a recording anew, without what names people, machines and data: see docs/sharing.md."""
    from perfwatch.agent.redact.writing import redacted  # noqa: PLC0415 - few redact

    count = redacted(file, output, keep=keep, overwrite=overwrite)
    click.echo(f"wrote {output}: {count:,} records", err=True)
