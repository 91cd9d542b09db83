"""Requests whose chains of blame go on with requests that have not been told yet; bounded.

Of some it is known with which; of others, whom a coroutine gave something back, only when that one must have ended.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.recent import RecentLists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.chains import Followed
    from perfwatch.agent.model import ServedRequest

MOST: Final = 64
"""So many requests, at most, have their chains told anew for one that came."""
_IDS: Final = 4096
_PROCESSES: Final = 256
_WAITING: Final = 32
_AROUND_NS: Final = 5_000_000
_LATE_NS: Final = 500_000_000
"""So much later than another one, at most, a request is told."""


class _Waiting(NamedTuple):
    """A request, and when those ended that it waited for."""

    id: int
    told_ns: int
    moments: tuple[int, ...]


class Pending:
    """Finds those that a request concerns."""

    def __init__(self) -> None:
        self._by_id: RecentLists[int, int] = RecentLists(_IDS)
        self._by_process: dict[int, deque[_Waiting]] = {}

    def __len__(self) -> int:
        return max(len(self._by_id), len(self._by_process))

    def put(self, record: ServedRequest, followed: Followed) -> None:
        """Take in how far the chain of a request was followed."""
        for request in followed.pending:
            if record.id not in islice(self._by_id.newest(request), MOST):
                self._by_id.add(request, record.id)
        if followed.moments and (record.pid in self._by_process or len(self._by_process) < _PROCESSES):
            waiting = self._by_process.setdefault(record.pid, deque(maxlen=_WAITING))
            waiting.append(_Waiting(record.id, record.at_ns, followed.moments))

    def concerned(self, record: ServedRequest) -> tuple[int, ...]:
        """Return the requests, by id, that a request may have kept waiting; costs 0.2 us for each that waits."""
        if record.pid not in self._by_process and record.id not in self._by_id:
            return ()
        found = [*islice(self._by_id.newest(record.id), MOST), *self._at_that_moment(record)]
        return tuple(dict.fromkeys(one for one in found if one != record.id))[:MOST]

    def _at_that_moment(self, record: ServedRequest) -> Iterator[int]:
        waiting = self._by_process.get(record.pid)
        if waiting is None:
            return
        while waiting and waiting[0].told_ns < record.at_ns - _LATE_NS:
            waiting.popleft()
        if not waiting:
            del self._by_process[record.pid]
        for one in waiting:
            if any(abs(record.ended_ns - moment) <= _AROUND_NS for moment in one.moments):
                yield one.id
