"""`perfwatch run -- CMD`: start a program, attached from its first instruction, and report when it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path  # noqa: TC003 - click reads it
from typing import Final

import click

from perfwatch.agent.collector import Collector
from perfwatch.agent.commands import options
from perfwatch.agent.commands.report import text_width
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.recording import recorded
from perfwatch.agent.report import build, to_text
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import Target, command_line, server_kind

_NOT_STARTED: Final = 127


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
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def run(command: tuple[str, ...], slow_ms: float | None, output: Path | None, overwrite: bool) -> int:  # noqa: FBT001
    """Start a program and watch it; the report follows when it ends. Exits with the program's own code."""
    with stop_on_signals() as stop:
        program = _Gated(command)
        target = Target(program.pid, command_line(list(command)), None, server_kind(list(command)))
        try:
            with Collector(target, slow_ms=slow_ms) as collector:
                program.go()
                threading.Thread(target=_end_with, args=(stop, program), daemon=True).start()
                correlator = _consume(collector, output, overwrite=overwrite)
        finally:
            code = program.end()
    if code != _NOT_STARTED:
        click.echo(to_text(build(collector.info, correlator.view()), text_width()), nl=False)
    return code


def _consume(collector: Collector, output: Path | None, *, overwrite: bool) -> Correlator:
    """Follow the program to its own end: a signal is passed on to it, and it may still answer what it has begun."""
    never = threading.Event()
    correlator = Correlator(collector.info)
    if output is None:
        for batch in collector.batches(never):
            for record in batch:
                correlator.feed(record)
    else:
        with SessionWriter(output, collector.info, overwrite=overwrite) as writer:
            for state, _ in recorded(collector, writer, never):
                correlator = state
    return correlator


def _end_with(stop: threading.Event, program: _Gated) -> None:
    stop.wait()
    program.signal(signal.SIGTERM)


class _Gated:
    """A child process that executes its program when `go` is called, and not before."""

    def __init__(self, command: tuple[str, ...]) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(write)
            _execute_after(read, command)
        os.close(read)
        self._gate = write
        self._code: int | None = None

    def go(self) -> None:
        os.write(self._gate, b"g")

    def signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)

    def end(self) -> int:
        """Close the gate, wait for the end, and return the exit code (128 + signal, as a shell does)."""
        os.close(self._gate)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._code = code if code >= 0 else 128 - code
        return self._code


def _execute_after(gate: int, command: tuple[str, ...]) -> None:
    """In the child: wait for the gate, then become the program; with the gate closed, just end."""
    try:
        if os.read(gate, 1):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)  # noqa: S606 - what the user asked for
    except OSError as error:
        sys.stderr.write(f"perfwatch: {command[0]} cannot be started: {error.strerror}\n")
    finally:
        os._exit(_NOT_STARTED)
