"""The Python programs of the target's processes: how the kernel is to walk their frames, and what its stacks mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.python import Python, open_python
from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.frames import Frame
from perfwatch.probes.ledger.code_events import PYTHON, RAN, pack_python
from perfwatch.probes.ledger.events import TARGET
from perfwatch.probes.readers.libraries import Libraries

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.ledger.code_events import StackEvent
    from perfwatch.probes.readers.interpreter import Interpreter

MAX_SITES: Final = 1 << 16


class Program:
    """One interpreter that can be read, and what was read of it."""

    def __init__(self, python: Python, interpreter: Interpreter) -> None:
        self.python = python
        self._codes = Codes(python)
        self._libraries = Libraries(python.pid, but=interpreter.path)
        self._python_calls: set[tuple[int, int]] = set()
        """Places that were seen to call a Python function: what they call is not named as native."""

    def frames(self, event: StackEvent) -> tuple[Frame, ...]:
        """Return the frames of a stack, the innermost first; those whose code is gone are left out."""
        frames = [frame for code, at in event.frames if (frame := self._codes.frame(code, at))]
        native = self._native(event)
        return (native, *frames) if native else tuple(frames)

    def _native(self, event: StackEvent) -> Frame | None:
        """Return what Python called and has no frame of its own: C code, by the name that the caller has for it."""
        if len(self._python_calls) > MAX_SITES:
            self._python_calls.clear()
        self._python_calls.update(event.frames[1:])
        calls_native = event.frames and event.frames[0] not in self._python_calls
        called = self._codes.native_call(*event.frames[0]) if calls_native else None
        library = self._libraries.at(event.ip) if event.role == RAN else None
        if called:
            return Frame(called, library or "", 0, is_native=True)
        return Frame(library.rpartition("/")[2], library, 0, is_native=True) if library else None

    def close(self) -> None:
        """Let go of the process."""
        self.python.close()


class Programs:
    """Those of a process tree; to be closed."""

    def __init__(self, interpreter_of: Callable[[int], Interpreter | None]) -> None:
        self.interpreter_of = interpreter_of
        self._open: dict[int, Program | None] = {}

    def target(self, pid: int) -> bytes | None:
        """Return `struct target` of a process; None if it runs no Python (yet)."""
        self.forget(pid)
        interpreter = self.interpreter_of(pid)
        if interpreter is None:
            return None
        program = self._program(pid, interpreter)
        python = pack_python(program.python) if program else bytes(PYTHON.size)
        return TARGET.pack(*interpreter.runtime, 0, python)

    def frames(self, event: StackEvent) -> tuple[Frame, ...]:
        """Return the frames of a stack, the innermost first; none if its process has ended."""
        if event.pid not in self._open:
            interpreter = self.interpreter_of(event.pid)
            self._open[event.pid] = self._program(event.pid, interpreter) if interpreter else None
        program = self._open[event.pid]
        try:
            return program.frames(event) if program else ()
        except ProbeError:
            self.forget(event.pid)
            return ()

    def forget(self, pid: int) -> None:
        """Let go of a process that has ended or executes another program."""
        program = self._open.pop(pid, None)
        if program:
            program.close()

    def close(self) -> None:
        """Let go of all."""
        for pid in list(self._open):
            self.forget(pid)

    def _program(self, pid: int, interpreter: Interpreter) -> Program | None:
        try:
            program = Program(open_python(pid, interpreter), interpreter)
        except (Vanished, Unavailable):
            return None  # the stacks probe says why, or has py-spy read it
        self._open[pid] = program
        return program
