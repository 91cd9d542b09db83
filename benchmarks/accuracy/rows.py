"""Verdicts beside what is true: one row for each endpoint of each run, and whether it can be held against perfwatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from faults.catalogue import SLOW_MS
from verdicts import said_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runs import Run, Told
    from verdicts import Said

FEWEST_SLOW: Final = 5
LEAST_SHARE: Final = 0.5
LEAST_SECOND: Final = 0.1
"""A second mechanism that takes less need not be told."""
SEEN_MS: Final = 1
"""A client sees so much more than the kernel; on the other side of the threshold they may differ."""
CONFIDENT: Final = 0.8
Outcome: TypeAlias = Literal["right", "principle", "unknown", "wrong", "accused", "absent"]


@dataclass(frozen=True)
class Row:
    """One endpoint of one run."""

    run: Run
    true: Told
    said: Said

    @property
    def drawn(self) -> bool:
        """Its figures were drawn."""
        return self.run.variant.startswith("drawn")

    @property
    def expected(self) -> str:
        """The mechanism, or `healthy`."""
        return self.true.mechanism or self.true.principle

    @property
    def told(self) -> str:
        """The mechanism that perfwatch names, or `healthy` or `unknown`."""
        return self.said.mechanism or self.said.principle

    @property
    def is_there(self) -> bool:
        """By the clocks of clients and server the label is true of this run: else the machine had other plans."""
        if self.true.failed:
            return False
        if self.true.principle == "healthy":
            return self.true.max_ms < SLOW_MS - SEEN_MS
        shares = [share for share in (self.true.share, self.true.held_share) if share is not None]
        return self.true.slow >= FEWEST_SLOW and all(share >= LEAST_SHARE for share in shares)

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        if not self.is_there:
            return "absent"
        if self.told == self.expected:
            return "right"
        if self.true.principle == "healthy":
            return "accused"
        if self.said.principle == "unknown":
            return "unknown"
        return "principle" if self.said.principle == self.true.principle else "wrong"

    @property
    def share_error(self) -> float | None:
        """The share that perfwatch says less the one that was planted; None unless the verdict is right."""
        return self.said.share - self.true.share if self.outcome == "right" and self.true.share is not None else None

    @property
    def second_told(self) -> bool | None:
        """Whether the second mechanism is among the causes; None where there is none."""
        if self.outcome != "right" or self.true.second is None or (self.true.second_share or 0) < LEAST_SECOND:
            return None
        return self.true.second in self.said.causes


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """Return the rows of all runs that were not skipped."""
    return [
        Row(run, true, said)
        for run in runs
        if run.skipped is None
        for true, said in zip(run.parties, said_of(run), strict=True)
    ]
