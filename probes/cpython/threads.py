"""The thread states of an interpreter, and which thread of the kernel each belongs to.

From 3.11 on a thread state holds the thread's id as gettid(2) gave it. Before that it holds only its pthread_t, which
is the address of the C library's own record of the thread; the id lies in that at a place that no header tells. It is
found as the one place at which the records of all threads hold the ids of different threads of this process.

In another PID namespace (a container) these ids are those of that namespace: the line `NSpid` of
/proc/PID/task/TID/status translates them. Source: proc(5), pid_namespaces(7).
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.cpython.objects import integer
from perfwatch.probes.errors import ProbeError
from perfwatch.probes.readers import proc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from perfwatch.probes.cpython.python import Python

MAX_THREADS: Final = 1024
MAX_INTERPRETERS: Final = 16
_RECORD_BYTES: Final = 1152
"""Of a pthread's record: the id lies at 720 in glibc, at 48 in musl."""
_INT: Final = 4


class Thread(NamedTuple):
    """One thread state."""

    address: int
    id: int
    """Within its interpreter, never given again; 0 where this version does not say where it lies."""
    interpreter: int
    """Address of its state."""
    next: int
    """Address of the state behind it in the list; 0 of the oldest."""
    tid: int | None
    """In the PID namespace of perfwatch; None if no living thread is known to be it."""


class _State(NamedTuple):
    """What a thread state says itself; as `Thread`."""

    address: int
    id: int
    interpreter: int
    next: int
    pthread: int
    native: int
    """0 where this version does not keep it."""

    @property
    def key(self) -> tuple[int, int]:
        """What no other thread of the process ever has."""
        return self.address, self.id


class Threads:
    """The threads of one Python; `read` raises Vanished or Unavailable."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._head = python.runtime + python.layout["rt.interp_head"]
        self._task = roots.PROC / str(python.pid) / "task"
        self._inner = _is_elsewhere(python.pid)
        self._records = _Records()
        self._tids: dict[tuple[int, int], int] = {}

    def read(self) -> list[Thread]:
        """Return the threads of all interpreters, each one's newest first: 5 us each, 15 us more for a new one."""
        found = list(islice((state for each in self._interpreters() for state in self._states(each)), MAX_THREADS))
        keys = {state.key for state in found}
        self._tids = {key: tid for key, tid in self._tids.items() if key in keys}
        if len(self._tids) < len(keys):
            self._identify(found)
        return [
            Thread(state.address, state.id, state.interpreter, state.next, self._tids.get(state.key)) for state in found
        ]

    def _interpreters(self) -> Iterator[int]:
        address = self._memory.word(self._head)
        for _ in range(MAX_INTERPRETERS):
            if not address:
                return
            yield address
            address = self._memory.word(address + self._layout["is.next"])

    def _states(self, interpreter: int) -> Iterator[_State]:
        address = self._memory.word(interpreter + self._layout["is.threads_head"])
        for _ in range(MAX_THREADS):
            data = self._memory.read(address, self._layout["sz.ts"]) if address else None
            if not address or data is None or integer(data, self._layout["ts.interp"]) != interpreter:
                return
            state = self._state(address, data)
            yield state
            address = state.next

    def _state(self, address: int, data: bytes) -> _State:
        layout = self._layout
        native = layout.get("ts.native_thread_id")
        return _State(
            address=address,
            id=integer(data, layout["ts.id"]) if layout.get("ts.id") is not None else 0,
            interpreter=integer(data, layout["ts.interp"]),
            next=integer(data, layout["ts.next"]),
            pthread=integer(data, layout["ts.thread_id"]),
            native=0 if native is None else integer(data, native),
        )

    def _identify(self, found: list[_State]) -> None:
        """Find the ids of threads that have none yet."""
        tasks = self._tasks()
        told = [state.native for state in found]
        if not all(tid in tasks for tid in told):
            # Right after a fork also later versions hold the id of the parent's thread.
            records = self._memory.read_each([(state.pthread, _RECORD_BYTES) for state in found])
            held = self._records.ids(records, tasks.keys())
            told = [tid if tid in tasks else other for tid, other in zip(told, held, strict=True)]
        for state, tid in zip(found, told, strict=True):
            if tid in tasks:
                self._tids[state.key] = tasks[tid]

    def _tasks(self) -> dict[int, int]:
        """Return the process's threads: id in its own PID namespace -> id in that of perfwatch."""
        try:
            tids = [int(name) for name in os.listdir(self._task) if name.isdigit()][:MAX_THREADS]  # noqa: PTH208
        except OSError as error:
            raise proc.translated(error, self._task) from None
        if not self._inner:
            return dict(zip(tids, tids, strict=True))
        return {inner: tid for tid in tids if (inner := self._inner_id(tid))}

    def _inner_id(self, tid: int) -> int | None:
        try:
            status = proc.read(self._task / str(tid) / "status")
        except (ProbeError, OSError):
            return None
        line = next((line for line in status.splitlines() if line.startswith(b"NSpid:")), b"")
        return int(line.split()[-1]) if line else None


class _Records:
    """Where the C library keeps the id in its record of a thread; narrowed with each thread that is seen."""

    def __init__(self) -> None:
        self._places: list[int] | None = None

    def ids(self, records: list[bytes | None], living: Collection[int]) -> list[int]:
        """Return the id in each record, 0 where none was found; `living` holds the ids that can be."""
        read = [record for record in records if record]
        places = self._fitting(read, living, self._places or list(range(0, _RECORD_BYTES, _INT)))
        if not places and self._places:
            return [0] * len(records)  # a thread is just ending: what fitted before is still so
        self._places = places
        return [integer(record, places[0], _INT) if record and places else 0 for record in records]

    @staticmethod
    def _fitting(records: list[bytes], living: Collection[int], places: list[int]) -> list[int]:
        fitting = []
        for place in places:
            ids = [integer(record, place, _INT) for record in records]
            if ids and len(set(ids)) == len(ids) and all(each in living for each in ids):
                fitting.append(place)
        return fitting


def _is_elsewhere(pid: int) -> bool:
    """Whether a process is in another PID namespace; if that may not be seen, it is taken that it is not."""
    try:
        theirs, own = ((roots.PROC / name / "ns" / "pid").stat().st_ino for name in (str(pid), "self"))
    except OSError:
        return False
    return theirs != own
