"""Identical requests that do identical work: what a cache would save.

Identical is a GET of the same target, query string included, whose answer has the same size, and which made the same
calls: none that writes. Its CPU time must be alike too; how long others take to answer may vary. Who asked is not
seen, nor what the answer says: the advice says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.chances.notes import Note
from perfwatch.agent.correlator.recent import Recent

if TYPE_CHECKING:
    from perfwatch.agent.model import Bucket, Request, ServedRequest

_Calls: TypeAlias = "frozenset[tuple[str, str | None, int]]"

WITHIN_NS: Final = 60_000_000_000
_WORK: Final[tuple[Bucket, ...]] = ("on_cpu", "calls", "disk", "fault", "child")
_LEAST_NS: Final = 2_000_000
_ALIKE: Final = 0.5
_ALIKE_NS: Final = 2_000_000
_SAME_BYTES: Final = 16
"""Dates and numbers of requests in an answer's head may differ in length."""
_KEPT: Final = 4096
_WRITING: Final = (
    "INSERT UPDATE DELETE MERGE REPLACE UPSERT TRUNCATE POST PUT PATCH SET MSET SETEX HSET HMSET DEL INCR DECR INCRBY "
    "LPUSH RPUSH LPOP RPOP SADD SREM ZADD XADD EXPIRE PUBLISH FINDANDMODIFY"
)
_WRITES: Final = frozenset(_WRITING.split())


class _Done(NamedTuple):
    """What a request did."""

    at_ns: int
    cpu_ns: int
    sent_bytes: int
    calls: _Calls


class Repeats:
    """The targets that were asked for last."""

    def __init__(self) -> None:
        self._known: Recent[tuple[int | None, int], _Done] = Recent(_KEPT)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, request: Request) -> Note | None:
        """Return what a cache would have saved of this one; 1 us where it did little."""
        record = request.record
        if record.asked is None or (work_ns := work_of(request)) is None or (calls := _calls_of(record)) is None:
            return None
        key = (request.service, record.asked)
        before, now = self._known.pop(key), _Done(record.ended_ns, request.ledger["on_cpu"], record.sent_bytes, calls)
        self._known.put(key, now)
        if before is None or not _is_alike(before, now):
            return None
        return Note("cache", work_ns, record.sent_bytes, record.target or "?", request.ledger["on_cpu"])


def work_of(request: Request) -> int | None:
    """Return the work of a request that might be answered from a cache; None of any other."""
    record = request.record
    if record.asked is None or request.ledger.total_ns < _LEAST_NS or record.method != "GET":
        return None
    if record.status != 200 or record.calls_lost:  # noqa: PLR2004
        return None
    work_ns = sum(request.ledger[bucket] for bucket in _WORK)
    return work_ns if work_ns >= _LEAST_NS else None


def _is_alike(before: _Done, now: _Done) -> bool:
    return (
        0 <= now.at_ns - before.at_ns <= WITHIN_NS
        and abs(now.sent_bytes - before.sent_bytes) <= _SAME_BYTES
        and now.calls == before.calls
        and abs(now.cpu_ns - before.cpu_ns) <= max(_ALIKE * max(now.cpu_ns, before.cpu_ns), _ALIKE_NS)
    )


def _calls_of(record: ServedRequest) -> _Calls | None:
    """Return what it asked of whom, and how often; None where one of the calls writes, or may do so."""
    counts: dict[tuple[str, str | None], int] = {}
    for call in record.calls:
        if call.sent_ns is None:
            continue
        verb = (call.operation or "").partition(" ")[0].upper()
        if verb in _WRITES or call.kind == "publish":
            return None
        counts[call.peer, call.operation] = counts.get((call.peer, call.operation), 0) + 1
    return frozenset((peer, operation, count) for (peer, operation), count in counts.items())
