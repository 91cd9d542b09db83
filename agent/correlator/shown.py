"""The judged requests that a view or a report shows, with their calls: of so many, some give theirs up.

In a view the newest keep them, in a report the slowest.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.model import MAX_JUDGED

if TYPE_CHECKING:
    from perfwatch.agent.model import Request

MAX_CALLS: Final = 65_536
"""About 45 MB."""
MAX_REPORTED_CALLS: Final = 20_000
"""About 18 MB of JSON."""


class Shown:
    """Judged requests by their id, in order of delivery: the newest ones."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._requests: dict[int, Request] = {}
        self._calling: dict[int, int] = {}
        """How many calls of which requests are kept, the oldest first."""
        self._calls = 0
        self._max_calls = max_calls

    @property
    def requests(self) -> tuple[Request, ...]:
        """All of them, the newest last."""
        return tuple(self._requests.values())

    def get(self, key: int) -> Request | None:
        """Return a request that is kept."""
        return self._requests.get(key)

    def put(self, request: Request) -> None:
        """Keep a request, in place of an earlier one with its id; the oldest ones give way."""
        key, calls = request.record.id, len(request.record.calls)
        self.pop(key)
        self._requests[key] = request
        if calls:
            self._calling[key] = calls
            self._calls += calls
        if len(self._requests) > MAX_JUDGED:
            self.pop(next(iter(self._requests)))
        while self._calls > self._max_calls and len(self._calling) > 1:
            oldest = next(iter(self._calling))
            self._calls -= self._calling.pop(oldest)
            self._requests[oldest] = without_calls(self._requests[oldest])

    def pop(self, key: int) -> Request | None:
        """Keep a request no longer."""
        self._calls -= self._calling.pop(key, 0)
        return self._requests.pop(key, None)


class Reported:
    """All judged requests of a recording, in order of delivery."""

    def __init__(self, max_calls: int = MAX_REPORTED_CALLS) -> None:
        self.requests: list[Request] = []
        self._calling: list[tuple[int, int]] = []
        """A heap: how long a request with calls took, and its place."""
        self._calls = 0
        self._max_calls = max_calls

    def add(self, request: Request) -> None:
        """Take the next one."""
        calls = len(request.record.calls)
        if calls:
            heappush(self._calling, (request.ledger.total_ns, len(self.requests)))
            self._calls += calls
        self.requests.append(request)
        while self._calls > self._max_calls and len(self._calling) > 1:
            _, place = heappop(self._calling)
            self._calls -= len(self.requests[place].record.calls)
            self.requests[place] = without_calls(self.requests[place])


def without_calls(request: Request) -> Request:
    """Return a request whose calls are counted, and not told any more."""
    record = request.record
    lost = record.calls_lost + len(record.calls)
    return msgspec.structs.replace(request, record=msgspec.structs.replace(record, calls=(), calls_lost=lost))
