"""The words for the steps of a request's course: what each was, where in the code, on whom; untrusted as they come."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.keepers import doing, name
from perfwatch.agent.correlator.permits import awaited
from perfwatch.agent.correlator.places import is_scaffolding, place_of, telling
from perfwatch.agent.correlator.refining import is_suspended, pooled
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.report_calls import asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.course_step import Stretch
    from perfwatch.agent.model import Bucket, Call, Frame, PeerProcess, Request, Wait, Waker

_ENDED: Final[dict[Bucket, str]] = {"lock": "released", "gil": "given up", "loop": "kept"}
_SIGNALS: Final = frozenset({"signal", "item"})


class Told(NamedTuple):
    """The words of one step, in the order of its fields, and whom they are about."""

    what: str = ""
    place: str = ""
    whom: str = ""
    request: int | None = None
    thread: Waker | None = None


class Speaker:
    """Says it of one request; `peers` are the processes of this host that are known to be called."""

    def __init__(self, request: Request, peers: Sequence[PeerProcess] = ()) -> None:
        self._record = request.record
        self._callees = {one.call: one for one in request.callees}
        self._numbers = {id(call): number for number, call in enumerate(request.record.calls)}
        mine = (one for one in peers if one.seen_by == request.record.pid)
        self._peers = {one.address: f"{one.address} ({one.name}, pid {one.pid})" for one in mine}

    def waited_for(self, wait: Wait, call: Call | None = None) -> Told:
        """Say what a wait was for; `call`: what most of it was spent on, where it was for another process."""
        frames = self._stack(wait.stack)
        place = _at(frames)
        if call is not None:
            told = self.asked_for(call)
            return told._replace(place=place or told.place)
        if wait.peer is not None:
            return Told(place=place, whom=f"of {self._peers.get(wait.peer, wait.peer)}")
        if wait.bucket == "loop" and (keeper := self._keeper(wait)):
            return Told("", place, f"kept by {keeper}", _request_of(wait.waker), wait.waker)
        whom = self._ended(wait, frames)
        return Told(_what(wait, is_told=bool(place or whom)), place, whom, _request_of(wait.waker), wait.waker)

    def awaited_cpu(self, wait: Wait) -> Told:
        """Say why a thread that could run had no CPU."""
        what = "woken" if wait.blocked_ns else "preempted"
        what += f", its quota used up for {duration(wait.throttled_ns)}" if wait.throttled_ns > 0 else ""
        ahead = wait.ahead
        if ahead is not None:
            return Told(what, "", f"behind {ahead.name} {ahead.tid}", ahead.request, ahead)
        return Told(what if wait.throttled_ns > 0 else f"{what}, no CPU free")

    def asked_for(self, call: Call) -> Told:
        """Say what was asked of whom; where that is watched too, which request it was there."""
        callee = self._callees.get(self._numbers.get(id(call), -1))
        spoken = "" if call.protocol == "unknown" else f"{call.protocol} "
        whom = f"{spoken}{self._peers.get(call.peer, call.peer)}" if callee is None else callee.process
        what = "" if call.operation is None and call.outcome == "answered" else _asked(call)
        request = None if callee is None else callee.request
        return Told(what, _at(self._stack(call.stack)), f"of {whom}", request)

    def ran_in(self, since_ns: int, parts: Sequence[Stretch]) -> Told:
        """Say where in the code most of the readings were that fell into a run; nothing where none did."""
        seen: Counter[int] = Counter()
        for reading in self._record.ran:
            if parts and parts[0][0] <= reading.at_ns - since_ns <= parts[-1][1]:
                seen[reading.stack] += 1
        return Told(place=_at(self._stack(seen.most_common(1)[0][0]))) if seen else Told()

    def _ended(self, wait: Wait, frames: Sequence[Frame]) -> str:
        """Say who ended a wait: a lock is released, what was pooled given back, a signal given."""
        waker = wait.waker
        if waker is None:
            return ""
        kind = awaited(frames)
        if pooled(wait):
            did = "given back"
        elif kind is not None and kind.kind in _SIGNALS:
            did = "signalled"
        else:
            did = _ENDED.get(wait.bucket, "woken")
        return f"{did} by {waker.name} {waker.tid}{self._where(wait)}"

    def _keeper(self, wait: Wait) -> str | None:
        """Name the request that kept the loop, where it is known."""
        kept_by = _request_of(wait.waker)
        culprit = next((one for one in self._record.culprits if one.request == kept_by), None)
        if culprit is None or wait.waker is None:
            return None
        who = name(culprit.method, culprit.target, culprit.request)
        return who if culprit.request is None else f"{who}{self._where(wait)}"

    def _where(self, wait: Wait) -> str:
        """Say where the thread was that ended a wait; a server's own loop tells nothing."""
        frames = self._stack(wait.waker_stack)
        frame = telling(frames)
        return "" if frame is None or is_scaffolding(frame) else f" in {_at(frames)}"

    def _stack(self, place: int | None) -> tuple[Frame, ...]:
        return self._record.code.stack(place)


def _what(wait: Wait, *, is_told: bool) -> str:
    """Say what a wait was for that is not for a process; the system call, where nothing else tells."""
    if is_suspended(wait):
        return "suspended"
    if permit := pooled(wait):
        return permit
    is_known = wait.bucket == "gil" or (is_told and wait.bucket != "other")
    return "" if is_known else " ".join(part for part in (wait.call, wait.detail) if part)


def _asked(call: Call) -> str:
    return asked(call.operation, call.kind, call.outcome)


def _at(frames: Sequence[Frame]) -> str:
    found = place_of(frames)
    return "" if found is None else doing(found.frame.function, found.frame.file, found.frame.line, found.called)


def _request_of(waker: Waker | None) -> int | None:
    return None if waker is None else waker.request
