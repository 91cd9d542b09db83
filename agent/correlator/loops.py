"""Who kept an event loop from whom, and what it did meanwhile: a bounded memory of the requests of event loops.

A culprit may be told before its victims or after them. So what each request did on the loop's thread is kept for a
while, by its id and by its route, and so is how much it held up others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.places import is_scaffolding, telling
from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.wording import at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from perfwatch.agent.model import Bucket, ServedRequest, Wait

Endpoint: TypeAlias = tuple[str, str]
Times: TypeAlias = tuple[tuple[int, int], ...]
_REQUESTS: Final = 4096
_ROUTES: Final = 512
_LEAST_NS: Final = 5_000_000
"""Who works for less holds up nobody for long."""
_WAITS: Final = 16
_READINGS: Final = 64
_TIMES: Final = 8


class Deed(NamedTuple):
    """What a request did while it kept the loop."""

    bucket: Bucket
    place: str | None
    """`nap() at app.py:12`; None where the code is not known."""


class Held(NamedTuple):
    """What others lost to one request, or to all of one endpoint."""

    requests: int = 0
    spent_ns: int = 0
    longest_ns: int = 0
    """At a stretch, as far as one of 1 ms or more is known."""

    def and_also(self, other: Held) -> Held:
        """Return both together."""
        longest_ns = max(self.longest_ns, other.longest_ns)
        return Held(self.requests + other.requests, self.spent_ns + other.spent_ns, longest_ns)


class _Doings(NamedTuple):
    """What a request did on threads, and when; in so few words that thousands can be kept."""

    endpoint: Endpoint
    waits: tuple[tuple[int, int, Deed], ...]
    """(from, until, what), the longest."""
    ran: tuple[tuple[int, str | None], ...]
    """(at, place)"""


class Loops:
    """The newest requests of event loops; bounded."""

    def __init__(self) -> None:
        self._doings: Recent[int, _Doings] = Recent(_REQUESTS)
        self._held: Recent[int, Held] = Recent(_REQUESTS)
        self._times: Recent[int, Times] = Recent(_REQUESTS)
        self._of_route: Recent[Endpoint, Deed] = Recent(_ROUTES)
        self._held_by: Recent[Endpoint, Held] = Recent(_ROUTES)

    def __len__(self) -> int:
        return max(len(self._doings), len(self._held), len(self._times), len(self._of_route), len(self._held_by))

    def served(self, record: ServedRequest, endpoint: Endpoint) -> None:
        """Take in a request, once; costs nothing for one that no event loop served, else 2-40 us."""
        if record.threads != "followed":
            return
        for culprit in record.culprits:
            if culprit.request is not None and culprit.held_ns > 0:
                times = tuple(stretches(record, culprit.request))[:_TIMES]
                self._suffered(culprit.request, Held(1, culprit.held_ns, min(_longest(times), culprit.held_ns)), times)
        if _worked_ns(record) >= _LEAST_NS:
            self._doings.put(record.id, _doings(record, endpoint))
            self._held_by.put(endpoint, self.held_by(endpoint).and_also(self._held.get(record.id) or Held()))
            deed = self.deed(record.id, ())
            if deed is not None:
                for name in dict.fromkeys((endpoint, (endpoint[0], fold(record.target)))):
                    self._of_route.put(name, deed)

    def deed(self, request: int, times: Times) -> Deed | None:
        """Return what a request spent most of these times on (else of all times that it held up others)."""
        doings = self._doings.get(request)
        if doings is None:
            return None
        return _most(doings, times or self._times.get(request) or ())

    def deed_of(self, endpoint: Endpoint) -> Deed | None:
        """Return what the last request of an endpoint did while it kept the loop."""
        return self._of_route.get(endpoint)

    def endpoint_of(self, request: int) -> Endpoint | None:
        """Return the endpoint of a request that worked for long enough to hold up others."""
        doings = self._doings.get(request)
        return None if doings is None else doings.endpoint

    def held_up(self, request: int) -> Held:
        """Return what others are known by now to have lost to a request."""
        return self._held.get(request) or Held()

    def held_by(self, endpoint: Endpoint) -> Held:
        """Return what others are known by now to have lost to all requests of an endpoint."""
        return self._held_by.get(endpoint) or Held()

    def _suffered(self, culprit: int, lost: Held, times: Times) -> None:
        self._held.put(culprit, self.held_up(culprit).and_also(lost))
        self._times.put(culprit, (*(self._times.get(culprit) or ()), *times)[:_TIMES])
        doings = self._doings.get(culprit)
        if doings is not None:
            self._held_by.put(doings.endpoint, self.held_by(doings.endpoint).and_also(lost))
            deed = self.deed(culprit, ())
            if deed is not None:
                self._of_route.put(doings.endpoint, deed)


def is_blocking(wait: Wait) -> bool:
    """Whether a thread was held up, and not only a coroutine: that is in no system call, or its loop awaits events."""
    if wait.bucket in ("loop", "run_queue", "queue"):
        return False
    return wait.call is not None and not wait.call.startswith("epoll")


def stretches(record: ServedRequest, culprit: int | None) -> Iterator[tuple[int, int]]:
    """Yield when a request waited for its loop, for 1 ms or more, while mostly this other one kept it."""
    for wait in record.waits:
        kept_by = None if wait.waker is None else wait.waker.request
        if wait.bucket == "loop" and kept_by == culprit:
            yield wait.started_ns, wait.started_ns + wait.blocked_ns


def _longest(times: Iterable[tuple[int, int]]) -> int:
    return max((until_ns - from_ns for from_ns, until_ns in times), default=0)


def _worked_ns(record: ServedRequest) -> int:
    """Return for how long it did something that can keep a loop: all but the waits that can not."""
    waits = record.waits
    idle_ns = sum(one.blocked_ns for one in waits if not is_blocking(one)) if waits else 0
    return record.ended_ns - record.started_ns - idle_ns


def _doings(record: ServedRequest, endpoint: Endpoint) -> _Doings:
    waits = sorted(record.waits, key=lambda one: -one.blocked_ns - one.runnable_ns)[: 2 * _WAITS]
    places: dict[int | None, str | None] = {}

    def place(stack: int | None) -> str | None:
        if stack not in places:
            places[stack] = _place(record, stack)
        return places[stack]

    return _Doings(
        endpoint,
        tuple(_pieces(waits, place))[: 2 * _WAITS],
        tuple((one.at_ns, place(one.stack)) for one in record.ran[:: len(record.ran) // _READINGS + 1]),
    )


def _pieces(waits: Iterable[Wait], place: Callable[[int | None], str | None]) -> Iterator[tuple[int, int, Deed]]:
    """Yield when its thread was held up and by what, and when it was ready and had no CPU."""
    for one in waits:
        woken_ns = one.started_ns + one.blocked_ns
        if is_blocking(one) and one.blocked_ns > 0:
            yield one.started_ns, woken_ns, Deed(one.bucket, place(one.stack))
        if one.runnable_ns > 0:
            yield woken_ns, woken_ns + one.runnable_ns, Deed("run_queue", None)


def _place(record: ServedRequest, stack: int | None) -> str | None:
    frame = telling(record.code.stack(stack))
    return None if frame is None or is_scaffolding(frame) else at(frame.function, frame.file, frame.line)


def _most(doings: _Doings, times: Times) -> Deed | None:
    """Return what most of these times went to: the waits that lie in them; the rest of them it computed."""
    spent: dict[Deed, int] = {}
    left_ns = sum(until_ns - from_ns for from_ns, until_ns in times)
    for from_ns, until_ns, deed in doings.waits:
        overlap_ns = sum(max(min(until_ns, end) - max(from_ns, start), 0) for start, end in times)
        if overlap_ns:
            spent[deed] = spent.get(deed, 0) + overlap_ns
            left_ns -= overlap_ns
    ran = [place for at_ns, place in doings.ran if any(start <= at_ns <= end for start, end in times)]
    if left_ns > 0:
        places = [place for place in ran if place is not None]
        spent[Deed("on_cpu", max(places, key=places.count) if places else None)] = left_ns
    return max(spent, key=lambda deed: spent[deed]) if spent else None
