"""Whose a call is, as it was seen: a task that serves a request stood waiting on the connection, at one moment.

That is certain, and comes late: another one may have been taken for the caller, or nobody. What is under way changes
hands, and what requests of a kind do is learnt from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.ledger.following.owners import acts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.ledger.following.connections import Connection
    from perfwatch.probes.ledger.following.habits import Habits
    from perfwatch.probes.ledger.following.ways import Way


class Witnesses:
    """Takes in what was seen."""

    def __init__(self, habits: Habits, moved: Callable[[int, int], None]) -> None:
        """Take with `moved` a connection whose call turned out to be another's, and the right owner's id."""
        self._habits = habits
        self._moved = moved

    def take(self, way: Way, number: int, known: Connection, at_ns: int) -> None:
        """Settle that a request under way waited on a connection at a moment; one used anew since says nothing."""
        if known.asked_ns >= at_ns or known.is_seen:
            return
        known.is_seen = True
        taken = known.owner
        if taken is not way:
            if taken:
                self._take_from(taken, way, number, known)
            self._give(way, number, known)
            self._moved(number, way.id)
        for act in acts_of(known.act):
            self._habits.saw(way.kind, act)
            if not known.certain or taken is not way:
                self._habits.did(way.kind, act)
        known.certain = True

    def look(self, way: Way, connections: dict[int, Connection], at_ns: int, *, is_asleep: bool) -> None:
        """Settle that a request waited at a moment for one of the answers that were due then, or for a timer."""
        if is_asleep:
            for number in list(way.calling):
                known = connections.get(number)
                if known and _is_asked(known, at_ns) and not known.is_seen:
                    self._take_from(way, None, number, known)
                    known.owner = None
        elif not way.is_seen:
            acts = {known.act for known in connections.values() if _is_asked(known, at_ns)}
            if len(acts) == 1:
                way.is_seen = True
                for act in acts_of(acts.pop()):
                    self._habits.saw(way.kind, act)

    def _take_from(self, taken: Way, way: Way | None, number: int, known: Connection) -> None:
        taken.calling.pop(number, None)
        if taken.done.get(known.act):
            taken.done[known.act] -= 1
        came = next((one for one in taken.came if one.connection == number), None)
        if came and way:
            taken.came.remove(came)
            way.came.append(came)
        if known.certain:
            for act in acts_of(known.act):
                self._habits.did(taken.kind, act, -1)
        if taken.is_suspended and not taken.has_answered and taken not in taken.lane.ready:
            taken.lane.passed.append(taken)

    @staticmethod
    def _give(way: Way, number: int, known: Connection) -> None:
        known.owner = way
        way.done[known.act] = way.done.get(known.act, 0) + 1
        if not known.is_answered:
            way.calling[number] = known.act[1]
        for kept in (way.lane.ready, way.lane.passed):
            if way in kept and not way.came:
                kept.remove(way)


def _is_asked(known: Connection, at_ns: int) -> bool:
    """Whether an answer was due on a connection."""
    return known.asked_ns < at_ns and not known.is_answered


def is_under_way(way: Way, at_ns: int) -> bool:
    """Whether a request had begun by then, and not answered."""
    return way.began_ns < at_ns and not 0 < way.answered_ns <= at_ns
