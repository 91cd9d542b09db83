"""Which span of the middleware is which request of the ledger, and how routes are spelt.

Method, target and time tell it; of several at once the thread, where one served the request alone. Where the targets
differ (the path was rewritten between server and middleware) the thread alone tells it, if the times agree. Of two that
are the same in all of that, as on an event loop, either will do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.correlator.recent import Recent
from perfwatch.probes.frames import StackTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.probes.frames import Span
    from perfwatch.probes.records import ServedRequest

_Key: TypeAlias = tuple[int, int | None] | tuple[int, str | None, str | None]
_KEPT: Final = 4096
_TREES: Final = 64
_ROUTES: Final = 4096


class Spans:
    """The newest spans, and the newest trees; bounded."""

    def __init__(self) -> None:
        self._by_age: deque[Span] = deque()
        """Without their trees."""
        self._by_key: dict[_Key, deque[Span]] = {}
        """By thread, and by what was asked of which process; the oldest of each first."""
        self._trees: Recent[Span, Span] = Recent(_TREES)
        """The whole span, by that without its tree."""
        self._routes: Recent[tuple[str | None, str], str] = Recent(_ROUTES)
        """What a method and a folded path turned out to be called; empty where that has several names."""

    def take(self, span: Span) -> None:
        """Keep a span."""
        kept = span
        if span.spent_ns:
            kept = msgspec.structs.replace(span, code=StackTable(), spent_ns=())
            self._trees.put(kept, span)
        if len(self._by_age) >= _KEPT:
            self._forget(self._by_age.popleft())
        self._by_age.append(kept)
        for key in _keys(kept):
            self._by_key.setdefault(key, deque()).append(kept)

    def of(self, request: ServedRequest) -> Span | None:
        """Return the span of a request, if it came before it."""
        found = _nearest(self._in_time((request.pid, request.method, request.target), request), request)
        if found is None and request.threads == "one":
            on_thread = self._in_time((request.pid, request.tid), request)
            found = _nearest((span for span in on_thread if _is_likely(span, request)), request)
        return None if found is None else self._trees.get(found) or found

    def route_of(self, request: ServedRequest, folded: str) -> str:
        """Return the name of a request's route: that of its span, or of other requests with this folded path."""
        if not self._by_age:
            return folded
        place = (request.method, folded)
        span = self.of(request)
        if span is None or span.route is None:
            return self._routes.get(place) or folded
        known = self._routes.get(place)
        self._routes.put(place, span.route if known in (span.route, None) else "")
        return span.route

    def _forget(self, oldest: Span) -> None:
        for key in _keys(oldest):
            spans = self._by_key[key]
            spans.popleft()
            if not spans:
                del self._by_key[key]

    def _in_time(self, key: _Key, request: ServedRequest) -> Iterator[Span]:
        """Give the spans that overlap a request; those that ended last come first."""
        for span in reversed(self._by_key.get(key) or ()):
            if span.ended_ns <= request.started_ns:
                return
            if span.started_ns < request.ended_ns:
                yield span


def _keys(span: Span) -> tuple[_Key, ...]:
    asked = (span.pid, span.method, span.target)
    return (asked,) if span.tid is None else (asked, (span.pid, span.tid))


def _nearest(spans: Iterable[Span], request: ServedRequest) -> Span | None:
    """Return the one on the request's thread, where that is known, whose beginning and end are nearest to its own."""

    def apart(span: Span) -> tuple[bool, int]:
        is_other = request.threads == "one" and span.tid != request.tid
        return is_other, abs(span.started_ns - request.started_ns) + abs(span.ended_ns - request.ended_ns)

    return min(spans, key=apart, default=None)


def _is_likely(span: Span, request: ServedRequest) -> bool:
    """Whether a span is, for the most, in the time of a request, and the request in the span's."""
    longest_ns = max(span.ended_ns - span.started_ns, request.ended_ns - request.started_ns)
    common_ns = min(span.ended_ns, request.ended_ns) - max(span.started_ns, request.started_ns)
    return span.method == request.method and 2 * common_ns >= longest_ns
