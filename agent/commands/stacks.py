"""`perfwatch stacks`: what each thread executes at this moment."""

from __future__ import annotations

import shutil
import sys

import click

from perfwatch.agent.commands import options
from perfwatch.agent.json_text import json_text
from perfwatch.agent.snapshot import snapshot
from perfwatch.agent.snapshot_text import to_text


@click.command(
    epilog="""\b
Examples:
  perfwatch stacks 4312
  perfwatch stacks 4312 --native      C and C++ too; stops the process for a moment
  perfwatch stacks 4312 --json | jq '.processes[].threads[] | select(.holds_gil)'
"""
)
@click.argument("process", type=options.PID, metavar="PID")
@click.option(
    "--native",
    is_flag=True,
    help="With the frames of native code. This stops each process while it is read: 0.1 to 0.5 s.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON (schema perfwatch.stacks/1).")
def stacks(process: int, native: bool, as_json: bool) -> None:  # noqa: FBT001
    """Say what each thread of a process and its children executes right now, the innermost function first.

    For each thread its name, what it does or waits for, and whether it holds the interpreter lock; the program's own
    code is marked by ▸, and threads that do the same are shown together. Nothing is stopped, but for --native.
    """
    found = snapshot(process, is_native=native)
    for problem in found.problems:
        click.echo(f"perfwatch: {problem}", err=True)
    if as_json:
        click.echo(json_text(found), nl=False)
    else:
        click.echo(to_text(found, _width()), nl=False)


def _width() -> int | None:
    """Width of the terminal; None where the text goes elsewhere, whole."""
    return max(shutil.get_terminal_size().columns, 40) if sys.stdout.isatty() else None
