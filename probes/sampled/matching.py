"""Which thread served a request: all that could have, by conditions that whoever did must meet; one that is left is it.

- It ran when the answer's first byte was sent, and its last, and after the request's first had arrived.
- It was not seen at rest between its first step for the request and that last one.
- It was not busy when the request came, and for as long as handing it out may have taken, if a worker of the same pool
  was free.
- From rest it took the request up soon after it had arrived: a free worker is not left idle. Soon is `PROMPT_NS`, and
  as much longer as whoever hands requests out was busy, or without a CPU, then; at most `DISPATCH_NS`. Where those
  that were woken wait for the interpreter lock first, one wakes the next: as much longer; at most `CONTENDED_NS`.
- It served no other request meanwhile: where two requests are left with the same thread, neither gets it. Nobody is
  matched because all others are taken: one wrong match would make many.
- It does not watch sockets on behalf of others (a loop, an acceptor), and does not work for itself all the time.

A thread that was seen asleep on the request's own connection is it without further ado. None or several: the request
stays unmatched.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.sampled.rests import SLACK_NS
from perfwatch.probes.sampled.states import NOT_THERE
from perfwatch.probes.sampled.timeline import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.states import State

DISPATCH_NS: Final = 100_000_000
CONTENDED_NS: Final = 400_000_000
STEP_NS: Final = 1_000_000
"""Who has run for longer has taken up what it was woken for."""
PROMPT_NS: Final = 5_000_000
MAX_SERVICES: Final = 64
"""Of one thread so many are remembered."""
MAX_ENDED: Final = 256


class Span(NamedTuple):
    """A request, as far as matching is concerned."""

    id: int
    connection: tuple[str, str]
    """(local, remote)."""
    arrived_ns: int
    ended_ns: int | None
    """None while it is open."""
    answered_ns: int | None = None
    """When its answer began; None where that is not known."""


class Service(NamedTuple):
    """A thread and since when it may have served a request; None where that is not to be known."""

    thread: Thread
    start_ns: int | None


class Served(NamedTuple):
    """A stretch of a thread that is some request's."""

    id: int
    start_ns: int
    ended_ns: int | None


class Match(NamedTuple):
    """The outcome for one request."""

    services: tuple[Service, ...] = ()
    """All that could have served it: one, if it is matched."""
    loop: Thread | None = None
    """The event loop that did, together with others."""


class Question(NamedTuple):
    """A request, and the threads among which the one that served it is."""

    span: Span
    threads: Sequence[Thread]


class Matcher:
    """Matches requests, and remembers whom it gave which thread."""

    def __init__(self) -> None:
        self._served: dict[tuple[int, int], list[Served]] = {}
        self._thread_of: dict[int, tuple[int, int]] = {}  # by request
        self._ended: deque[Span] = deque(maxlen=MAX_ENDED)

    def note(self, spans: Iterable[Span]) -> None:
        """Take note of requests that have ended, also of those that will not be asked about."""
        self._ended.extend(spans)

    def match(self, questions: Sequence[Question], now_ns: int) -> dict[int, Match]:
        """Return who served each request that has ended, or serves one that is open at `now_ns`.

        Who answered one request may begin the next only then, so they are decided in the order of their ends.
        """
        for question in questions:
            self._forget(question.span.id)
        left = {question.span.id: self._possible(question, now_ns) for question in questions}
        undecided = sorted(questions, key=lambda question: question.span.ended_ns or now_ns + question.span.arrived_ns)
        while decided := next((each for each in undecided if self._is_clear(left[each.span.id])), None):
            undecided.remove(decided)
            thread = left[decided.span.id][0].thread
            self._decide(decided.span, left, now_ns)
            for question in undecided:
                if any(service.thread is thread for service in left[question.span.id]):
                    left[question.span.id] = self._possible(question, now_ns)
        for question in undecided:
            self._note_end(question.span, left[question.span.id])
        return {
            question.span.id: Match(tuple(left[question.span.id]), self._loop(question, left, now_ns))
            for question in questions
        }

    def _note_end(self, span: Span, services: list[Service]) -> None:
        """Remember of a request with one candidate and no known begin at least who ended it: there the next begins."""
        if len(services) == 1 and span.ended_ns is not None:
            self._remember(span, services[0].thread, span.ended_ns)

    @staticmethod
    def _is_clear(services: list[Service]) -> bool:
        return len(services) == 1 and services[0].start_ns is not None

    def _decide(self, span: Span, left: dict[int, list[Service]], now_ns: int) -> None:
        """Give a request its only candidate; if another just got it, neither does: something was missed."""
        services = left[span.id]
        for service in services:
            for other in self._taken_by(span, service, now_ns):
                self._forget(other)
                left.get(other, []).clear()
                services.clear()
        for thread, start_ns in services:
            self._remember(span, thread, start_ns or span.arrived_ns)

    def _possible(self, question: Question, now_ns: int) -> list[Service]:
        span = question.span
        late_ns = span.arrived_ns + _patience(span, question.threads)
        found = [service for thread in question.threads if (service := self._candidate(span, thread, late_ns, now_ns))]
        found = self._without_busy(span, found, late_ns)
        possible = [service for service in found if _touched(span, service.thread, now_ns)] or found
        return _without_acceptors(span, possible, question.threads, now_ns)

    def _without_busy(self, span: Span, found: list[Service], late_ns: int) -> list[Service]:
        """Leave out who was busy when the request came, where a free worker of the same process could have taken it.

        Who answered another request before that worker had to be told about this one stays in.
        """
        free = {
            service.thread.pid
            for service in found
            if service.start_ns is not None and _is_pooled(service.thread, span.arrived_ns)
        }
        ends = [
            other.ended_ns
            for other in self._ended
            if other.id != span.id and other.ended_ns and span.arrived_ns - DISPATCH_NS < other.ended_ns <= late_ns
        ]
        return [
            service
            for service in found
            if service.thread.pid not in free
            or _is_rested(service.thread, span.arrived_ns, min(late_ns, span.ended_ns or late_ns))
            or _answered(service.thread, span.arrived_ns, ends)
        ]

    @staticmethod
    def _loop(question: Question, left: dict[int, list[Service]], now_ns: int) -> Thread | None:
        return None if left[question.span.id] else _loop(question.span, question.threads, now_ns)

    def forget_all_but(self, threads: Iterable[Thread]) -> None:
        """Drop what is remembered of threads that are gone."""
        kept = {(thread.pid, thread.tid) for thread in threads}
        for gone in self._served.keys() - kept:
            del self._served[gone]
        self._thread_of = {id_: thread for id_, thread in self._thread_of.items() if thread in kept}

    def _candidate(self, span: Span, thread: Thread, late_ns: int, now_ns: int) -> Service | None:
        timeline = thread.timeline
        end_ns = span.ended_ns or now_ns
        if thread.rests.is_background or timeline.forgotten_ns > span.arrived_ns:
            return None
        first = timeline.place_of(span.arrived_ns)
        if first == len(timeline.intervals) or timeline.intervals[first].start_ns > end_ns:
            return None  # it did not run after the arrival
        ran_ns = [at_ns for at_ns in (span.answered_ns, span.ended_ns) if at_ns is not None]
        if not all(timeline.ran_at(at_ns, SLACK_NS) for at_ns in ran_ns):
            return None
        started = self._after_rest(span, thread, first, end_ns)
        if started is None:
            return self._without_rest(span, thread, end_ns)
        service = _from_rest(span, thread, started, min(late_ns, end_ns))
        return self._after_others(span, service, end_ns) if service else None

    def _after_others(self, span: Span, service: Service, end_ns: int) -> Service:
        """Let a service begin when the thread had answered what else it took up since its rest."""
        start_ns = service.start_ns or span.arrived_ns
        ends = [
            served.ended_ns
            for served in self._served.get((service.thread.pid, service.thread.tid), ())
            if served.id != span.id and served.ended_ns is not None and start_ns < served.ended_ns < end_ns
        ]
        if ends and _is_pooled(service.thread, span.arrived_ns):
            return Service(service.thread, None)  # then others of the pool were free
        return Service(service.thread, max(ends, default=start_ns))

    @staticmethod
    def _after_rest(span: Span, thread: Thread, first: int, end_ns: int) -> int | None:
        """Return the place of the interval after its last rest before the end; None if it was not seen at rest."""
        intervals = thread.timeline.intervals
        before = thread.timeline.seen_before(first)
        started = first if before is NOT_THERE or thread.rests.is_rest(before) else None
        for place in range(first, len(intervals)):
            if intervals[place].end_ns >= end_ns:
                break
            if _at_rest(span, thread, intervals[place].after):
                started = place + 1
        return started

    def _without_rest(self, span: Span, thread: Thread, end_ns: int) -> Service | None:
        """Tell a thread that was busy when the request came: with another request, whose end may be known."""
        ends = [
            served.ended_ns
            for served in self._served.get((thread.pid, thread.tid), ())
            if served.id != span.id and served.ended_ns is not None and served.ended_ns < end_ns
        ]
        if not ends:
            return Service(thread, None)
        last_ns = max(ends)
        timeline = thread.timeline
        for place in range(timeline.place_of(last_ns), timeline.place_of(max(span.arrived_ns, last_ns))):
            if _at_rest(span, thread, timeline.intervals[place].after):
                return Service(thread, None)  # it has rested since: something else made it busy
        if any(last_ns < ended_ns < end_ns and timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in self._unmatched()):
            return Service(thread, None)  # it may have served that one in between
        return Service(thread, max(span.arrived_ns, last_ns))

    def _unmatched(self) -> Iterator[int]:
        """Yield when the requests ended of which it is not known who served them."""
        return (span.ended_ns for span in self._ended if span.ended_ns and span.id not in self._thread_of)

    def _taken_by(self, span: Span, service: Service, now_ns: int) -> list[int]:
        start_ns = service.start_ns or span.arrived_ns
        end_ns = span.ended_ns or now_ns
        return [
            served.id
            for served in self._served.get((service.thread.pid, service.thread.tid), ())
            if served.id != span.id
            and served.start_ns < end_ns - SLACK_NS
            and (served.ended_ns or now_ns) > start_ns + SLACK_NS
        ]

    def _remember(self, span: Span, thread: Thread, start_ns: int) -> None:
        key = (thread.pid, thread.tid)
        served = self._served.setdefault(key, [])
        served.append(Served(span.id, start_ns, span.ended_ns))
        self._thread_of[span.id] = key
        for dropped in served[:-MAX_SERVICES]:
            self._thread_of.pop(dropped.id, None)
        del served[:-MAX_SERVICES]

    def _forget(self, request: int) -> None:
        key = self._thread_of.pop(request, None)
        if key in self._served:
            self._served[key] = [each for each in self._served[key] if each.id != request]


def _is_rested(thread: Thread, from_ns: int, to_ns: int) -> bool:
    """Whether a thread was at rest, or not there yet, at a moment or soon after."""
    timeline = thread.timeline
    first = timeline.place_of(from_ns)
    seen = [interval.after for interval in timeline.intervals[first:] if interval.end_ns <= to_ns]
    return any(_is_free(thread, state) for state in (timeline.seen_before(first), *seen))


def _answered(thread: Thread, since_ns: int, ends: Sequence[int]) -> bool:
    """Whether it may have answered a request that ended then, after it was last seen before a moment."""
    timeline = thread.timeline
    place = timeline.place_of(since_ns)
    begun_ns = timeline.intervals[place].start_ns if place < len(timeline.intervals) else since_ns
    seen_ns = min(begun_ns, since_ns) - SLACK_NS
    return any(ended_ns >= seen_ns and timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in ends)


def _is_free(thread: Thread, state: State) -> bool:
    """Whether it waits for work in this state, or is not there yet."""
    return state is NOT_THERE or thread.rests.is_rest(state)


def _is_pooled(thread: Thread, at_ns: int) -> bool:
    """Whether a thread rested at a moment, ready for any request."""
    state = thread.timeline.seen_before(thread.timeline.place_of(at_ns))
    return not state.waits_for_work and thread.rests.is_rest(state)


def _patience(span: Span, threads: Sequence[Thread]) -> int:
    """Return how long after its arrival a request may have been handed out to a free thread."""
    found = [
        thread
        for thread in threads
        if (state := thread.timeline.seen_before(thread.timeline.place_of(span.arrived_ns))).accepts or state.is_loop
    ]
    busy_ns = sum(_busy_ns(thread, span.arrived_ns) for thread in found) if found else DISPATCH_NS
    locked_ns = sum(_locked_ns(thread, span.arrived_ns) for thread in threads)
    return min(PROMPT_NS + min(busy_ns, DISPATCH_NS) + locked_ns, CONTENDED_NS)


def _locked_ns(thread: Thread, from_ns: int) -> int:
    """Return how long a thread that came from rest waited for the interpreter lock, before it could do anything."""
    timeline = thread.timeline
    first = timeline.place_of(from_ns - DISPATCH_NS)
    is_fresh = _is_free(thread, timeline.seen_before(first))
    locked_ns = 0
    for interval in timeline.intervals[first:]:
        if interval.start_ns > from_ns + DISPATCH_NS:
            break
        is_fresh = is_fresh and interval.run_ns < STEP_NS
        if is_fresh and "gil" in (interval.before.bucket, interval.after.bucket):
            locked_ns += max(interval.end_ns - max(interval.start_ns, from_ns), 0)
        is_fresh = is_fresh or _is_free(thread, interval.after)
    return locked_ns


def _busy_ns(thread: Thread, from_ns: int) -> int:
    """Return how long a thread was busy, or wanted to be, in the time in which it should hand out a request."""
    busy_ns = 0
    for start_ns, end_ns, what in thread.timeline.between(from_ns, from_ns + DISPATCH_NS):
        if isinstance(what, Interval):
            busy_ns += min(what.run_ns + what.wait_ns, end_ns - start_ns)
            if not thread.rests.is_rest(what.after):
                busy_ns += what.slept_ns
        elif not thread.rests.is_rest(what):
            busy_ns += end_ns - start_ns
    return busy_ns


def _from_rest(span: Span, thread: Thread, started: int, late_ns: int) -> Service | None:
    """Tell a thread whose last rest ended with an interval, if that is soon enough after the arrival."""
    timeline = thread.timeline
    if started == len(timeline.intervals) or timeline.seen_before(started).is_loop:
        return None
    start_ns = timeline.intervals[started].start_ns
    if start_ns > late_ns:
        return None
    return Service(thread, max(span.arrived_ns, start_ns))


def _at_rest(span: Span, thread: Thread, state: State) -> bool:
    """Whether a thread waits for work, and not for the rest of this very request."""
    if state is NOT_THERE:
        return True
    return thread.rests.is_rest(state) and not (state.connections == (span.connection,) and not state.is_loop)


def _without_acceptors(span: Span, left: list[Service], threads: Sequence[Thread], now_ns: int) -> list[Service]:
    """Leave out who waits for new connections beside other threads, where another could have served it.

    If there is no other it may be such a thread, unless it only handed out a request that was over soon after.
    """
    sizes = Counter(thread.pid for thread in threads if thread.timeline.ended_ns is None)
    accepting = [
        service
        for service in left
        if sizes[service.thread.pid] > 1
        and service.thread.timeline.seen_before(service.thread.timeline.place_of(span.arrived_ns)).accepts
    ]
    others = [service for service in left if service not in accepting]
    return others if others or (span.ended_ns or now_ns) - span.arrived_ns <= DISPATCH_NS else accepting


def _touched(span: Span, thread: Thread, now_ns: int) -> bool:
    """Whether it was seen asleep on the request's own connection: before it came, for more of it, or answering."""
    timeline = thread.timeline
    end_ns = span.ended_ns or now_ns
    place = timeline.place_of(span.arrived_ns)
    seen = [timeline.seen_before(place)]
    for interval in timeline.intervals[place:]:
        if interval.end_ns > end_ns:
            break
        seen.append(interval.after)
    return any(state.connections == (span.connection,) and not state.is_loop for state in seen)


def _loop(span: Span, threads: Sequence[Thread], now_ns: int) -> Thread | None:
    """Return the event loop that serves a request: it watched its connection meanwhile, or never rested."""
    found = [thread for thread in threads if _looped(span, thread, span.ended_ns or now_ns)]
    return found[0] if len(found) == 1 else None


def _looped(span: Span, thread: Thread, end_ns: int) -> bool:
    timeline = thread.timeline
    first = timeline.place_of(span.arrived_ns)
    if not timeline.seen_before(first).is_loop or not timeline.ran_at(end_ns, SLACK_NS):
        return False
    seen = [interval.after for interval in timeline.intervals[first:] if interval.end_ns < end_ns]
    rests = [state for state in seen if state.is_loop]
    return not rests or any(span.connection in state.connections for state in rests)
