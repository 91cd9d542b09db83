"""The recorder of one server, in a process of its own: `python -P -m perfwatch.agent.service.recorder`.

Standard input gives one `Assignment`; events go to stderr, a line each. It ends with its server, at SIGTERM, and with
the service: when that is killed, what was recorded is finished first. SIGUSR1 keeps the segment that is being written.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent import heap
from perfwatch.agent.collector import Collector
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.service.directory import Directory
from perfwatch.agent.service.metrics import Sender
from perfwatch.agent.service.saying import say
from perfwatch.agent.service.segments import Segments
from perfwatch.agent.service.settings import Settings  # noqa: TC001 - msgspec reads the annotations
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_target

if TYPE_CHECKING:
    from perfwatch.agent.export.live import Told

ASKED: Final = "asked for by SIGUSR1"
_PR_SET_PDEATHSIG: Final = 1


class Assignment(msgspec.Struct, frozen=True):
    """Whom to record."""

    pid: int
    label: str
    """What the names of its files begin with."""
    settings: Settings
    parent: int
    is_again: bool = False
    """It could not be recorded before, and that was told."""
    metrics: int | None = None
    """The descriptor of the socket that takes its metrics."""


def main() -> None:
    """Carry out the assignment on standard input."""
    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != assignment.parent:
        return  # it died before that took effect
    try:
        _record(assignment)
    except PerfwatchError as error:
        if not assignment.is_again:
            say(f"cannot record process {assignment.pid}: {error}")
        sys.exit(1)


def _record(assignment: Assignment) -> None:
    settings, asked = assignment.settings, _asked_by_signal()
    target = find_target(assignment.pid)
    with (
        ExitStack() as stack,
        stop_on_signals() as stop,
        Collector(target, slow_ms=settings.slow_ms, choices=settings.choices) as collector,
        closing(Directory(Path(settings.directory))) as directory,
        settings.audience.opened(say, *_told(assignment, stack)) as follow,
    ):
        heap.settle()
        info = collector.info
        segments = Segments(assignment.label, info, directory, settings, say, live=follow(info))
        where = f" in {info.container.named}" if info.container else ""
        say(f"recording process {target.named}{where} as {assignment.label}, {info.fidelity}")
        for batch in collector.batches(stop):
            if asked:
                asked.clear()
                segments.keep(ASKED)
            segments.take(batch)
        segments.close(collector.ended or "the service stopped")
        if collector.ended:
            say(f"{assignment.label} has ended: {collector.ended}")


def _told(assignment: Assignment, stack: ExitStack) -> tuple[Told, ...]:
    """Return the service, where it wants metrics."""
    return () if assignment.metrics is None else (stack.enter_context(closing(Sender(assignment.metrics))),)


def _asked_by_signal() -> list[int]:
    """Return a list that gets an entry for each SIGUSR1; what came while it was blocked is delivered now."""
    asked: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    with suppress(ValueError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    return asked


if __name__ == "__main__":
    main()
