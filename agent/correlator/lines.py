"""Who stood in line before a request at a lock: the time of a wait by those that held the lock meanwhile.

The thread that ended a wait may have waited for the same lock itself until shortly before: what came before that is not
its doing, but of those that it waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.correlator.places import telling
from perfwatch.agent.model import ServedRequest
from perfwatch.probes.frames import StackTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Traffic
    from perfwatch.agent.model import Frame, Wait
    from perfwatch.probes.records import Waker

_LONGEST: Final = 16


class Kept(NamedTuple):
    """A stretch of a wait, and the thread that held meanwhile what was waited for."""

    holder: Waker
    code: StackTable
    """In which its stack is told."""
    stack: int | None
    """What it executed when it gave it up."""
    from_ns: int
    until_ns: int

    @property
    def kept_ns(self) -> int:
        """How long that was."""
        return max(self.until_ns - self.from_ns, 0)


def line_before(code: StackTable, wait: Wait, traffic: Traffic) -> Iterator[Kept]:
    """Yield who kept the lock during a wait, the last one first; as far as the requests in line have ended.

    `code` has the stacks of whoever waited.
    """
    from_ns, until_ns = wait.started_ns, _end_of(wait)
    for _ in range(_LONGEST):
        if wait.waker is None:
            return
        ahead = _waited_too(wait, from_ns, until_ns, traffic)
        got_ns = from_ns if ahead is None else _end_of(ahead[1])
        yield Kept(wait.waker, code, wait.waker_stack, got_ns, until_ns)
        if ahead is None:
            return
        code, wait, until_ns = ahead[0].code, ahead[1], got_ns


def without_stacks(record: ServedRequest) -> ServedRequest:
    """Return a request without stacks and calls, which are large; of those it waited for at locks one frame stays."""
    told: dict[int | None, Frame] = {}
    for wait in record.waits:
        if wait.bucket == "lock" and wait.waker_stack not in told:
            frame = telling(record.code.stack(wait.waker_stack))
            told |= {} if frame is None else {wait.waker_stack: frame}
    places = {stack: number for number, stack in enumerate(told)}
    waits = tuple(
        wait
        if wait.stack is None and wait.waker_stack is None
        else msgspec.structs.replace(
            wait, stack=None, waker_stack=places.get(wait.waker_stack) if wait.bucket == "lock" else None
        )
        for wait in record.waits
    )
    code = StackTable(tuple(told.values()), tuple((number,) for number in range(len(told))))
    return msgspec.structs.replace(record, waits=waits, code=code, ran=(), calls=())


def _waited_too(wait: Wait, from_ns: int, until_ns: int, traffic: Traffic) -> tuple[ServedRequest, Wait] | None:
    """Return the request of the thread that ended a wait, and its own wait for the same lock that ended meanwhile."""
    other = None if wait.waker is None or wait.waker.request is None else traffic.find(wait.waker.request)
    if not isinstance(other, ServedRequest) or wait.bucket != "lock":
        return None
    same = [one for one in other.waits if _lock_of(one) == _lock_of(wait) and from_ns < _end_of(one) < until_ns]
    return (other, max(same, key=_end_of)) if same else None


def _lock_of(wait: Wait) -> tuple[str, str | None, str | None]:
    """Return what tells locks apart: of futexes the address; of file locks nothing does."""
    return wait.bucket, wait.call, wait.detail


def _end_of(wait: Wait) -> int:
    return wait.started_ns + wait.blocked_ns
