"""Follows judged requests into the services that they called: finds their callees, and who is to be judged anew.

A caller shows its callee's ledger and verdict; so it is judged again when that comes, or changes, later. What depends
on nothing but the records and their order stays so: live and replay agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.callee import Callees
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.model import Callee, Ledger, Request, Verdict, arrival_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.correlator.services import Services
    from perfwatch.agent.model import ServedRequest

MAX_ANEW: Final = 16
"""So many requests are judged anew, at most, for one that came."""
_UNJUDGED: Final = Verdict("unknown", None, 0.0, 0.0, "not judged")


class Following:
    """Nothing is followed, and nothing kept, unless a process may be called that is watched too."""

    def __init__(self, services: Services, judged: Callable[[int], Request | None]) -> None:
        """`judged` gives a request that has a verdict, by its id."""
        self._services = services
        self._judged = judged
        self._callees = Callees()

    def take(self, record: ServedRequest) -> None:
        """Take in a request that has ended."""
        if self._services.is_followed:
            self._callees.take(record)

    def ask(self, record: ServedRequest) -> None:
        """Take in whom a request called that is judged."""
        if self._services.is_followed:
            self._callees.ask(record)

    def followed(self, request: Request, judge: Callable[[Request], Request]) -> Request:
        """Return a request with its callees, the same one where they are what they were.

        `judge` gives a verdict to a callee that was too quick to have one.
        """
        if not (self._services.is_followed and request.record.calls):
            return request
        found = tuple(self._callee(place, record, judge) for place, record in self._callees.of(request.record))
        return request if found == request.callees else msgspec.structs.replace(request, callees=found)

    def judged_anew(self, record: ServedRequest, judge: Callable[[Request], tuple[Request, ...]]) -> Iterator[Request]:
        """Have those judged anew that called a request, and those that called them; yields what was.

        `judge` returns nothing for one whose callees are what they were.
        """
        seen, changed = {record.id}, [record]
        while changed:
            for caller in self._callees.callers(changed.pop()):
                request = self._judged(caller) if caller not in seen else None
                if request is not None and len(seen) <= MAX_ANEW:
                    seen.add(caller)
                    anew = judge(request)
                    changed += [one.record for one in anew]
                    yield from anew

    def _callee(self, place: int, record: ServedRequest, judge: Callable[[Request], Request]) -> Callee:
        request = self._judged(record.id)
        if request is None or request.record.ended_ns != record.ended_ns:
            request = judge(self._unjudged(record))
        return Callee(
            call=place,
            request=record.id,
            pid=record.pid,
            process=self._services.named(record.pid),
            method=record.method or "?",
            route=request.route,
            ledger=request.ledger,
            verdict=request.verdict or _UNJUDGED,
        )

    def _unjudged(self, record: ServedRequest) -> Request:
        arrived_ns = arrival_of(record)
        ledger = Ledger(max(record.ended_ns - arrived_ns, 0), record.booked_ns)
        return Request(
            record, fold(record.target), ledger, slow=False, verdict=None, service=self._services.of(record.pid)
        )
