"""Which thread served which request before: where it had answered one, it may have begun the next."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.sampled.rests import SLACK_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.spans import Service, Span

MAX_SERVICES: Final = 64
"""Of one thread so many are remembered."""
MAX_ENDED: Final = 256


class Served(NamedTuple):
    """A stretch of a thread that is some request's."""

    id: int
    start_ns: int
    ended_ns: int | None


class ServedBefore:
    """Remembers the requests that were given to threads, and when all ended, also those that were given to none."""

    def __init__(self) -> None:
        self._served: dict[tuple[int, int], list[Served]] = {}
        self._thread_of: dict[int, tuple[int, int]] = {}  # by request
        self._ended: deque[Span] = deque(maxlen=MAX_ENDED)

    def note(self, spans: Iterable[Span]) -> None:
        """Take note of requests that have ended, also of those that will not be asked about."""
        self._ended.extend(spans)

    def remember(self, span: Span, thread: Thread, start_ns: int) -> None:
        """Give a request to a thread."""
        key = (thread.pid, thread.tid)
        served = self._served.setdefault(key, [])
        served.append(Served(span.id, start_ns, span.ended_ns))
        self._thread_of[span.id] = key
        for dropped in served[:-MAX_SERVICES]:
            self._thread_of.pop(dropped.id, None)
        del served[:-MAX_SERVICES]

    def forget(self, request: int) -> None:
        """Take it back, if it was given to one."""
        key = self._thread_of.pop(request, None)
        if key in self._served:
            self._served[key] = [each for each in self._served[key] if each.id != request]

    def forget_all_but(self, threads: Iterable[Thread]) -> None:
        """Drop what is remembered of threads that are gone."""
        kept = {(thread.pid, thread.tid) for thread in threads}
        for gone in self._served.keys() - kept:
            del self._served[gone]
        self._thread_of = {id_: thread for id_, thread in self._thread_of.items() if thread in kept}

    def ends(self, thread: Thread, but: int) -> list[int]:
        """Return when the requests ended that a thread served, all but one."""
        served = self._served.get((thread.pid, thread.tid), ())
        return [each.ended_ns for each in served if each.id != but and each.ended_ns is not None]

    def all_ends(self, but: int, from_ns: int, to_ns: int) -> list[int]:
        """Return when requests ended in a time, whoever served them, all but one."""
        return [
            span.ended_ns
            for span in self._ended
            if span.id != but and span.ended_ns and from_ns < span.ended_ns <= to_ns
        ]

    def unmatched_ends(self) -> Iterator[int]:
        """Yield when the requests ended of which it is not known who served them."""
        return (span.ended_ns for span in self._ended if span.ended_ns and span.id not in self._thread_of)

    def taken_by(self, span: Span, service: Service, now_ns: int) -> list[int]:
        """Return the other requests that were given to a thread for a part of the same time."""
        start_ns = service.start_ns or span.arrived_ns
        end_ns = span.ended_ns or now_ns
        return [
            served.id
            for served in self._served.get((service.thread.pid, service.thread.tid), ())
            if served.id != span.id
            and served.start_ns < end_ns - SLACK_NS
            and (served.ended_ns or now_ns) > start_ns + SLACK_NS
        ]
