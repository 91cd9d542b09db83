"""Who gave back what coroutines waited for: told by the moment, where nothing else tells it.

A coroutine that waits for a permit, a pooled connection or a lock goes on when another one gives it back, and nothing
is seen of that from outside. But who gives something back mostly answers right then: so the requests that ended at that
very moment are counted, over all waits of an endpoint. Some end there by chance: as many as at a moment shortly before,
when nothing was given back. The endpoint whose requests always end there, and not then, is the one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.correlator.refining import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import ServedRequest, Wait

Endpoint: TypeAlias = tuple[str, str]
_AROUND_NS: Final = 5_000_000
"""A loop does other things between the one that gives and the one that goes on."""
_SHORTLY_NS: Final = 20_000_000
_EARLIEST_NS: Final = _AROUND_NS + _SHORTLY_NS
_LATE_NS: Final = 500_000_000
"""So much later than another one, at most, a request is told."""
_PROCESSES: Final = 256
_ENDS: Final = 128
_PENDING: Final = 128
_WAITS: Final = 4096
_ENDPOINTS: Final = 512
_GIVERS: Final = 32
_MOSTLY: Final = 0.5


class Giver(NamedTuple):
    """The endpoint whose requests gave it back."""

    endpoint: Endpoint
    kept_ns: int
    whole_ns: int
    """Of all waits of which somebody may have ended at that moment."""


class _End(msgspec.Struct, frozen=True, gc=False):
    id: int
    ended_ns: int
    endpoint: Endpoint


class _Waited(NamedTuple):
    """A wait, and who may have ended it: by endpoint, how long that one had what was waited for."""

    id: int
    from_ns: int
    until_ns: int
    gone_ns: int
    """When its request had gone on for sure."""
    what: str
    endpoint: Endpoint
    kept_ns: dict[Endpoint, int]


class _Process(NamedTuple):
    ends: deque[_End]
    pending: deque[_Waited]


class Givers:
    """The newest waits and ends of each process, and sums by endpoint; bounded."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._waits: Recent[int, _Waited] = Recent(_WAITS)
        self._kept: Recent[Endpoint, dict[Endpoint, int]] = Recent(_ENDPOINTS)
        self._whole: Recent[Endpoint, int] = Recent(_ENDPOINTS)

    def __len__(self) -> int:
        return max(len(self._processes), len(self._waits), len(self._kept), len(self._whole))

    def served(self, record: ServedRequest, endpoint: Endpoint) -> None:
        """Take in a request, once; costs 1 us, and 10 us for each of its waits."""
        process = self._process(record.pid)
        end = _End(record.id, record.ended_ns, endpoint)
        for waited in reversed(process.pending):
            if waited.gone_ns < end.ended_ns - _LATE_NS:
                break
            if waited.until_ns - _EARLIEST_NS <= end.ended_ns <= waited.gone_ns:
                self._match(waited, end)
        process.ends.append(end)
        for waited in _untold(record, endpoint):
            self._waits.put(record.id, waited)
            process.pending.append(waited)
            self._whole.put(endpoint, (self._whole.get(endpoint) or 0) + waited.until_ns - waited.from_ns)
            for one in process.ends:
                if waited.until_ns - _EARLIEST_NS <= one.ended_ns <= waited.gone_ns:
                    self._match(waited, one)

    def of(self, endpoint: Endpoint) -> Giver | None:
        """Return whose requests ended at most of the moments at which those of an endpoint went on."""
        kept, whole_ns = self._kept.get(endpoint), self._whole.get(endpoint) or 0
        if not kept or whole_ns <= 0:
            return None
        giver = max(kept, key=lambda name: kept[name])
        return Giver(giver, min(kept[giver], whole_ns), whole_ns) if kept[giver] >= _MOSTLY * whole_ns else None

    def gave(self, record: ServedRequest, wait: Wait) -> int | None:
        """Return the request, by its id, that gave back what a request waited for, if it is one of those that do.

        That is one of the endpoint whose requests gave it back at most of such moments, and ended at this one.
        """
        waited, process = self._waits.get(record.id), self._processes.get(record.pid)
        giver = None if waited is None or not is_untold(record, wait) else self.of(waited.endpoint)
        if giver is None or process is None:
            return None
        until_ns = wait.started_ns + wait.blocked_ns
        ends = [one for one in process.ends if one.endpoint == giver.endpoint and one.id != record.id]
        nearest = min(ends, key=lambda one: abs(one.ended_ns - until_ns), default=None)
        return nearest.id if nearest is not None and abs(nearest.ended_ns - until_ns) <= _AROUND_NS else None

    def _match(self, waited: _Waited, end: _End) -> None:
        """Count a request that ended when a wait did; what it had waited for the same itself, was another's."""
        if end.id == waited.id:
            return
        since_ns = waited.until_ns - _AROUND_NS
        if since_ns - _SHORTLY_NS <= end.ended_ns <= waited.gone_ns - _SHORTLY_NS:
            self._count(waited, end.endpoint, waited.from_ns - waited.until_ns)
        if not since_ns <= end.ended_ns <= waited.gone_ns:
            return
        own = self._waits.get(end.id)
        got_ns = waited.from_ns
        if own is not None and own.what == waited.what:
            got_ns = min(max(own.until_ns, waited.from_ns), waited.until_ns)
            before_ns, its_ns = got_ns - waited.from_ns, sum(max(ns, 0) for ns in own.kept_ns.values())
            for name, kept_ns in own.kept_ns.items() if its_ns > 0 else ():
                self._count(waited, name, before_ns * max(kept_ns, 0) // its_ns)
        self._count(waited, end.endpoint, waited.until_ns - got_ns)

    def _count(self, waited: _Waited, giver: Endpoint, kept_ns: int) -> None:
        waited.kept_ns[giver] = waited.kept_ns.get(giver, 0) + kept_ns
        sums = self._kept.get(waited.endpoint)
        if sums is None:
            sums = {}
            self._kept.put(waited.endpoint, sums)
        if giver in sums or len(sums) < _GIVERS:
            sums[giver] = sums.get(giver, 0) + kept_ns

    def _process(self, pid: int) -> _Process:
        known = self._processes.get(pid)
        if known is None:
            if len(self._processes) >= _PROCESSES:
                del self._processes[next(iter(self._processes))]
            known = self._processes[pid] = _Process(deque(maxlen=_ENDS), deque(maxlen=_PENDING))
        return known


def _untold(record: ServedRequest, endpoint: Endpoint) -> Iterator[_Waited]:
    """Yield the waits for what others had that no thread is known to have ended, and whose end was seen."""
    for wait in record.waits:
        if is_untold(record, wait):
            until_ns = wait.started_ns + wait.blocked_ns
            gone_ns = min(max(record.ended_ns, until_ns), until_ns + _AROUND_NS)
            what = pooled(wait) or "lock"
            yield _Waited(record.id, wait.started_ns, until_ns, gone_ns, what, endpoint, {})


def is_untold(record: ServedRequest, wait: Wait) -> bool:
    """Whether a wait was for what others had, and no request is known to have ended it."""
    if wait.bucket != "lock" or wait.blocked_ns <= 0 or (wait.waker is not None and wait.waker.request is not None):
        return False
    return pooled(wait) is not None or (record.threads == "followed" and wait.call is None)
