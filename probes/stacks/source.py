"""A source of stacks: whatever can tell what the threads of one process execute.

Where the interpreter is known its memory is read (memory_source.py). What else there is belongs into `OPENERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.stacks.memory_source import MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.records import Record


class StackSource(Protocol):
    """The threads of one process, while it runs one program. Each method raises Vanished when that is over."""

    def sample(self, until_ns: int) -> None:
        """Take one reading of all threads, and keep it; not much longer than `until_ns` of time.perf_counter_ns."""
        ...

    def take(self, now_ns: int) -> Sequence[Record]:
        """Return what was kept since the last call."""
        ...

    def describe(self, now_ns: int) -> Sequence[Record]:
        """Return what there is to say of the interpreter itself; asked once a second."""
        ...

    def close(self) -> None:
        """Let go of the process; may be called again."""
        ...


OPENERS: Final[tuple[Callable[[int, Interpreter], StackSource], ...]] = (MemorySource,)
"""Each is asked in turn; who cannot read a process raises Unavailable."""


def open_source(pid: int, interpreter: Interpreter) -> StackSource:
    """Return the first source that can read a process; raises Vanished, or what the first said that could not."""
    refusals: list[Unavailable] = []
    for opener in OPENERS:
        try:
            return opener(pid, interpreter)
        except Unavailable as refusal:
            refusals.append(refusal)
    raise refusals[0]
