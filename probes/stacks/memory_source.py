"""Stacks read from the memory of a process whose interpreter is known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.collector import Collector
from perfwatch.probes.cpython.interning import Interner
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.cpython.walk import Walker
from perfwatch.probes.frames import Frame, GilHold, PythonSample, StackSample, ThreadStacks
from perfwatch.probes.stacks.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.frame_form import Stack
    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.records import Record

MAX_HELD: Final = 256
"""Of so many threads it is told how often they held the lock: those that did most often."""
MAX_SITES: Final = 1 << 16
_NEVER: Final = ((), -1)


class MemorySource:
    """The threads of one process. Opening it raises Vanished or Unavailable."""

    def __init__(self, pid: int, interpreter: Interpreter) -> None:
        self._python = open_python(pid, interpreter)
        try:
            self._walker = Walker(self._python)
            self._codes = Codes(self._python)
            self._collector = Collector(self._python)
        except BaseException:
            self._python.close()
            raise
        self._standing = Standing(self._python)
        self._interner = Interner()
        self._last: dict[int, tuple[Stack, int]] = {}
        """Of each thread the stack that was added last, and its place: of one that rests the same object again."""
        self._samples: list[StackSample] = []
        self._torn = 0
        self._python_calls: set[tuple[int, int]] = set()
        """Places of callers: what is called there is a Python function, and not named as native."""
        self._handoffs: int | None = None
        self._readings = self._free = 0
        self._held: dict[int, int] = {}

    def sample(self, until_ns: int) -> None:
        """Take one reading of all threads, and keep it."""
        at_ns = time.monotonic_ns()
        reading = self._walker.read(until_ns)
        holder, torn = reading.gil_holder, 0
        self._standing.see(reading.threads, at_ns)
        taken: list[StackSample] = []
        for tid, stack in reading.threads:
            place = self._place(tid, stack, until_ns) if stack else None
            if place is not None:
                taken.append(StackSample(at_ns, tid, place, tid == holder))
            elif stack != ():
                torn += 1
        self._python.memory.check()  # or what was named just now may be of another program
        self._samples += taken
        self._torn += torn
        self._readings += 1
        self._free += reading.gil_is_free
        self._handoffs = reading.gil_handoffs
        if reading.gil_holder is not None:
            self._held[reading.gil_holder] = self._held.get(reading.gil_holder, 0) + 1

    def take(self, now_ns: int) -> Sequence[Record]:
        """Return the stacks since the last call."""
        if not self._samples and not self._torn:
            return ()
        table, samples, torn = self._interner.table(), tuple(self._samples), self._torn
        self._interner, self._samples, self._torn = Interner(), [], 0
        self._last.clear()
        return (ThreadStacks(now_ns, self._python.pid, "memory", table, samples, torn),)

    def describe(self, now_ns: int) -> Sequence[Record]:
        """Return the state of the interpreter lock and of the garbage collector."""
        collector = self._collector.read()
        most = sorted(self._held.items(), key=lambda held: held[1], reverse=True)[:MAX_HELD]
        self._held = dict(most)
        sample = PythonSample(
            at_ns=now_ns,
            pid=self._python.pid,
            version=self._python.version,
            gil_handoffs=self._handoffs,
            gil_readings=self._readings,
            gil_free=self._free,
            gil_held=tuple(GilHold(tid, readings) for tid, readings in most),
            gc_enabled=collector.enabled if collector else None,
            generations=collector.generations if collector else (),
            locked=self._standing.locked(now_ns),
        )
        return (sample,)

    def close(self) -> None:
        """Let go of the process; may be called again."""
        self._python.close()

    def _place(self, tid: int, stack: Stack, until_ns: int) -> int | None:
        """Return a stack's place in the table; None if it cannot be named, or not in time."""
        last, place = self._last.get(tid, _NEVER)
        if last is stack:
            return place
        known = self._interner.place(stack)
        if known is None:
            frames = self._frames(stack) if time.perf_counter_ns() < until_ns else None
            if frames is None:
                return None
            known = self._interner.add(stack, frames)
        self._last[tid] = (stack, known)
        return known

    def _frames(self, stack: Stack) -> list[Frame] | None:
        """Name a stack, first the C function that its innermost frame calls; None if a frame executes no code.

        A frame keeps its code alive: the copy that such a stack was made of must have been torn.
        """
        frames: list[Frame] = []
        for code, at in stack:
            frame = self._codes.frame(code, at)
            if frame is None:
                return None
            frames.append(frame)
        if len(self._python_calls) > MAX_SITES:
            self._python_calls.clear()
        self._python_calls.update(stack[1:])
        code, at = stack[0]
        if any((code, place) in self._python_calls for place in self._codes.while_called(at)):
            return frames
        native = self._codes.native_call(code, at)
        return [Frame(native, "", 0, is_native=True), *frames] if native else frames
