"""`perfwatch`, `perfwatch PID`: the terminal interface."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from perfwatch.agent.commands import options
from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from perfwatch.agent.choices import Choices
    from perfwatch.agent.doctor import Diagnosis
    from perfwatch.agent.source import Source
    from perfwatch.agent.target import Candidate

_ESCAPE_MS: Final = "25"
"""How long it is waited whether an escape is the key or the beginning of another one; Textual's own is 100."""
_PAINTS_PER_S: Final = "240"
"""At most, and only where something changes; with Textual's own 60 a key may wait for 33 ms after a long paint."""


@click.command(
    epilog="""\b
Examples:
  perfwatch                      choose among the running Python processes
  perfwatch 4312 --slow-ms 100
  perfwatch --pid 4312 --pid 4400      two servers, and the requests that go from one into the other
  perfwatch 4312 -o today.perfwatch    watch, and record at the same time
"""
)
@click.argument("process", type=options.PID, required=False, metavar="[PID]")
@options.pids()
@options.slow_ms
@options.output
@options.choices
def attach(  # noqa: PLR0913 - one for each option
    *,
    process: int | None,
    pids: tuple[int, ...],
    slow_ms: float | None,
    output: Path | None,
    overwrite: bool,
    choices: Choices,
) -> None:
    """Watch a running server in the terminal; without a PID, choose one."""
    from perfwatch.agent.live import Live  # noqa: PLC0415 - a replay has `show` from here, and no need of it

    def source(*chosen: int) -> Source:
        return Live(*chosen, slow_ms=slow_ms, output=output, overwrite=overwrite, choices=choices)

    need_terminal("perfwatch record --pid PID, then perfwatch report, work without one")
    chosen = ((process,) if process else ()) + pids
    show(source(*chosen) if chosen else None, source, diagnose=diagnosed)


def need_terminal(instead: str) -> None:
    """Raise PerfwatchError where there is no terminal to draw on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise PerfwatchError("the terminal interface needs a terminal", instead)


def candidates() -> Sequence[Candidate]:
    """List the processes to choose among."""
    from perfwatch.agent.target import python_processes  # noqa: PLC0415 - it reads interpreters; only the picker asks

    return python_processes()


def diagnosed(pid: int) -> Diagnosis:
    """Ask the doctor about a process."""
    from perfwatch.agent.doctor import diagnose  # noqa: PLC0415 - it imports every probe

    return diagnose(pid)


def show(
    source: Source | None,
    attach_to: Callable[[int], Source] | None = None,
    *,
    diagnose: Callable[[int], Diagnosis] | None = None,
) -> None:
    """Run the terminal interface over a source, and close it; `diagnose` where it is of this machine."""
    from perfwatch.tui import interpreter  # noqa: PLC0415 - as below

    interpreter.load_soon()
    os.environ.setdefault("ESCDELAY", _ESCAPE_MS)
    os.environ.setdefault("TEXTUAL_FPS", _PAINTS_PER_S)
    from perfwatch.tui.app import PerfwatchApp  # noqa: PLC0415 - 0.3 s that no other command needs
    from perfwatch.tui.habits import Habits  # noqa: PLC0415 - as above

    try:
        app = PerfwatchApp(
            source, attach=attach_to, candidates=candidates, diagnose=diagnose, habits=Habits.of(os.environ)
        )
    except BaseException:
        if source is not None:
            source.close()
        raise
    interpreter.answering(app.run_async())
