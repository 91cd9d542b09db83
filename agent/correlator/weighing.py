"""Decides which mechanism explains a latency, if one does, and how sure that is.

The largest share wins if it is at least half; or if it is at least 35 %, one and a half times the next,
and larger than the next and all unaccounted time together (which could be the next's); or if it is at
least 30 % and its principle as a whole explains 60 %. Everything else is `unknown`: being wrong is worse
than not knowing.

Computing under contention is one cause and not two: of n threads that share a CPU or the GIL each
computes for 1/n of its time, and so it is under a quota or on an event loop. So `cpu` and `gc` are no rivals to a
`gil`, `event-loop`, `run-queue` or `throttle` that is larger than them. Of equal shares a wait wins over work.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfwatch.agent.correlator.fidelity import LEAST_READINGS, trust
from perfwatch.agent.correlator.looks import NOBODY, Looks
from perfwatch.agent.model import MECHANISMS, PRINCIPLE_OF, Mechanism

CERTAIN: Final = 0.5
_LIKELY: Final = 0.35
_LEAD: Final = 1.5
_PLAUSIBLE: Final = 0.3
_PRINCIPLE: Final = 0.6
_DOUBT: Final = 0.25
"""What a confidence loses where all is suspended: what resumed a coroutine was inferred for the rest, too."""
_CONTENDED: Final[frozenset[Mechanism]] = frozenset({"gil", "event-loop", "run-queue", "throttle"})
_COMPUTING: Final[frozenset[Mechanism]] = frozenset({"cpu", "gc"})
_WORK: Final[frozenset[Mechanism]] = _COMPUTING | {"sleep"}


class Balance(NamedTuple):
    """A latency by mechanisms; what is left of `total_ns` is unaccounted."""

    total_ns: int
    spent_ns: dict[Mechanism, int]
    """Mechanisms that have any."""
    other_ns: int
    """Booked, but to no mechanism."""
    readings: int = 0
    """Of thread states, that it was made of; 0 where it was measured exactly."""
    suspended_ns: int = 0
    """A coroutine was suspended, and nothing that was seen tells in what."""
    looks: Looks = NOBODY
    """What looking at its tasks says of the time in which nobody did."""

    @property
    def unaccounted_ns(self) -> int:
        """What nothing explains."""
        return self.total_ns - sum(self.spent_ns.values()) - self.other_ns

    def part(self, spent_ns: int) -> float:
        """Return a time as a share of the latency, 0..1."""
        return min(max(spent_ns / self.total_ns, 0.0), 1.0) if self.total_ns > 0 else 0.0

    def ranked(self) -> list[Mechanism]:
        """Return the mechanisms, the largest first; of equals a wait before work."""
        return sorted(self.spent_ns, key=lambda name: (-self.spent_ns[name], name in _WORK, _ORDER[name]))


class Weighing(NamedTuple):
    """What came out; `mechanism` is None where nothing dominates."""

    mechanism: Mechanism | None
    share: float
    confidence: float


def estimated(balance: Balance) -> Balance:
    """Return a balance of many requests with the time in which nobody looked given to what it was spent on."""
    spent, other_ns = dict(balance.spent_ns), balance.other_ns
    for mechanism, change_ns in balance.looks.changes().items():
        if mechanism is None:
            other_ns += change_ns
        else:
            spent[mechanism] = spent.get(mechanism, 0) + change_ns
    return balance._replace(
        spent_ns={name: spent_ns for name, spent_ns in spent.items() if spent_ns}, other_ns=other_ns
    )


_ORDER: Final[dict[Mechanism, int]] = {name: place for place, name in enumerate(MECHANISMS)}


def weigh(balance: Balance) -> Weighing:
    """Weigh a latency; `fidelity.py` lowers the confidence for what was sampled."""
    ranking = balance.ranked()
    if not ranking or 0 < balance.readings < LEAST_READINGS:
        return Weighing(None, 0.0, 0.0)
    top, *rest = ranking
    share = balance.part(balance.spent_ns[top])
    rivals = [name for name in rest if not (name in _COMPUTING and top in _CONTENDED)]
    second = balance.part(max([balance.spent_ns[name] for name in rivals[:1]] + [balance.other_ns]))
    unaccounted = balance.part(abs(balance.unaccounted_ns))
    same = sum(balance.spent_ns[name] for name in ranking if PRINCIPLE_OF[name] == PRINCIPLE_OF[top])
    leads = share >= _LIKELY and share >= _LEAD * second and share > second + unaccounted
    related = share >= _PLAUSIBLE and share >= second and balance.part(same) >= _PRINCIPLE
    if share < CERTAIN and not leads and not related:
        return Weighing(None, share, 0.0)
    confidence = _confidence(share, share - second, unaccounted) * trust(balance.readings)
    confidence *= 1.0 - _DOUBT * balance.part(balance.suspended_ns)
    return Weighing(top, share, round(confidence, 3))


def _confidence(share: float, lead: float, unaccounted: float) -> float:
    """From 0.3 or so at the thresholds to 0.99 where 80 % and nothing comparable stand for it."""
    strength = 0.6 * min(share / 0.8, 1.0) + 0.4 * min(max(lead, 0.0) / 0.4, 1.0)
    return min(strength * (1.0 - unaccounted), 0.99)
