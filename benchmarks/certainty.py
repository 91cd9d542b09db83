"""How sure a verdict may be: the steps of `agent/correlator/certainty.py`, fitted to verdicts on labelled faults.

    python benchmarks/certainty.py

Reads the runs that `benchmarks/faults.py` has left in `build/faults`, runs nothing. Each recording is judged as a whole
and in parts of 0.5, 1 and 2 s, as if perfwatch had been there for no longer: so there are verdicts on little, too. Of
those given with some raw certainty the part that is right is what they are worth; the more certain are worth no less
(isotonic regression, by pooling adjacent violators). A step stands on at least 30 verdicts, and one right and one wrong
are added to each: few verdicts do not make sure. Where more threads wanted to run than there are CPUs, a verdict that
says so counts neither way: it is not what was planted, and may be true. Prints the verdicts by their raw certainty, and
the steps.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator import certainty
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rows import Row
    from runs import Run

    from perfwatch.agent.model import Record, SessionInfo, View

HERE: Final = Path(__file__).parent
PARTS_NS: Final = (500_000_000, 1_000_000_000, 2_000_000_000)
FEWEST_JUDGED: Final = 3
FEWEST: Final = 30
WIDTH: Final = 0.05


class Given(NamedTuple):
    """A verdict: how certain by the weighing alone, and whether it is right."""

    raw: float
    right: bool


class Step(NamedTuple):
    """Verdicts that are worth the same: from the least certain of them on."""

    raw: float
    right: float
    count: float

    @property
    def worth(self) -> float:
        """The part of them that is right."""
        return (self.right + 1) / (self.count + 2)


def parts(info: SessionInfo, records: list[Record]) -> Iterator[View]:
    """Yield what is known at the end of a recording, and of each part of it."""
    for part_ns in (None, *PARTS_NS):
        correlator, until_ns = Correlator(info), None
        for record in records:
            if part_ns is not None:
                until_ns = until_ns or record.at_ns + part_ns
                if record.at_ns >= until_ns:
                    yield correlator.view()
                    correlator, until_ns = Correlator(info), record.at_ns + part_ns
            correlator.feed(record)
        yield correlator.view()


def labelled() -> list[tuple[Run, dict[str, Row]]]:
    """Return all runs, each with the endpoints whose label is known to be true."""
    from rows import rows_of  # noqa: PLC0415 - found beside faults.py
    from runs import kept  # noqa: PLC0415

    return [(run, {row.true.route: row for row in rows_of([run]) if row.is_there}) for run in kept()]


def given(runs: Iterable[tuple[Run, dict[str, Row]]]) -> Iterator[Given]:
    """Yield the verdicts on these endpoints."""
    for run, true in runs:
        with SessionReader(run.place / "session.perfwatch") as session:
            views = list(parts(session.info, list(session.records())))
        for endpoint in (each for view in views for each in view.endpoints):
            row, verdict = true.get(endpoint.route), endpoint.verdict
            if row is None or verdict.mechanism is None or endpoint.judged_count < FEWEST_JUDGED:
                continue
            if verdict.mechanism != "run-queue" or row.expected == "run-queue" or run.load_average < 1:
                yield Given(verdict.confidence, verdict.mechanism in {row.expected, row.true.second})


def steps(verdicts: Iterable[Given]) -> list[Step]:
    """Fit: neighbours of which the more certain are worth less are put together."""
    pooled: list[Step] = []
    for raw, some in itertools.groupby(sorted(verdicts), key=lambda one: int(one.raw / WIDTH) * WIDTH):
        each = list(some)
        pooled.append(Step(round(raw, 2), sum(one.right for one in each), len(each)))
        while len(pooled) > 1 and (pooled[-2].worth >= pooled[-1].worth or pooled[-2].count < FEWEST):
            last, before = pooled.pop(), pooled.pop()
            pooled.append(Step(before.raw, before.right + last.right, before.count + last.count))
    return pooled


def main() -> int:
    """Print what was found."""
    sys.path[:1] = [str(HERE / "accuracy"), str(HERE.parent / "tests")]
    runs = labelled()  # judged as ever, and kept so
    certainty.STEPS = ((0.0, 0.0), (1.0, 1.0))
    verdicts = list(given(runs))
    by_raw = Counter((int(one.raw * 10) / 10, one.right) for one in verdicts)
    for raw in sorted({raw for raw, _ in by_raw}):
        right, wrong = by_raw[raw, True], by_raw[raw, False]
        sys.stdout.write(f"{raw:.1f}: {right + wrong} verdicts, {right} right, {wrong} wrong\n")
    sys.stdout.write(f"{len(verdicts)} verdicts\n")
    for step in steps(verdicts):
        sys.stdout.write(f"    ({step.raw:.2f}, {step.worth:.2f}),  # {step.right} of {step.count}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
