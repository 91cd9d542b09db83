"""Sums by subject, of which only the largest matter: bounded, however many subjects come by."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Subject = TypeVar("Subject")
_MAX: Final = 512


class Tally(Generic[Subject]):
    """Two sums for each subject (what comes in pairs: read and written); of too many the small ones are forgotten."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[Subject, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, subject: Subject, first: int, second: int = 0) -> None:
        """Add to the sums of a subject."""
        if subject not in self._sums and len(self._sums) >= _MAX:
            self._sums = dict(self._ranked()[: _MAX // 2])
        earlier = self._sums.get(subject, (0, 0))
        self._sums[subject] = (earlier[0] + max(first, 0), earlier[1] + max(second, 0))

    def largest(self, count: int) -> list[tuple[Subject, tuple[int, int]]]:
        """Return the subjects with the largest sums, the largest first; of equals the earlier one."""
        return [one for one in self._ranked()[:count] if sum(one[1])]

    def _ranked(self) -> list[tuple[Subject, tuple[int, int]]]:
        return sorted(self._sums.items(), key=lambda one: -sum(one[1]))
