"""`perfwatch run -- CMD`: start a program, attached from its first instruction, and report when it ends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING, Final

import click
import psutil

from perfwatch.agent.collector import Collector
from perfwatch.agent.commands import options
from perfwatch.agent.commands.lacks import tell_lacks
from perfwatch.agent.commands.report import text_width
from perfwatch.agent.program import NOT_STARTED, Program, started
from perfwatch.agent.recording import correlated, recorded
from perfwatch.agent.report import build, to_text
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.target import Target, command_line, printable, process_name, server_kind

if TYPE_CHECKING:
    from perfwatch.agent.choices import Choices
    from perfwatch.agent.correlator.engine import Correlator
    from perfwatch.agent.errors import PerfwatchError

_MAX_NAMED: Final = 5


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  perfwatch run -- gunicorn -b 127.0.0.1:8000 shop.wsgi
  perfwatch run -o start.perfwatch -- python manage.py runserver --noreload
""",
)
@options.slow_ms
@options.output
@options.choices
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def run(
    *,
    command: tuple[str, ...],
    slow_ms: float | None,
    output: Path | None,
    overwrite: bool,
    choices: Choices,
) -> int | None:
    """Start a program and watch it; the report follows when it ends. Exits with the program's own code."""
    with started(command) as program:
        target = Target(program.pid, command_line(list(command)), None, server_kind(list(command)))
        with Collector(target, slow_ms=slow_ms, choices=choices) as collector:
            tell_lacks(collector.info)
            correlator = _watch(program, collector, output, overwrite=overwrite)
            left = collector.pids - {program.pid}
    if left:
        click.echo(f"the program has ended; of what it started, there still runs: {_names(left)}", err=True)
    if program.code != NOT_STARTED:
        click.echo(to_text(build(collector.info, correlator.view()), text_width()), nl=False)
    return program.code


def _watch(program: Program, collector: Collector, output: Path | None, *, overwrite: bool) -> Correlator:
    """Follow the program to its own end: a signal is passed on to it, and it may still answer what it has begun."""
    with ExitStack() as stack:
        if output is None:
            program.go()
            return correlated(collector, program.ended)
        writer = stack.enter_context(SessionWriter(output, collector.info, overwrite=overwrite))
        program.go()
        for state, _ in recorded(collector, writer, program.ended, failed=_say):
            correlator = state
        return correlator


def _say(error: PerfwatchError) -> None:
    click.echo(f"perfwatch: {error}; the program runs on, and is not recorded any more", err=True)


def _names(pids: frozenset[int]) -> str:
    """Name some processes; a name is what the process wishes."""
    named = [f"{pid} ({_name(pid)})" for pid in sorted(pids)[:_MAX_NAMED]]
    more = len(pids) - len(named)
    return ", ".join(named) + (f", and {more} more" if more else "")


def _name(pid: int) -> str:
    try:
        return printable(process_name(psutil.Process(pid)))
    except psutil.Error:
        return "?"
