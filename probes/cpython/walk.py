"""Reads the stacks of all threads of a Python at one moment, without stopping it.

Who executes Python holds the interpreter lock: as long as that went to nobody else, only the stack of its holder can
have changed. Else one system call copies what is known of all threads, 2 us each (3.8 to 3.10: 0.4 us a frame). Where
that is the same as last time, so is the stack. Only a stack that changed is put together anew, 20 us; where its copy
was torn, or frames have come that were not copied, it is made again, a few times.
"""

from __future__ import annotations

import time
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.copying import Copier
from perfwatch.probes.cpython.gil import Gil, GilState
from perfwatch.probes.cpython.memory import Places
from perfwatch.probes.cpython.objects import POINTER
from perfwatch.probes.cpython.threads import Threads
from perfwatch.probes.cpython.watched import ThreadStack, Watched
from perfwatch.probes.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.python import Python

BUDGET_NS: Final = 50_000_000


class Reading(NamedTuple):
    """All threads of a Python at one moment; those whose thread id is not known are left out."""

    threads: list[ThreadStack]
    gil_is_free: bool
    gil_holder: int | None
    """Thread id; None also where it is not known."""
    gil_handoffs: int | None


class Walker:
    """Reads the stacks of one Python."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._threads = Threads(python)
        self._copier = Copier(python)
        self._gil = Gil(python)
        self._lock = (self._gil.address, self._gil.size)
        self._head = (python.runtime + python.layout["rt.interp_head"], POINTER)
        self._threads_head = python.layout["is.threads_head"]
        self._watched: list[Watched] = []
        self._tids: dict[int, int] = {}
        """By the address of a thread's state."""
        self._first = Places([])
        """The lock, and what leads to the threads."""
        self._listed: bytes | None = None
        """What led to the threads when they were listed; None: they are to be listed."""
        self._seen: tuple[int | None, int] | None = None
        """How often the lock had changed hands, and its last holder, when all stacks were looked at."""
        self._has_one_lock = False
        self._glances: list[Places] = []
        self._joined = Places([])
        self._ends: list[int] = []

    def read(self, until_ns: int | None = None) -> Reading:
        """Return what all threads execute now; raises Vanished or Unavailable.

        After `until_ns` of time.perf_counter_ns no stack is copied anew: a target that changes them all, again and
        again, holds nobody up. By default that is after 50 ms.
        """
        until_ns = until_ns or time.perf_counter_ns() + BUDGET_NS
        gil = self._look_first()
        for watched in self._changed(self._possibly_changed(gil)):
            watched.look(until_ns)
            if not watched.is_listed:
                self._listed = None
        self._memory.check()
        stacks = [watched.told for watched in self._watched]
        return Reading(stacks, gil.holder is None, self._tids.get(gil.holder or 0), gil.handoffs)

    def _look_first(self) -> GilState:
        """Read the lock; list the threads if there are others than before."""
        data = self._memory.read_all([self._first])[0] if self._listed is not None else b""
        if data is not None and data[self._gil.size :] != self._listed:
            self._list()
            (data,) = self._memory.read_all([self._first])
        if not data:
            self._memory.check()
            raise Unavailable("the state of this Python cannot be read any more", "attach to it again")
        return self._gil.parse(data)

    def _list(self) -> None:
        """List the threads anew, and keep what is known of those that were there before."""
        known = {(watched.thread.address, watched.thread.id): watched for watched in self._watched}
        threads = self._threads.read()
        self._watched = []
        for thread in threads:
            if thread.tid is not None:
                watched = known.get((thread.address, thread.id)) or Watched(thread, self._memory, self._copier)
                watched.thread = thread
                # One that had not begun when it was listed had its creator's id.
                watched.told = watched.told._replace(tid=thread.tid)
                self._watched.append(watched)
        self._tids = {watched.thread.address: watched.told.tid for watched in self._watched}
        newest = {thread.interpreter: thread.address for thread in reversed(threads)}
        interpreters = tuple(reversed(newest))
        self._first = Places([self._lock, self._head, *((each + self._threads_head, POINTER) for each in interpreters)])
        words = (*interpreters[:1], *(newest[each] for each in interpreters))
        self._listed = b"".join(word.to_bytes(POINTER, "little") for word in words)
        self._seen = None
        # From 3.12 on another interpreter may have a lock of its own.
        self._has_one_lock = len(interpreters) == 1

    def _possibly_changed(self, gil: GilState) -> list[Watched]:
        """Return the threads that may have executed something since all were looked at."""
        seen, self._seen = self._seen, (gil.handoffs, gil.last)
        if seen != self._seen or gil.handoffs is None or not self._has_one_lock:
            return self._watched
        return [each for each in self._watched if each.thread.address == gil.last or each.told.stack is None]

    def _changed(self, among: Sequence[Watched]) -> list[Watched]:
        """Glance at some threads by one call, and return those that are not as they were."""
        glances = [watched.glance for watched in among]
        if glances != self._glances:
            self._glances, self._joined = glances, Places.joined(glances)
            self._ends = list(accumulate((glance.size for glance in glances), initial=0))
        (data,) = self._memory.read_all([self._joined])
        if data is None:  # of some not all can be read, or it is too much for one call
            parts = self._memory.read_all(glances)
        else:
            parts = [data[start:end] for start, end in pairwise(self._ends)]
        return [watched for watched, part in zip(among, parts, strict=True) if not watched.is_same(part)]
