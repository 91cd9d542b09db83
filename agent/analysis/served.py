"""All requests of a stream, each once and as it stands in the end, without keeping the whole of it.

A request may be corrected, or judged anew, by what comes later. So each is held back for as long as the correlator
itself would take a correction for the same request, and given in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.engine import CORRECTABLE
from perfwatch.probes.records import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.correlator.engine import Correlator
    from perfwatch.agent.model import Request
    from perfwatch.probes.records import Record

MAX_HELD_CALLS: Final = 65_536
"""About 45 MB."""


class Held:
    """The newest requests by id, the oldest first."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}
        self._calls = 0

    def put(self, request: Request) -> None:
        """Hold a request, in the place of an earlier one with its id."""
        earlier = self._requests.get(request.record.id)
        self._calls += len(request.record.calls) - (len(earlier.record.calls) if earlier else 0)
        self._requests[request.record.id] = request

    def renew(self, request: Request) -> None:
        """Put a request in the place of one that is held still."""
        if request.record.id in self._requests:
            self.put(request)

    def overdue(self) -> Iterator[Request]:
        """Give up those that are too many."""
        while len(self._requests) > CORRECTABLE or (self._calls > MAX_HELD_CALLS and len(self._requests) > 1):
            request = self._requests.pop(next(iter(self._requests)))
            self._calls -= len(request.record.calls)
            yield request

    def rest(self) -> Iterator[Request]:
        """Give up all."""
        yield from self._requests.values()


def served(correlator: Correlator, records: Iterable[Record]) -> Iterator[Request]:
    """Feed a stream to a correlator, and yield its requests, judged or not."""
    held = Held()
    for record in records:
        judged = correlator.feed(record)
        if isinstance(record, ServedRequest) and correlator.served is not None:
            held.put(correlator.served)
        for request in judged:
            held.renew(request)
        yield from held.overdue()
    yield from held.rest()
