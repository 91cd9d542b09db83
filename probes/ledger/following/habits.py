"""What requests of a kind do, learnt from many: used where an act can have been that of several.

Each act counts for all that can have done it, divided among them: who does it was there each time, others only now and
then. What was chosen before has no weight, so that a wrong choice does not confirm itself.
"""

from __future__ import annotations

from typing import Final

MAX_KINDS: Final = 4096
_ENOUGH: Final = 10
_FADES: Final = 1000
"""After so many requests of a kind what was seen of it counts half."""
_ALIKE: Final = 0.5


class Habits:
    """How often requests of each kind (a hash of method and path) act in each way (a kind of step)."""

    def __init__(self) -> None:
        self._lives: dict[int, float] = {}
        self._acts: dict[int, dict[int, float]] = {}
        self._asked: dict[int, float] = {}

    def lives(self, kind: int) -> None:
        """Note one more request of a kind."""
        if kind not in self._lives and len(self._lives) >= MAX_KINDS:
            self._lives.clear()
            self._acts.clear()
            self._asked.clear()
        self._lives[kind] = self._lives.get(kind, 0) + 1
        if self._lives[kind] >= _FADES:
            self._lives[kind] /= 2
            for counts in (self._asked, *self._acts.values()):
                if kind in counts:
                    counts[kind] /= 2

    def acted(self, kinds: list[int], act: int) -> None:
        """Note that a request of one of these kinds acted so."""
        counts = self._acts.setdefault(act, {})
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + 1 / len(kinds)

    def is_known(self, kind: int) -> bool:
        """Tell whether there were enough requests of a kind to say what they do."""
        return self._lives.get(kind, 0) >= _ENOUGH

    def asked(self, kind: int) -> None:
        """Note that a request of a kind made a call, whether or not it can only have been that one."""
        self._asked[kind] = self._asked.get(kind, 0) + 1

    def has_asked(self, kind: int, calls: int) -> bool:
        """Tell whether a request has made as many calls as those of its kind make, on average."""
        return self.is_known(kind) and calls >= max(round(self._asked.get(kind, 0) / self._lives[kind]), 1)

    def may(self, kind: int, act: int) -> bool:
        """Tell whether a request of a kind is one of those that act so most often."""
        often = self.often(kind, act)
        return often > 0 and often >= _ALIKE * max(self.often(known, act) for known in self._acts[act])

    def often(self, kind: int, act: int) -> float:
        """Tell how often a request of a kind acts so, per request; 0: never, or nothing is known."""
        lives = self._lives.get(kind, 0)
        return self._acts.get(act, {}).get(kind, 0) / lives if lives else 0
