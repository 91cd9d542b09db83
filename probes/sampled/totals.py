"""What the threads of each process did, all in all: ThreadTime records, with or without requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.records import BUCKETS
from perfwatch.probes.sampled.booking import Book
from perfwatch.probes.samples import ThreadTime

if TYPE_CHECKING:
    from perfwatch.probes.sampled.reading import Process, Reader, Thread
    from perfwatch.probes.sampled.states import State

IDLE_NS: Final = 1_000_000_000
"""Without requests to go by, a thread that sleeps so long where it sleeps shallowest has nothing to do."""


class Totals:
    """Adds up thread time since the last record."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last_ns = 0

    def take(self, now_ns: int, *, with_requests: bool) -> list[ThreadTime]:
        """Return one record a process; `with_requests`: what is rest has been learned from them."""
        since_ns, self._last_ns = self._last_ns, now_ns
        if not since_ns or now_ns <= since_ns:
            return []
        samples = self._reader.count_rounds(since_ns, now_ns)
        return [
            _total(process, since_ns, now_ns, samples, with_requests=with_requests)
            for process in self._reader.processes.values()
        ]


def _total(process: Process, since_ns: int, now_ns: int, samples: int, *, with_requests: bool) -> ThreadTime:
    booked = [0] * len(BUCKETS)
    idle_ns = 0
    for thread in process.all_threads():
        if thread.timeline.ended_ns is not None and thread.timeline.ended_ns < since_ns:
            continue
        rest = _Rest(thread, now_ns, with_requests=with_requests)
        book = Book(rest.is_rest, is_unclear=rest.is_unclear)
        book.add(thread.timeline, since_ns, now_ns)
        idle_ns += book.rest_ns
        booked = [so_far + more for so_far, more in zip(booked, book.balance().booked_ns, strict=True)]
    return ThreadTime(now_ns, process.pid, len(process.threads), samples, tuple(booked), idle_ns)


class _Rest:
    """Whether a thread waits for work."""

    def __init__(self, thread: Thread, now_ns: int, *, with_requests: bool) -> None:
        self._thread = thread
        self._with_requests = with_requests
        self._is_long = now_ns - thread.timeline.asleep_since_ns >= IDLE_NS

    def is_rest(self, state: State) -> bool:
        if self._thread.rests.is_rest(state):
            return True
        return self._is_long and state is self._thread.timeline.state and self._is_shallow(state)

    def is_unclear(self, state: State) -> bool:
        """Say whether it could be a pool's worker as well as a request that waits for a lock: it is booked nowhere."""
        return self._is_shallow(state)

    def _is_shallow(self, state: State) -> bool:
        return not self._with_requests and self._thread.rests.is_shallow(state)
