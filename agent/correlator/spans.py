"""Which span of the middleware is which request of the ledger, and how routes are spelt.

A request that one thread served alone is the span of that thread in its time. Of an event loop all requests share the
thread: there method, target and time decide, and of two that are the same in all of that either will do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.correlator.recent import Recent

if TYPE_CHECKING:
    from perfwatch.probes.frames import Span
    from perfwatch.probes.records import ServedRequest

_Key: TypeAlias = tuple[int, int | None] | tuple[int, str | None, str | None]
_KEYS: Final = 4096
_PER_KEY: Final = 64
_ROUTES: Final = 4096


class Spans:
    """The newest spans; bounded."""

    def __init__(self) -> None:
        self._by_key: Recent[_Key, deque[Span]] = Recent(_KEYS)
        """By thread, and by what was asked of which process."""
        self._routes: Recent[tuple[str | None, str], str | None] = Recent(_ROUTES)
        """What a folded path turned out to be called; None for one that has several names."""
        self._any = False

    def take(self, span: Span) -> None:
        """Keep a span."""
        self._any = True
        self._keep((span.pid, span.method, span.target), span)
        if span.tid is not None:
            self._keep((span.pid, span.tid), span)

    def of(self, request: ServedRequest) -> Span | None:
        """Return the span of a request, if it came before it."""
        if not self._any:
            return None
        span = self._closest((request.pid, request.tid), request) if request.threads == "one" else None
        if span is not None and span.method in (request.method, None):
            return span
        return self._closest((request.pid, request.method, request.target), request)

    def route_of(self, request: ServedRequest, folded: str) -> str:
        """Return the name of a request's route: that of its span, or of other requests with this folded path."""
        if not self._any:
            return folded
        place = (request.method, folded)
        span = self.of(request)
        if span is None or span.route is None:
            return self._routes.get(place) or folded
        known = self._routes.get(place)
        self._routes.put(place, span.route if known in (span.route, None) else "")
        return span.route

    def _keep(self, key: _Key, span: Span) -> None:
        spans = self._by_key.get(key)
        if spans is None:
            spans = deque(maxlen=_PER_KEY)
        spans.append(span)
        self._by_key.put(key, spans)

    def _closest(self, key: _Key, request: ServedRequest) -> Span | None:
        """Return the span whose beginning and end are nearest to the request's, if it lies in its time for the most."""
        from_ns = request.started_ns if request.arrived_ns is None else request.arrived_ns
        best: tuple[int, Span] | None = None
        for span in self._by_key.get(key) or ():
            common_ns = min(span.ended_ns, request.ended_ns) - max(span.started_ns, from_ns)
            if 2 * common_ns < span.ended_ns - span.started_ns or common_ns < 0:
                continue
            apart_ns = abs(span.started_ns - request.started_ns) + abs(span.ended_ns - request.ended_ns)
            if best is None or apart_ns < best[0]:
                best = apart_ns, span
        return None if best is None else best[1]
