"""What each thread of a process tree executes at this moment: frames, state, who holds the interpreter lock.

What a thread does is read twice, before and after its stack: where the two differ, it runs.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import psutil

from perfwatch.agent.doing import FOR_GIL, RUNNING, threads_doing
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.target import command_line, find_target
from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.readers.interpreter import Interpreter, find_interpreter
from perfwatch.probes.stacks.pyspy import PySpy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.probes.frames import Frame
    from perfwatch.probes.stacks.pyspy import SpiedThread

SCHEMA: Final = "perfwatch.stacks/1"
MAX_PROCESSES: Final = 64
_OTHERS: Final = re.compile(r"<frozen |.*/(?:site|dist)-packages/|.*/lib(?:64)?/python\d|.*/python\d+\.zip/", re.DOTALL)
"""Where code lies that is not the program's own: installed packages, the standard library."""


class FrameNow(msgspec.Struct, frozen=True):
    """One function that is being executed. Names are untrusted."""

    function: str
    file: str
    line: int | None
    is_native: bool
    is_own: bool
    """The program's own code, as far as its file tells: not an installed package's, or the standard library's."""


class ThreadNow(msgspec.Struct, frozen=True):
    """One thread that executes Python."""

    tid: int | None
    name: str | None
    """In Python; untrusted."""
    doing: str | None
    """`running`, `waits for a lock`, ...; None where it could not be read."""
    holds_gil: bool
    frames: tuple[FrameNow, ...]
    """The innermost first."""
    is_whole: bool = True
    """Whether these are all frames: of a very deep stack the outer ones are left out."""


class ProcessNow(msgspec.Struct, frozen=True):
    """One process of the tree."""

    pid: int
    command: str
    python: str | None
    source: Literal["py-spy"]
    stopped_ms: float | None
    """It was stopped for so long at most; None: not at all."""
    threads: tuple[ThreadNow, ...]
    other_threads: int
    """Those that execute no Python."""


class Snapshot(msgspec.Struct, frozen=True):
    """A process tree."""

    schema: str
    pid: int
    processes: tuple[ProcessNow, ...]
    problems: tuple[str, ...]
    """Why other processes could not be read."""


def snapshot(pid: int, *, is_native: bool) -> Snapshot:
    """Look at a process and all below it; raises PerfwatchError where no Python could be read.

    `is_native`: with native frames, for which each process is stopped while it is read.
    """
    find_target(pid)
    processes, problems = [], []
    for member in _tree(pid):
        try:
            interpreter = find_interpreter(roots.PROC, member)
            if interpreter:
                processes.append(_process(member, interpreter, is_native=is_native))
        except Vanished:
            continue
        except Unavailable as why:
            problems.append(PerfwatchError(why.reason, why.remedy))
        except (ProbeError, OSError) as why:
            problems.append(PerfwatchError(str(why), "try again, or without --native" if is_native else "try again"))
    if not processes:
        raise problems[0] if problems else PerfwatchError(f"process {pid} has just ended")
    return Snapshot(SCHEMA, pid, tuple(processes), tuple(map(str, problems)))


def _process(pid: int, interpreter: Interpreter, *, is_native: bool) -> ProcessNow:
    """Read one process by py-spy, which reads every interpreter; here one that is read without it would branch off."""
    before, began = threads_doing([pid]), time.monotonic()
    with PySpy(pid, is_native=is_native) as py_spy:
        dump = py_spy.dump()
    stopped_ms = (time.monotonic() - began) * 1e3 if is_native else None
    after = threads_doing([pid])
    threads = [_thread(thread, before, after) for thread in dump.threads]
    tids = [thread.tid for thread in threads]
    others = max(len(after.keys() - tids) - tids.count(None), 0)
    return ProcessNow(pid, _command(pid), interpreter.version, "py-spy", stopped_ms, tuple(threads), others)


def _thread(thread: SpiedThread, before: Mapping[int, str], after: Mapping[int, str]) -> ThreadNow:
    was, doing = (each.get(thread.tid or 0) for each in (before, after))
    if doing and (doing != was or (thread.holds_gil and doing == FOR_GIL)):
        doing = RUNNING
    is_whole = not thread.frames or thread.frames[-1] is thread.root
    frames = tuple(map(_frame, _above_the_root(thread.frames)))
    return ThreadNow(thread.tid, thread.name, doing, thread.holds_gil, frames, is_whole)


def _above_the_root(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Leave out the native frames below the outermost one of Python: how the thread was started says nothing."""
    last = max((at for at, frame in enumerate(frames) if not frame.is_native), default=len(frames))
    return frames[: last + 1]


def _frame(frame: Frame) -> FrameNow:
    is_own = not frame.is_native and _OTHERS.match(frame.file) is None
    return FrameNow(frame.function, frame.file, frame.line or None, frame.is_native, is_own)


def _tree(pid: int) -> list[int]:
    below: list[int] = []
    with suppress(psutil.Error):
        below = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return [pid, *below][:MAX_PROCESSES]


def _command(pid: int) -> str:
    try:
        return command_line(psutil.Process(pid).cmdline())
    except psutil.Error:
        return "?"
