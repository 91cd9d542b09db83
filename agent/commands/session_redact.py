"""`perfwatch session redact`: a recording that can be given to others, as a file that perfwatch reads."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.redaction_options import keep


@click.command(
    epilog="""\b
Examples:
  perfwatch session redact slow.perfwatch to-share.perfwatch
  perfwatch session redact slow.perfwatch to-share.perfwatch --keep order --keep warehouse
"""
)
@click.argument("file", type=options.FILE)
@click.argument("out", type=options.FILE)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@keep
def redact(file: Path, out: Path, *, overwrite: bool, keep: tuple[str, ...]) -> None:
    """Write a recording anew, without what names people, machines and data: see docs/sharing.md."""
    from perfwatch.agent.redact.writing import redacted  # noqa: PLC0415 - few redact

    count = redacted(file, out, keep=keep, overwrite=overwrite)
    click.echo(f"wrote {out}: {count:,} records", err=True)
