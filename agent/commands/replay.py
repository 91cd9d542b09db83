"""`perfwatch replay`: the terminal interface over a recording."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it

import click

from perfwatch.agent.commands import options
from perfwatch.agent.commands.attach import need_terminal, show
from perfwatch.agent.replay import Replay


@click.command(
    epilog="""\b
Examples:
  perfwatch replay slow.perfwatch
  perfwatch replay slow.perfwatch --speed 10
"""
)
@click.argument("file", type=options.FILE)
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=1.0, show_default=True, help="Times real time.")
def replay(file: Path, speed: float) -> None:
    """Play a recording on the same screens: pause, seek, step, speed."""
    source = Replay(file, speed=speed)
    need_terminal(f"perfwatch report {file} works without one")
    show(source)
