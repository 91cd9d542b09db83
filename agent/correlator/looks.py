"""What looking at tasks now and then says of the time in which nobody looked.

Readings come at even distances, whatever a coroutine does. A wait that is half as long as that distance is missed every
other time: so each that was found stands for another one like it. And what was before the first reading is taken to be
as what came after it. That holds for many requests together, and says nothing of a single one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from perfwatch.agent.model import Bucket, Mechanism

Times: TypeAlias = "Mapping[Mechanism | None, int]"
"""By mechanism; None: it stays unknown."""
_NONE: Final[Times] = MappingProxyType({})
_TELLING: Final = 5
_MANY: Final = 0.1
_BOOKED_TO: Final[dict[Mechanism | None, Bucket]] = {
    "pool": "lock",
    "lock": "lock",
    "sleep": "sleep",
    "queue": "queue",
    "dependency": "calls",
    "network": "receive",
}


class Looks(NamedTuple):
    """Sums over the suspended waits of requests."""

    found: int = 0
    """In so many waits a task was looked at."""
    looked_ns: Times = _NONE
    """How long these were, by what they were found to be."""
    missed_ns: Times = _NONE
    """And how long those are, which they stand for, that nobody looked at."""
    short_ns: Times = _NONE
    """Waits that nobody looked at because they were short, by what they are booked to: `sleep` or unknown."""
    unwatched_ns: Times = _NONE
    """Waits from before the first reading, likewise."""

    def plus(self, other: Looks, sign: int = 1) -> Looks:
        """Return both together; with sign -1 what is left without the other."""
        if self is NOBODY and sign > 0:
            return other
        return Looks(
            self.found + sign * other.found,
            *(_sum(mine, its, sign) for mine, its in zip(self[1:], other[1:], strict=True)),
        )

    def doubt_sleep(self, slept_ns: int, alike: Looks) -> bool:
        """Whether a request may not have slept: nobody looked, and others like it were found to wait for permits."""
        unseen_ns = self.short_ns.get("sleep", 0) + self.unwatched_ns.get("sleep", 0)
        permits_ns = alike.looked_ns.get("pool", 0) + alike.looked_ns.get("lock", 0)
        many = alike.found >= _TELLING and permits_ns >= _MANY * sum(alike.looked_ns.values())
        return many and 2 * unseen_ns >= slept_ns

    def changes(self) -> dict[Mechanism | None, int]:
        """Return how much more, or less, the mechanisms have by what was found; adds up to nothing."""
        changes: dict[Mechanism | None, int] = {}
        if self.found < _TELLING:
            return changes
        for unseen, weights in ((self.short_ns, self.missed_ns), (self.unwatched_ns, self.looked_ns)):
            whole = sum(weights.values())
            for before, spent_ns in unseen.items() if whole > 0 else ():
                for after, weight in weights.items():
                    part_ns = spent_ns * weight // whole
                    changes[before] = changes.get(before, 0) - part_ns
                    changes[after] = changes.get(after, 0) + part_ns
        return changes

    def part(self, mechanism: Mechanism, own: Looks) -> int:
        """Return how much more, or less, a mechanism has of one of the requests that these are the sums of."""
        more_ns = 0
        for unseen, weights in ((own.short_ns, self.missed_ns), (own.unwatched_ns, self.looked_ns)):
            whole = sum(weights.values())
            if whole > 0 and self.found >= _TELLING:
                part_ns = sum(unseen.values()) * weights.get(mechanism, 0) // whole
                more_ns += part_ns - unseen.get(mechanism, 0)
        return more_ns

    def bookings(self) -> Iterator[tuple[Bucket, int]]:
        """Yield the same by buckets."""
        for mechanism, change_ns in self.changes().items():
            yield _BOOKED_TO.get(mechanism, "other"), change_ns


NOBODY: Final = Looks()


def _sum(some: Times, others: Times, sign: int) -> Times:
    if not others:
        return some
    return {name: some.get(name, 0) + sign * others.get(name, 0) for name in {**some, **others}}
