"""What requests of a kind do, learnt from many: used where an act can have been that of several.

An act that can have been only one request's counts for its kind. One that can have been that of several counts little,
and is divided among them as far as each is known to act so: who does it was there each time, others only now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from perfwatch.probes.ledger.addresses import Address

Act: TypeAlias = "tuple[int, Address | None, str | None]"
"""A kind of step; of a step on a connection also to whom, and what is asked."""
MAX_KINDS: Final = 4096
MAX_ACTS: Final = 4096
MAX_FOLLOWED: Final = 64
"""Acts that are remembered of a kind that was alone, and of those that followed on each of them."""
FADES: Final = 1000
"""After so many requests of a kind what was seen of it counts half."""
_ALIKE: Final = 0.5
_GUESSED: Final = 0.1
"""What an act counts of which it is not certain who did it."""
_NEW: Final = 3
"""Of a kind that was seen no more than that, nothing is a surprise."""
_ENOUGH: Final = 4
"""So many of an act must have been seen, to go by that."""
_RARE: Final = 0.3
_UNKNOWN: Final = 0.05


class Seen:
    """Of one act: how often it was taken, and of how many it was seen with certainty by requests of which kind."""

    __slots__ = ("kinds", "sure", "taken")

    def __init__(self) -> None:
        self.taken = self.sure = 0.0
        self.kinds: dict[int, float] = {}


class Habits:
    """How often requests of each kind (a hash of method and path) act in each way."""

    def __init__(self) -> None:
        self._lives: dict[int, float] = {}
        self._acts: dict[Act, dict[int, float]] = {}
        self._follows: dict[int, dict[Act, set[Act]]] = {}
        self._seen: dict[Act, Seen] = {}

    def lives(self, kind: int) -> None:
        """Note one more request of a kind."""
        if kind not in self._lives and len(self._lives) >= MAX_KINDS:
            self._lives.clear()
            self._acts.clear()
            self._follows.clear()
            self._seen.clear()
        lives = self._lives[kind] = self._lives.get(kind, 0) + 1
        if lives >= FADES:
            self._lives[kind] /= 2
            for counts in (*self._acts.values(), *(seen.kinds for seen in self._seen.values())):
                if kind in counts:
                    counts[kind] /= 2

    def did(self, kind: int, act: Act, weight: float = 1.0) -> None:
        """Note that a request of a kind acted so."""
        if act not in self._acts and len(self._acts) >= MAX_ACTS:
            self._acts.clear()
        counts = self._acts.setdefault(act, {})
        counts[kind] = counts.get(kind, 0) + weight

    def taken(self, act: Act) -> None:
        """Note that somebody acted so."""
        if act not in self._seen and len(self._seen) >= MAX_ACTS:
            self._seen.clear()
        seen = self._seen.setdefault(act, Seen())
        seen.taken += 1
        if seen.taken >= FADES:
            seen.taken, seen.sure = seen.taken / 2, seen.sure / 2

    def saw(self, kind: int, act: Act) -> None:
        """Note of an act that was taken that it was seen who did it: a request of this kind."""
        seen = self._seen.get(act)
        if seen:
            seen.sure += 1
            seen.kinds[kind] = seen.kinds.get(kind, 0) + 1

    def alone(self, kind: int, act: Act, before: Act | None) -> None:
        """Note that a request acted so while there was no other one, and what it did before on the same connection."""
        known = self._follows.setdefault(kind, {})
        if len(known) < MAX_FOLLOWED:
            known.setdefault(act, set())
        if before in known and len(known[before]) < MAX_FOLLOWED:
            known[before].add(act)

    def may_follow(self, kind: int, act: Act, before: Act) -> bool:
        """Tell whether a request of a kind may act so on a connection after it did `before`; if in doubt, it may."""
        known = self._follows.get(kind, {})
        return before not in known or act in known[before]

    def share(self, kinds: set[int], act: Act) -> None:
        """Note that a request of one of these kinds acted so."""
        rates = {kind: max(self.often(kind, act), _UNKNOWN) for kind in kinds}
        total = sum(rates.values())
        for kind, rate in rates.items():
            self.did(kind, act, _GUESSED * rate / total)

    def may(self, kind: int, act: Act) -> bool:
        """Tell whether a request of a kind is one of those that act so most often."""
        often = self.often(kind, act)
        return often > 0 and often >= _ALIKE * max(self.often(known, act) for known in self._kinds(act))

    def is_likely(self, kind: int, act: Act) -> bool:
        """Tell whether it would be no surprise."""
        return act not in self._acts or self.often(kind, act) >= _RARE or self._lives.get(kind, 0) <= _NEW

    def often(self, kind: int, act: Act) -> float:
        """Tell how often a request of a kind acts so, per request; 0: never, or nothing is known.

        Where some were seen with certainty the others are taken to be divided alike, and no guess counts.
        """
        lives = self._lives.get(kind, 0)
        seen = self._seen.get(act)
        if seen and seen.sure >= _ENOUGH and lives:
            return seen.kinds.get(kind, 0) / seen.sure * max(seen.taken, seen.sure) / lives
        return self._acts.get(act, {}).get(kind, 0) / lives if lives else 0

    def _kinds(self, act: Act) -> set[int]:
        """Return the kinds of which requests acted so."""
        seen = self._seen.get(act)
        return self._acts.get(act, {}).keys() | (seen.kinds.keys() if seen else set())
