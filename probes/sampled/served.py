"""Which thread served which request before: where it had answered one, it may have begun the next."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.sampled.rests import SLACK_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        self._latest: dict[tuple[int, int], int] = {}  # no request that a thread served ended later
        self._ended: deque[tuple[int, int]] = deque(maxlen=MAX_ENDED)  # when, which

    def note(self, spans: Iterable[Span]) -> None:
        """Take note of requests that have ended, also of those that will not be asked about."""
        self._ended.extend((span.ended_ns or 0, span.id) for span in spans)

    def remember(self, span: Span, thread: Thread, start_ns: int) -> None:
        """Give a request to a thread."""
        key = (thread.pid, thread.tid)
        served = self._served.setdefault(key, [])
        served.append(Served(span.id, start_ns, span.ended_ns))
        self._latest[key] = max(self._latest.get(key, 0), span.ended_ns or 0)
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
            self._latest.pop(gone, None)
        self._thread_of = {id_: thread for id_, thread in self._thread_of.items() if thread in kept}

    def last_end(self, thread: Thread, but: int, from_ns: int, to_ns: int) -> int | None:
        """Return when the last request ended that a thread served, of those that ended in a time, all but one."""
        key = (thread.pid, thread.tid)
        if self._latest.get(key, 0) <= from_ns:
            return None
        ends = (each.ended_ns for each in self._served.get(key, ()) if each.id != but)
        return max((ended_ns for ended_ns in ends if ended_ns is not None and from_ns < ended_ns < to_ns), default=None)

    def all_ends(self, but: int, from_ns: int, to_ns: int) -> list[int]:
        """Return when requests ended in a time, whoever served them, all but one."""
        return [ended_ns for ended_ns, id_ in self._ended if from_ns < ended_ns <= to_ns and id_ != but]

    def unmatched_ends(self, from_ns: int, to_ns: int) -> list[int]:
        """Return when the requests ended, in a time, of which it is not known who served them."""
        return [ended_ns for ended_ns, id_ in self._ended if from_ns < ended_ns < to_ns and id_ not in self._thread_of]

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
