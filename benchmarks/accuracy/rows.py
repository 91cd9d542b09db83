"""Verdicts beside what is true: one row for each endpoint of each run, and whether it can be held against perfwatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from faults.catalogue import SLOW_MS
from verdicts import judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runs import Run, Told
    from verdicts import Said

FEWEST_SLOW: Final = 5
LEAST_SHARE: Final = 0.5
LEAST_SECOND: Final = 0.1
"""A second mechanism that takes less need not be told."""
SEEN_MS: Final = 1
"""A client sees so much more than the kernel; on the other side of the threshold they may differ."""
CROWD: Final = 2
"""So many want each CPU: a fifth of one is then a fair share, and who holds the interpreter lock waits for a CPU."""
CONFIDENT: Final = 0.8
Outcome: TypeAlias = Literal["right", "principle", "unknown", "wrong", "accused", "absent"]


@dataclass(frozen=True)
class Row:
    """One endpoint of one run."""

    run: Run
    true: Told
    said: Said
    start_s: float
    """perfwatch took so long until all of its probes were open."""

    @property
    def drawn(self) -> bool:
        """Its figures were drawn."""
        return self.run.variant.startswith("drawn")

    @property
    def expected(self) -> str:
        """The mechanism, or `healthy`."""
        return "run-queue" if self.is_crowded else self.true.mechanism or self.true.principle

    @property
    def principle(self) -> str:
        """What is true of it."""
        return "capacity" if self.is_crowded else self.true.principle

    @property
    def told(self) -> str:
        """The mechanism that perfwatch names, or `healthy` or `unknown`."""
        return self.said.mechanism or self.said.principle

    @property
    def is_labelled(self) -> bool:
        """By the clocks of clients and server the label is true of this run."""
        if self.true.principle == "healthy":
            return self.true.max_ms < SLOW_MS - SEEN_MS
        return self.true.slow >= FEWEST_SLOW and min(self._shares()) >= LEAST_SHARE and not self._is_outbid

    def _shares(self) -> Iterator[float]:
        yield from (share for share in (self.true.share, self.true.held_share) if share is not None)
        if self.true.mechanism == "event-loop":  # kept by one that itself got no CPU, it waits for a CPU
            yield from (
                one.share for one in self.run.parties if one.route == self.true.held_by and one.share is not None
            )

    @property
    def _is_outbid(self) -> bool:
        """A quota, or the interpreter lock, is what is short only where others leave CPUs to whoever has it."""
        return self.true.mechanism in {"throttle", "gil"} and self.run.load_average > CROWD

    @property
    def is_crowded(self) -> bool:
        """The label is not true, because the machine had other plans: the kernel says that its thread got no CPU."""
        crowded = (self.true.crowded or 0) >= LEAST_SHARE and self.true.mechanism != "throttle"
        return crowded and not self.is_labelled

    @property
    def is_there(self) -> bool:
        """What is true of it is known."""
        return not self.true.failed and (self.is_labelled or self.is_crowded)

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        if not self.is_there:
            return "absent"
        if self.told == self.expected:
            return "right"
        if self.principle == "healthy":
            return "accused"
        if self.said.principle == "unknown":
            return "unknown"
        return "principle" if self.said.principle == self.principle else "wrong"

    @property
    def share_error(self) -> float | None:
        """The share that perfwatch says less the one that was planted; None unless the verdict is right."""
        if self.outcome != "right" or self.true.share is None or self.is_crowded:
            return None
        return self.said.share - self.true.share

    @property
    def second_told(self) -> bool | None:
        """Whether the second mechanism is among the causes; None where there is none."""
        if self.outcome != "right" or self.is_crowded or (self.true.second_share or 0) < LEAST_SECOND:
            return None
        return self.true.second in self.said.causes

    @property
    def names_it(self) -> bool | None:
        """Whether a right verdict names who is to blame; None where nobody is."""
        return self.said.names_it if self.outcome == "right" and not self.is_crowded else None

    @property
    def follows(self) -> bool | None:
        """Whether a right verdict follows the chain of blame to its end; None where none was planted."""
        return self.said.follows if self.outcome == "right" and not self.is_crowded else None

    @property
    def mended(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """(p50, p95) predicted without the mechanism, and measured without the fault; None if either is not known."""
        predicted, measured = self.said.predicted.get(self.expected), self.run.mended.get(self.true.route)
        told = self.outcome == "right" and self.is_labelled and self.run.mend_of in {None, self.expected}
        return (predicted, measured) if told and predicted and measured else None


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """Return the rows of all runs that were not skipped."""
    each = ((run, judged(run)) for run in runs if run.skipped is None)
    return [
        Row(run, true, said, verdicts.start_s)
        for run, verdicts in each
        for true, said in zip(run.parties, verdicts.said, strict=True)
    ]
