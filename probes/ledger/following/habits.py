"""What requests of a kind do: learnt where it can have been only one of them, used where it can have been several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from perfwatch.probes.ledger.addresses import Address

Act: TypeAlias = "tuple[int, Address | None, str | None]"
"""A kind of step; of a step on a connection to whom, and what is asked."""

MAX_KINDS: Final = 4096
MAX_ACTS: Final = 64
"""So many different ones of each kind are known."""
_NEW: Final = 3
"""Of a kind that was seen no more than that, nothing is a surprise."""
_RARE: Final = 0.3
_UNKNOWN: Final = 0.05
_GUESSED: Final = 0.1
"""What an act counts of which it is not certain who did it."""
_FADES: Final = 1000
"""After so many requests of a kind what was seen of it counts half."""


class Habits:
    """How often requests of each kind (a hash of method and path) act in each way."""

    def __init__(self) -> None:
        self._lives: dict[int, float] = {}
        self._acts: dict[int, dict[Act, float]] = {}
        self._known: set[Act] = set()

    def lives(self, kind: int) -> None:
        """Note one more request of a kind."""
        if kind not in self._lives and len(self._lives) >= MAX_KINDS:
            self._lives.clear()
            self._acts.clear()
            self._known.clear()
        self._lives[kind] = self._lives.get(kind, 0) + 1
        if self._lives[kind] >= _FADES:
            self._lives[kind] /= 2
            self._acts[kind] = {act: count / 2 for act, count in self._acts.get(kind, {}).items()}

    def did(self, kind: int, act: Act, weight: float = 1.0) -> None:
        """Note that a request of a kind acted so."""
        acts = self._acts.setdefault(kind, {})
        if act in acts or len(acts) < MAX_ACTS:
            acts[act] = acts.get(act, 0) + weight
            self._known.add(act)

    def share(self, kinds: set[int], act: Act) -> None:
        """Note that one of several kinds acted so: each counts as far as it is known to, and all together little."""
        rates = {kind: max(self.often(kind, act), _UNKNOWN) for kind in kinds}
        total = sum(rates.values())
        for kind, rate in rates.items():
            self.did(kind, act, _GUESSED * rate / total)

    def may(self, kind: int, act: Act) -> bool:
        """Tell whether a request of a kind can be expected to act so: it was seen to, or none of any kind was."""
        return act in self._acts.get(kind, ()) or act not in self._known

    def is_likely(self, kind: int, act: Act) -> bool:
        """Tell whether it would be no surprise."""
        return act not in self._known or self.often(kind, act) >= _RARE or self._lives.get(kind, 0) <= _NEW

    def often(self, kind: int, act: Act) -> float:
        """Tell how often a request of a kind was seen to act so, per request; 0: never, or nothing is known."""
        lives = self._lives.get(kind, 0)
        return self._acts.get(kind, {}).get(act, 0) / lives if lives else 0
