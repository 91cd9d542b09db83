"""Whose is an act that names nobody? By the loop's order, and by what requests of a kind usually do.

A call on an idle connection, or work for a worker, says nothing of the request that it is for. A wrong owner is worse
than none: where neither the order nor a habit speaks for one, there is none.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.following.jobs import Job
from perfwatch.probes.ledger.following.ways import Way

if TYPE_CHECKING:
    from perfwatch.probes.ledger.following.habits import Act, Habits
    from perfwatch.probes.ledger.following.lanes import Lane

CALLS: Final = -2
"""In the place of a step: it calls somebody, whatever it asks; by who does that is told who connects, which is rare."""
MAX_ASKED: Final = 64
_AT_ONCE: Final = -1
"""In the place of a step: it is taken while an earlier one of the same is unanswered."""
_LIKELY: Final = 0.4


class Owners:
    """Finds owners, and learns from them."""

    def __init__(self, habits: Habits) -> None:
        self._habits = habits

    def next(self, lane: Lane, act: Act, giver: Way | None = None) -> tuple[Way | None, bool]:
        """Tell who acts without a name, and whether it can only be that one; it is not who gave back what is used."""
        cause = None if giver else self._only_cause(lane)
        chosen = cause or self._by_order(lane, act, giver)
        if cause:
            for one in acts_of(act):
                self._habits.did(cause.kind, one)
        if chosen:
            self.did(chosen, act)
            if chosen in lane.ready:
                lane.ready.remove(chosen)
            if chosen in lane.passed:
                lane.passed.remove(chosen)
        return chosen, cause is not None

    def _by_order(self, lane: Lane, act: Act, giver: Way | None) -> Way | None:
        """Choose among several, and learn that it was one of them.

        Who stands in the loop's order comes first, then who acts already, then who had his turn and left no trace: of
        them the first of a kind that does so. If nothing is known of the kinds, it is the first in order.
        """
        ready = [one for one in lane.ready if isinstance(one, Way) and one is not giver]
        actor = lane.actor if lane.actor not in (giver, *ready) else None
        asleep = [way for way in lane.passed if way is not actor and way not in ready]
        goes_on = actor is not None and self._does_more(actor, act, self._habits.often(actor.kind, act))
        candidates = [*([actor] if actor and goes_on else []), *ready, *asleep]
        candidates = [way for way in candidates if not way.has_answered]
        others = [way for way in islice(lane.open.values(), MAX_ASKED) if way not in candidates and way is not giver]
        chosen = self._likeliest(candidates, act, others) or self._first(
            [*ready, *([] if ready or not actor else [actor])], act
        )
        kinds = {way.kind for way in candidates} or {way.kind for way in lane.open.values()}
        for one in acts_of(act) if kinds else ():
            self._habits.share(kinds, one)
        return chosen

    def gives(self, lane: Lane, way: Way, act: Act, before: Act) -> bool:
        """Whether a request has given back a connection, and another one acts on it that had waited for it.

        That is so if no request of its kind was seen to go on like that, and one has had its turn, left no trace, and
        is of a kind that acts so. The pools of asyncpg, psycopg and redis hand on in the giver's very turn.
        """
        if self._habits.may_follow(way.kind, act, before):
            return False
        waiting = [one for one in lane.passed if one is not way and one.is_suspended and not one.has_answered]
        return any(not one.done.get(act) and self._habits.is_likely(one.kind, act) for one in waiting)

    @staticmethod
    def _only_cause(lane: Lane) -> Way | None:
        """Return the request that the loop must be busy with: it was idle, and something came for that one alone."""
        cause = lane.causes[0] if len(lane.causes) == 1 else None
        if isinstance(cause, Job):
            cause = cause.owner
        return cause if cause and not cause.has_answered else None

    def _does_more(self, way: Way, act: Act, often: float) -> bool:
        """Whether a request, whose kind acts so `often`, can be expected to do it again, beside what it waits for."""
        at_once = self._habits.often(way.kind, (_AT_ONCE, *act[1:])) if way.calling else often
        return way.done.get(act, 0) < round(often) and at_once >= _LIKELY * often

    def _likeliest(self, ways: list[Way], act: Act, others: list[Way]) -> Way | None:
        kinds = {way.kind for way in (*ways, *others)}
        often = {kind: self._habits.often(kind, act) for kind in kinds}
        least = _LIKELY * min(max(often.values(), default=0), 1)
        likely = [way for way in ways if often[way.kind] >= least > 0]
        likely += [way for way in others if often[way.kind] >= least > 0 and self._does_more(way, act, often[way.kind])]
        new = [way for way in likely if way.done.get(act, 0) < max(round(often[way.kind]), 1)]
        return (new or likely)[0] if likely else None

    def _first(self, ways: list[Way], act: Act) -> Way | None:
        """Return the first in order that has not answered, if it would be no surprise."""
        return next((way for way in ways if not way.has_answered and self._habits.is_likely(way.kind, act)), None)

    def did(self, way: Way, act: Act) -> None:
        """Note that a request acted so."""
        if way.calling and way.done.get(act):
            self._habits.did(way.kind, (_AT_ONCE, *act[1:]))
        way.done[act] = way.done.get(act, 0) + 1


def acts_of(act: Act) -> tuple[Act, ...]:
    """Return what is learnt of an act: itself, and of a call that it is one."""
    return (act, (CALLS, act[1], None)) if act[0] == steps.SENT else (act,)
