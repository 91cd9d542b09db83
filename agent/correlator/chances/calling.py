"""What calls to other processes could have been spared: those that could overlap, and those that were tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.chances.notes import Note
from perfwatch.agent.correlator.together import could_overlap, name_of
from perfwatch.agent.correlator.wording import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Call, Request

_LEAST_CALLS: Final = 2
_MAX_NAME: Final = 60
_BEGINS: Final = ("BEGIN", "START TRANSACTION", "MULTI", "WATCH")
_SESSIONS: Final = frozenset({"postgresql", "mysql", "redis"})


def overlapping(request: Request) -> Note | None:
    """Return the calls of a judged request that could have run at the same time, if none needs another's answer."""
    if len(request.record.calls) < _LEAST_CALLS:
        return None
    found = could_overlap(request.record)
    if found is None:
        return None
    return Note("overlap-calls", found.saved_ns, len(found.calls), found.names(_MAX_NAME))


def retried(request: Request) -> Note | None:
    """Return what was done in vain before it was done again: calls, or transactions, that came into conflict."""
    calls = request.record.calls
    if len(calls) < _LEAST_CALLS or not any(_is_conflict(call) for call in calls):
        return None
    lost_ns, times, first, until_ns = 0, 0, None, 0
    asked = sorted((call for call in calls if call.sent_ns is not None), key=lambda call: call.started_ns)
    for at, call in enumerate(asked):
        if not _is_conflict(call) or call.started_ns < until_ns:
            continue
        attempt = _attempt(asked, at)
        again = next((one for one in asked[at + 1 :] if _same(one, attempt)), None)
        if again is not None:
            lost_ns += again.started_ns - attempt.started_ns
            until_ns, times = again.started_ns, times + 1
            first = first or call
    return None if first is None else Note("retries", lost_ns, times, cut(name_of(first), _MAX_NAME))


def _is_conflict(call: Call) -> bool:
    return call.conflict or (call.operation or "").upper().startswith("ROLLBACK")


def _attempt(asked: Sequence[Call], at: int) -> Call:
    """Return where what came into conflict had begun: of a transaction its first statement that names something."""
    conflict = asked[at]
    if conflict.protocol not in _SESSIONS:
        return conflict
    first = conflict
    for call in reversed(asked[:at]):
        if call.connection != conflict.connection:
            continue
        operation = (call.operation or "").upper()
        if operation.startswith(("COMMIT", "ROLLBACK")):
            break
        first = call
        if operation.startswith(_BEGINS):
            break
    return first


def _same(one: Call, other: Call) -> bool:
    return one.peer == other.peer and one.operation == other.operation and one.operation is not None
