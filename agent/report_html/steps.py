"""The course of a request as a waterfall: each step where it lies in the request's time, what it was and on whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.course_step import fitted
from perfwatch.agent.report_html.bars import axis, key
from perfwatch.agent.report_html.markup import Html, element, joined, table
from perfwatch.agent.report_layout import shown_ms
from perfwatch.agent.report_sentences import took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.course_step import Step

_ROWS: Final = 16
_STRETCHES: Final = 40
"""More are drawn as one, from the first to the last."""


def steps_of(steps: Sequence[Step], whole_ms: float) -> Html:
    """Draw the steps in order of time; those that do not fit as one row with their sum."""
    if not steps:
        return Html()
    rows = [_row(step, whole_ms) for step in fitted(steps, _ROWS)]
    heads = ("step", "took", f"when, of {shown_ms(whole_ms)}", "what it was")
    return joined((element("h3", "Its course"), table(heads, rows, frozenset({1}))))


def _row(step: Step, whole_ms: float) -> tuple[Html, str, Html, str]:
    name = step.bucket or ("unaccounted" if not step.parts else "the rest")
    colour = step.bucket or "unaccounted"
    spent = took(step.spent_ns / 1e6)
    bars = axis(_drawn(step, colour), whole_ms, f"{name} {spent}")
    return joined((key(colour), _counted(step, name))), spent, bars, _words(step)


def _drawn(step: Step, colour: str) -> list[tuple[str, float, float, str]]:
    """Return where it lies; a sum is only marked, for it is somewhere there; of a rest what is no sum."""
    if step.parts:
        parts = (part for part in step.parts if not part.is_sum)
        return [stretch for part in parts for stretch in _drawn(part, part.bucket or "unaccounted")]
    stretches = step.stretches
    if len(stretches) > _STRETCHES:
        stretches = ((stretches[0][0], stretches[-1][1]),)
    title = f"{colour} {took(step.spent_ns / 1e6)}"
    style, title = (f"{colour} sum", f"{title}, somewhere here") if step.is_sum else (colour, title)
    return [(style, since / 1e6, until / 1e6, title) for since, until in stretches]


def _counted(step: Step, name: str) -> str:
    return f"{step.count} x {name}" if step.count > 1 and not step.parts else name


def _words(step: Step) -> str:
    if step.parts:
        return ", ".join(f"{part.bucket or 'unaccounted'} {took(part.spent_ns / 1e6)}" for part in step.parts[:6])
    place = f"in {step.place}" if step.place else ""
    return ", ".join(part for part in (step.what, place, step.whom) if part)
