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

from perfwatch.probes.sampled.cases import Case
from perfwatch.probes.sampled.pasts import Past
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
        cases = _cases(questions, now_ns)
        left = {case.span.id: case.services(self._before) for case in cases}
        undecided = sorted(cases, key=lambda case: case.span.ended_ns or now_ns + case.span.arrived_ns)
        while decided := next((case for case in undecided if self._is_clear(left[case.span.id])), None):
            undecided.remove(decided)
            thread = left[decided.span.id][0].thread
            self._decide(decided.span, left, now_ns)
            for case in undecided:
                if any(service.thread is thread for service in left[case.span.id]):
                    left[case.span.id] = case.services(self._before)
        for case in undecided:
            self._note_end(case.span, left[case.span.id])
        return {
            case.span.id: Match(tuple(services), None if services else case.loop())
            for case in cases
            for services in (left[case.span.id],)
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

    def forget_all_but(self, threads: Iterable[Thread]) -> None:
        """Drop what is remembered of threads that are gone."""
        self._before.forget_all_but(threads)


def _cases(questions: Sequence[Question], now_ns: int) -> list[Case]:
    """Take up the questions; those with the same threads share what is found out about them."""
    known: dict[Thread, Past] = {}
    pasts: dict[int, list[Past]] = {}
    for _, threads in questions:
        if id(threads) not in pasts:
            pasts[id(threads)] = [known.get(thread) or known.setdefault(thread, Past(thread)) for thread in threads]
    return [Case(span, pasts[id(threads)], now_ns) for span, threads in questions]
