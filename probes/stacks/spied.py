"""What py-spy told of one process: the names of its threads, and their stacks as a record.

A stack that was read while it changed may be that of nobody. A thread keeps its outermost frame as long as it lives, so
a stack with another one than the last time is dropped, and counted as torn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.frames import Frame, StackSample, StackTable, ThreadStacks
from perfwatch.probes.stacks.pyspy import Dump, PySpy, SpiedThread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

STACKS_NS: Final = 500_000_000
NAMES_NS: Final = 10_000_000_000
LONGEST_WAIT_NS: Final = 60_000_000_000
_MOST_DOUBLINGS: Final = 10


class Spied:
    """One process: its py-spy, what that told last, and when it is to be asked again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.py_spy = PySpy(pid)
        self.asked_ns = 0
        """0: not yet."""
        self.wants_stacks = False
        self.names: dict[int, str] = {}
        """By thread id."""
        self._threads: frozenset[int] = frozenset()  # when it was asked
        self._roots: dict[int, tuple[str, str]] = {}
        self._failures = 0  # in a row
        self._not_before_ns = 0

    def is_due(self, now_ns: int, threads: Collection[int], *, wants_stacks: bool) -> bool:
        """Whether it is to be asked now: for its stacks, or since it has threads whose names are not known."""
        if now_ns < self._not_before_ns:
            return False
        waited_ns = now_ns - self.asked_ns
        if not self.asked_ns or (wants_stacks and waited_ns >= STACKS_NS):
            return True
        return waited_ns >= NAMES_NS and not self._threads.issuperset(threads)

    def ask(self, now_ns: int, threads: Collection[int], *, wants_stacks: bool) -> None:
        """Start a dump; raises Unavailable."""
        self.asked_ns, self._threads, self.wants_stacks = now_ns, frozenset(threads), wants_stacks
        self.py_spy.start()

    def fail(self, now_ns: int) -> bool:
        """Wait twice as long as the last time; return whether it is the first failure in a row."""
        self._failures += 1
        wait_ns = STACKS_NS << min(self._failures, _MOST_DOUBLINGS)
        self._not_before_ns = now_ns + min(wait_ns, LONGEST_WAIT_NS)
        return self._failures == 1

    def take(self, dump: Dump, now_ns: int) -> ThreadStacks | None:
        """Keep the names; return the stacks, if they are wanted."""
        self._failures = 0
        threads = [(thread.tid, thread) for thread in dump.threads if thread.tid is not None]
        self.names = {tid: thread.name for tid, thread in threads if thread.name is not None}
        if not self.wants_stacks:
            return None
        executing = [(tid, thread, _name(thread.root)) for tid, thread in threads if thread.root is not None]
        sound = [(tid, thread) for tid, thread, root in executing if self._roots.get(tid, root) == root]
        self._roots = {tid: root for tid, _, root in executing}
        return stacks_of(self.pid, dump.read_ns, sound, torn=len(executing) - len(sound), now_ns=now_ns)


def stacks_of(
    pid: int, read_ns: int, threads: Sequence[tuple[int, SpiedThread]], *, torn: int, now_ns: int
) -> ThreadStacks:
    """Return the record of one dump; frames and stacks that several threads have are told once."""
    frames: dict[Frame, int] = {}
    stacks: dict[tuple[int, ...], int] = {}
    samples = []
    for tid, thread in threads:
        stack = tuple(frames.setdefault(frame, len(frames)) for frame in thread.frames)
        place = stacks.setdefault(stack, len(stacks))
        samples.append(StackSample(read_ns, tid, place, thread.holds_gil))
    return ThreadStacks(now_ns, pid, "py-spy", StackTable(tuple(frames), tuple(stacks)), tuple(samples), torn)


def _name(root: Frame) -> tuple[str, str]:
    return root.function, root.file
