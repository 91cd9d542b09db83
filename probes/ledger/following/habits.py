"""What requests of a kind do: learnt where it can have been only one of them, used where it can have been several."""

from __future__ import annotations

from typing import Final

MAX_KINDS: Final = 4096
_FADES: Final = 1000
"""After so many requests of a kind what was seen of it counts half."""


class Habits:
    """How often requests of each kind (a hash of method and path) act in each way (a kind of step)."""

    def __init__(self) -> None:
        self._lives: dict[int, float] = {}
        self._acts: dict[tuple[int, int], float] = {}

    def lives(self, kind: int) -> None:
        """Note one more request of a kind."""
        if kind not in self._lives and len(self._lives) >= MAX_KINDS:
            self._lives.clear()
            self._acts.clear()
        self._lives[kind] = self._lives.get(kind, 0) + 1
        if self._lives[kind] >= _FADES:
            self._lives[kind] /= 2
            for key in self._acts.keys() & {(kind, act) for act in range(16)}:
                self._acts[key] /= 2

    def did(self, kind: int, act: int) -> None:
        """Note that a request of a kind acted so."""
        self._acts[kind, act] = self._acts.get((kind, act), 0) + 1

    def may(self, kind: int, act: int) -> bool:
        """Tell whether a request of a kind can be expected to act so: it was seen to, or none of any kind was."""
        return (kind, act) in self._acts or not any(known == act for _, known in self._acts)

    def often(self, kind: int, act: int) -> float:
        """Tell how often a request of a kind was seen to act so, per request; 0: never, or nothing is known."""
        lives = self._lives.get(kind, 0)
        return self._acts.get((kind, act), 0) / lives if lives else 0
