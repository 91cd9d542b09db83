"""One request that is being matched: what does not depend on who served the others is found once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.sampled.candidates import service_of, suspects, touched
from perfwatch.probes.sampled.dispatch import DISPATCH_NS, answered, is_rested, patience
from perfwatch.probes.sampled.loops import loop_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.pasts import Past, Suspect
    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.served import ServedBefore
    from perfwatch.probes.sampled.spans import Service, Span


class Case:
    """A request, the threads among which the one that served it is, and those of them that are suspect."""

    def __init__(self, span: Span, pasts: Sequence[Past], now_ns: int) -> None:
        self.span = span
        self._pasts = pasts
        self._end_ns = span.ended_ns or now_ns
        self._now_ns = now_ns
        seen = [(past, past.timeline.place_of(span.arrived_ns)) for past in pasts]
        states = [past.timeline.seen_before(first) for past, first in seen]
        acceptors = [past for past, state in zip(pasts, states, strict=True) if state.accepts or state.is_loop]
        self._loops = [past.thread for past, state in zip(pasts, states, strict=True) if state.is_loop]
        self._late_ns = span.arrived_ns + patience(span.arrived_ns, acceptors, pasts)
        self._suspects = suspects(span, seen, self._late_ns, self._end_ns)
        self._touched: set[Thread] | None = None

    def services(self, before: ServedBefore) -> list[Service]:
        """Return all that could have served it, as far as is known of the others by now."""
        found = [(suspect, service_of(self.span, suspect, before, self._end_ns)) for suspect in self._suspects]
        found = self._without_busy(found, before)
        if self._touched is None:
            self._touched = {each.thread for each in self._suspects if touched(self.span, each, self._end_ns)}
        if self._touched:
            found = [each for each in found if each[0].thread in self._touched] or found
        return [service for _, service in self._without_acceptors(found)]

    def loop(self) -> Thread | None:
        """Return the event loop that serves it together with others."""
        return loop_of(self.span, self._loops, self._now_ns)

    def _without_busy(
        self, found: list[tuple[Suspect, Service]], before: ServedBefore
    ) -> list[tuple[Suspect, Service]]:
        """Leave out who was busy when the request came, where a free worker of the same process could have taken it.

        Who answered another request before that worker had to be told about this one stays in.
        """
        span = self.span
        free = {suspect.thread.pid for suspect, service in found if service.start_ns is not None and suspect.is_pooled}
        until_ns = min(self._late_ns, span.ended_ns or self._late_ns)
        busy = {each.thread for each, _ in found if each.thread.pid in free and not is_rested(each, until_ns)}
        if not busy:
            return found
        ends = before.all_ends(span.id, span.arrived_ns - DISPATCH_NS, self._late_ns)
        return [each for each in found if each[0].thread not in busy or answered(each[0], span.arrived_ns, ends)]

    def _without_acceptors(self, found: list[tuple[Suspect, Service]]) -> list[tuple[Suspect, Service]]:
        """Leave out who waits for new connections beside other threads, where another could have served it.

        If there is no other it may be such a thread, unless it only handed out a request that was over soon after.
        """
        accepting = [each for each in found if self._hands_out(each[0])]
        if not accepting:
            return found
        others = [each for each in found if each not in accepting]
        return others if others or self._end_ns - self.span.arrived_ns <= DISPATCH_NS else accepting

    def _hands_out(self, suspect: Suspect) -> bool:
        if not suspect.past.timeline.seen_before(suspect.first).accepts:
            return False
        living = [past for past in self._pasts if past.timeline.ended_ns is None]
        return sum(past.thread.pid == suspect.thread.pid for past in living) > 1
