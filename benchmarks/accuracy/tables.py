"""The tables of docs/accuracy.md."""

from __future__ import annotations

import collections
import itertools
import statistics
from typing import TYPE_CHECKING, Final

from rows import CONFIDENT, Row

from perfwatch.agent.model import MECHANISMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BINS: Final = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.01)
SMALL_MS: Final = 10
"""What takes less without the fault is compared by what was won: two clocks differ by more than it takes."""
TARGETS: Final = {
    "principle right": ">= 95 %",
    "mechanism right": ">= 90 %",
    "unknown": "<= 5 %",
    f"wrong, of those with a confidence of at least {CONFIDENT}": "<= 3 %",
    "healthy endpoints that are accused": "0",
    "first right verdict after starting it, p95": "<= 3 s",
}


def percent(count: float, of: float) -> str:
    """Return `93.1 % (27 of 29)`."""
    return f"{100 * count / of:.1f} % ({count} of {of})" if of else "none"


def summary(rows: Sequence[Row]) -> list[str]:
    """What the targets ask, over all cases and over those with drawn figures."""
    columns = [("all", rows), ("declared", [r for r in rows if not r.drawn]), ("drawn", [r for r in rows if r.drawn])]
    lines = [f"| | target | {' | '.join(name for name, _ in columns)} |", "|---|---|---|---|---|"]
    figures = [_figures(chosen) for _, chosen in columns]
    lines += [f"| {name} | {TARGETS.get(name, '')} | {' | '.join(f[name] for f in figures)} |" for name in figures[0]]
    return lines


def _figures(rows: Sequence[Row]) -> dict[str, str]:
    outcomes = collections.Counter(row.outcome for row in rows)
    faults = [row for row in rows if row.principle != "healthy" and row.outcome != "absent"]
    sound = [row for row in rows if row.principle == "healthy" and row.outcome != "absent"]
    confident = [row for row in faults + sound if row.said.confidence >= CONFIDENT]
    errors = [abs(row.share_error) for row in faults if row.share_error is not None]
    first = [row.said.first_right_s for row in faults if row.said.first_right_s is not None]
    starts = [row.start_s for row in faults]
    second = [row.second_told for row in rows if row.second_told is not None]
    followed = [row.follows for row in faults if row.follows is not None]
    named = [row.names_it for row in faults if row.names_it is not None]
    return {
        "runs": str(len({(row.run.name, row.run.variant) for row in rows})),
        "verdicts on endpoints": str(len(faults) + len(sound)),
        "left out: the label was not true of the run": str(outcomes["absent"]),
        "of a run queue, whatever was planted": str(sum(row.is_there and row.is_crowded for row in rows)),
        "principle right": percent(
            sum(row.outcome in {"right", "principle"} for row in faults + sound), len(faults + sound)
        ),
        "mechanism right": percent(sum(row.outcome == "right" for row in faults + sound), len(faults + sound)),
        "the same, of endpoints that are slow": percent(sum(row.outcome == "right" for row in faults), len(faults)),
        "unknown": percent(sum(row.said.principle == "unknown" for row in faults), len(faults)),
        f"wrong, of those with a confidence of at least {CONFIDENT}": percent(
            sum(row.outcome != "right" for row in confident), len(confident)
        ),
        "healthy endpoints that are accused": percent(outcomes["accused"], len(sound)),
        "who is to blame is named, of the right ones": percent(sum(named), len(named)),
        "the chain of blame followed to its end, of the right ones with one": percent(sum(followed), len(followed)),
        "second cause named, of the right ones with two": percent(sum(second), len(second)),
        "share, against what was planted: median and p95 of the error": _spread(errors, 100, "points"),
        "from starting `perfwatch record` until all is attached, median": _quantile(starts, 0.5, "s"),
        "first right verdict after starting it, median": _quantile(first, 0.5, "s"),
        "first right verdict after starting it, p95": _quantile(first, 0.95, "s"),
    }


def by_mechanism(rows: Sequence[Row]) -> list[str]:
    """How each mechanism fares, and on how many kinds of servers it was planted."""
    lines = [
        "| mechanism | endpoints | right | unknown | error of the share | first right |",
        "|---|---|---|---|---|---|",
    ]
    for name in (*MECHANISMS, "healthy"):
        mine = [row for row in rows if row.expected == name and row.outcome != "absent"]
        errors = [abs(row.share_error) for row in mine if row.share_error is not None]
        first = [row.said.first_right_s for row in mine if row.said.first_right_s is not None]
        unknown = sum(row.outcome == "unknown" for row in mine)
        lines.append(
            f"| {name} | {len(mine)} | {percent(sum(row.outcome == 'right' for row in mine), len(mine))} | {unknown} "
            f"| {_quantile(errors, 0.5, 'points', 100)} | {_quantile(first, 0.5, 's')} |"
        )
    return lines


def confusion(rows: Sequence[Row]) -> list[str]:
    """What is planted in the rows, what is told in the columns."""
    counted = collections.Counter((row.expected, row.told) for row in rows if row.outcome != "absent")
    names = [*MECHANISMS, "healthy", "unknown"]
    told = [name for name in names if any(one == name for _, one in counted)]
    lines = [f"| planted | {' | '.join(told)} |", f"|---|{'---|' * len(told)}"]
    planted = [name for name in names if any(one == name for one, _ in counted)]
    cells = {name: " | ".join(str(counted[name, one] or "") for one in told) for name in planted}
    return [*lines, *(f"| **{name}** | {cells[name]} |" for name in planted)]


def calibration(rows: Sequence[Row]) -> list[str]:
    """Of the verdicts given with a confidence, which part is right; `healthy` ones, of confidence 1, apart."""
    judged = [row for row in rows if row.outcome != "absent" and row.said.mechanism is not None]
    lines = ["| confidence | verdicts | mean | right |", "|---|---|---|---|"]
    for low, high in itertools.pairwise(BINS):
        mine = [row for row in judged if low <= row.said.confidence < high]
        if mine:
            mean = statistics.fmean(row.said.confidence for row in mine)
            right = percent(sum(row.outcome == "right" for row in mine), len(mine))
            lines.append(f"| {low:g} - {min(high, 1):g} | {len(mine)} | {mean:.2f} | {right} |")
    healthy = [row for row in rows if row.outcome != "absent" and row.said.principle == "healthy"]
    right = percent(sum(row.outcome == "right" for row in healthy), len(healthy))
    off = _calibration_error(judged)
    return [*lines, f"| healthy | {len(healthy)} | 1 | {right} |", "", f"Expected calibration error: {off}."]


def _calibration_error(judged: Sequence[Row]) -> str:
    total = 0.0
    for low, high in itertools.pairwise(BINS):
        mine = [row for row in judged if low <= row.said.confidence < high]
        if mine:
            right = sum(row.outcome == "right" for row in mine)
            total += abs(sum(row.said.confidence for row in mine) - right)
    return f"{100 * total / len(judged):.1f} points" if judged else "none"


def mending(rows: Iterable[Row]) -> list[str]:
    """For each fault that was removed: what perfwatch predicted of that, and what came."""
    told = [row for row in rows if row.mended is not None]
    lines = [
        "| fault | endpoint | mechanism | what was done | p95 before | predicted | measured | off |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in told:
        predicted, measured = row.mended
        lines.append(
            f"| {row.run.name} | {row.true.route} | {row.expected} | {row.run.mend} | {row.true.p95_ms:.1f} ms "
            f"| {predicted[1]:.1f} ms | {measured[1]:.1f} ms | {100 * _off(row, 1):.0f} % |"
        )
    return [*(_mending_summary(told, place, name) for place, name in enumerate(("p50", "p95"))), "", *lines]


def _mending_summary(told: Sequence[Row], place: int, name: str) -> str:
    offs = [_off(row, place) for row in told]
    large = [_off(row, place) for row in told if row.mended[1][place] >= SMALL_MS]
    return (
        f"Median error of the predicted {name}: {_quantile(offs, 0.5, '%', 100)} over {len(offs)} endpoints; "
        f"of the {len(large)} where it is then at least {SMALL_MS} ms: {_quantile(large, 0.5, '%', 100)}.  "
    )


def _off(row: Row, place: int) -> float:
    """Return the error as a part of what was measured; where that is small, of what it took before."""
    predicted, measured = (quantiles[place] for quantiles in row.mended)
    before = (row.true.p50_ms, row.true.p95_ms)[place]
    return abs(predicted - measured) / (measured if measured >= SMALL_MS else before)


def wrong(rows: Iterable[Row]) -> list[str]:
    """What is not right, one by one."""
    lines = ["| fault | figures | endpoint | planted | told | share | confidence |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if row.outcome not in {"right", "absent"}:
            share = "" if row.true.share is None else f"{row.true.share:.2f}"
            lines.append(
                f"| {row.run.name} | {row.run.variant} | {row.true.route} | {row.expected} {share} | {row.told} "
                f"| {row.said.share:.2f} | {row.said.confidence:.2f} |"
            )
    return lines if len(lines) > 2 else ["Nothing."]


def _spread(values: Sequence[float], times: float, unit: str) -> str:
    return f"{_quantile(values, 0.5, '', times)} and {_quantile(values, 0.95, unit, times)}" if values else "none"


def _quantile(values: Sequence[float], part: float, unit: str, times: float = 1) -> str:
    ranked = sorted(values)
    return f"{times * ranked[int(len(ranked) * part)]:.1f} {unit}".strip() if ranked else ""
