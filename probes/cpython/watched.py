"""One thread that is read again and again: what is copied of it, and the stack that it had last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.copying import Copier, Copy, Fault
from perfwatch.probes.cpython.frame_form import MAX_DEPTH
from perfwatch.probes.cpython.memory import Places

if TYPE_CHECKING:
    from perfwatch.probes.cpython.frame_form import Stack
    from perfwatch.probes.cpython.memory import Memory
    from perfwatch.probes.cpython.threads import Thread

ATTEMPTS: Final = 16
"""To copy a stack, in one reading."""
SETTLED: Final = 8
"""Of a thread that was the same so many times in a row, the frames of earlier stacks are not copied any more."""
MAX_KEPT_BYTES: Final = 1 << 16
"""A larger copy is not kept, and its stack put together each time."""
_NOTHING: Final = Places([])


class ThreadStack(NamedTuple):
    """What one thread was executing."""

    tid: int
    stack: Stack | None
    """None: it changed each time while it was read. Empty: no Python function."""


class Watched:
    """One thread of a Python. Its methods raise Vanished or Unavailable."""

    __slots__ = ("_copier", "_copy", "_data", "_memory", "_root", "_same", "glance", "is_listed", "thread", "told")

    def __init__(self, thread: Thread, memory: Memory, copier: Copier) -> None:
        self.thread = thread
        self.glance = _NOTHING
        """What is enough to see whether it has changed."""
        self.told = ThreadStack(thread.tid or 0, None)
        """Its stack as of the last look."""
        self.is_listed = True
        """False: threads have ended or begun since they were listed, maybe this one."""
        self._memory = memory
        self._copier = copier
        self._copy: Copy | None = None
        self._data: bytes | None = None
        self._same = 0
        self._root = 0
        """Code object of its outermost frame: a copy that ends elsewhere is torn."""

    def is_same(self, data: bytes | None) -> bool:
        """Whether what was read of `glance` shows that its stack is the same as before."""
        if data is None or data != self._data:
            return False
        self._same += 1
        if self._same == SETTLED and self._copy and self._copy.has_remembered:
            self._plan(keep=False)
            self._data = None
        return True

    def look(self, until_ns: int) -> None:
        """Read its stack anew, if need be several times."""
        suspect = self._root
        self._data = None
        self.told = ThreadStack(self.told.tid, None)
        self.is_listed = True
        self._same = 0
        for _ in range(ATTEMPTS):
            data = self._memory.read_all([self._copy.places])[0] if self._copy else None
            if data and not self._is_this(data):
                return
            found = self._copy.stack(data) if self._copy and data else Fault.INCOMPLETE
            if not isinstance(found, Fault):
                root = found[-1][0] if found and len(found) < MAX_DEPTH else 0
                if data and (root == suspect or not self._root):
                    self._keep(data, found, root)
                    return
                suspect = root  # of a copy that is torn it is another one next time
            elif found is Fault.INCOMPLETE:
                self._plan(keep=data is not None)
            if self._copy is None or time.perf_counter_ns() > until_ns:
                return

    def _is_this(self, data: bytes) -> bool:
        """Whether a copy begins with the state of this thread; notice if the one behind it in the list is another."""
        state, thread = self._copier.state(data), self.thread
        self.is_listed = state == (thread.id, thread.interpreter, thread.next)
        return state[:2] == (thread.id, thread.interpreter)

    def _keep(self, data: bytes, stack: Stack, root: int) -> None:
        self.told = ThreadStack(self.told.tid, stack)
        self._root = root
        self._data = data[: self.glance.size] if self.glance.size <= MAX_KEPT_BYTES else None

    def _plan(self, *, keep: bool) -> None:
        """Find out what is to be copied; `keep`: also the frames that were."""
        remembered = self._copy.frames if self._copy and keep else ()
        self._copy = self._copier.plan(self.thread.address, remembered)
        self.glance = self._copy.glance if self._copy else _NOTHING
