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

from typing import TYPE_CHECKING

from perfwatch.probes.sampled.candidates import candidate, touched, without_acceptors
from perfwatch.probes.sampled.dispatch import DISPATCH_NS, answered, is_pooled, is_rested, patience
from perfwatch.probes.sampled.loops import loop_of
from perfwatch.probes.sampled.served import ServedBefore
from perfwatch.probes.sampled.spans import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.spans import Question, Service, Span


class Matcher:
    """Matches requests, and remembers whom it gave which thread."""

    def __init__(self) -> None:
        self._before = ServedBefore()

    def note(self, spans: Iterable[Span]) -> None:
        """Take note of requests that have ended, also of those that will not be asked about."""
        self._before.note(spans)

    def match(self, questions: Sequence[Question], now_ns: int) -> dict[int, Match]:
        """Return who served each request that has ended, or serves one that is open at `now_ns`.

        Who answered one request may begin the next only then, so they are decided in the order of their ends.
        """
        for question in questions:
            self._before.forget(question.span.id)
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
            self._before.remember(span, services[0].thread, span.ended_ns)

    @staticmethod
    def _is_clear(services: list[Service]) -> bool:
        return len(services) == 1 and services[0].start_ns is not None

    def _decide(self, span: Span, left: dict[int, list[Service]], now_ns: int) -> None:
        """Give a request its only candidate; if another just got it, neither does: something was missed."""
        services = left[span.id]
        for service in services:
            for other in self._before.taken_by(span, service, now_ns):
                self._before.forget(other)
                left.get(other, []).clear()
                services.clear()
        for thread, start_ns in services:
            self._before.remember(span, thread, start_ns or span.arrived_ns)

    def _possible(self, question: Question, now_ns: int) -> list[Service]:
        span = question.span
        late_ns = span.arrived_ns + patience(span.arrived_ns, question.threads)
        found = [
            service
            for thread in question.threads
            if (service := candidate(span, thread, self._before, late_ns, now_ns))
        ]
        found = self._without_busy(span, found, late_ns)
        possible = [service for service in found if touched(span, service.thread, now_ns)] or found
        return without_acceptors(span, possible, question.threads, now_ns)

    def _without_busy(self, span: Span, found: list[Service], late_ns: int) -> list[Service]:
        """Leave out who was busy when the request came, where a free worker of the same process could have taken it.

        Who answered another request before that worker had to be told about this one stays in.
        """
        free = {
            service.thread.pid
            for service in found
            if service.start_ns is not None and is_pooled(service.thread, span.arrived_ns)
        }
        ends = self._before.all_ends(span.id, span.arrived_ns - DISPATCH_NS, late_ns)
        return [
            service
            for service in found
            if service.thread.pid not in free
            or is_rested(service.thread, span.arrived_ns, min(late_ns, span.ended_ns or late_ns))
            or answered(service.thread, span.arrived_ns, ends)
        ]

    @staticmethod
    def _loop(question: Question, left: dict[int, list[Service]], now_ns: int) -> Thread | None:
        return None if left[question.span.id] else loop_of(question.span, question.threads, now_ns)

    def forget_all_but(self, threads: Iterable[Thread]) -> None:
        """Drop what is remembered of threads that are gone."""
        self._before.forget_all_but(threads)
