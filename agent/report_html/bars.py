"""Bars of SVG: a ledger in its parts, stretches on a time axis. Widths are percentages, so that they fit any screen.

A bar says what it shows in words too, and each part has its name, in the bar where it fits and below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.buckets import MEANING
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_html.markup import Html, element, joined, listed, told
from perfwatch.agent.report_layout import shown_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from perfwatch.agent.model import Bucket

_LEAST: Final = 0.005
"""A part that would be told as 0 %."""
_NAMED: Final = 0.1
"""A part that has room for its name."""
_BAR: Final = 20
_AXIS: Final = 12


class Part(NamedTuple):
    """A part of a bar."""

    name: str
    meaning: str
    spent_ms: float


def parts_of(ledger_ms: Mapping[Bucket, float], unaccounted_ms: float) -> list[Part]:
    """Return the parts of a ledger that are not empty, what is unaccounted last."""
    booked = [Part(bucket, MEANING[bucket], spent) for bucket, spent in ledger_ms.items() if spent > 0]
    left = Part("unaccounted", "what no bucket explains", unaccounted_ms)
    return [*booked, left] if unaccounted_ms > 0 else booked


def ledger(parts: Sequence[Part], whole_ms: float | None = None) -> Html:
    """Draw a ledger as one bar with its parts named below; `whole_ms` is the length of the full width."""
    total = sum(part.spent_ms for part in parts)
    if total <= 0:
        return Html()
    return joined((bar(parts, max(whole_ms or total, total)), legend(parts, total)))


def bar(parts: Sequence[Part], whole_ms: float) -> Html:
    """Draw parts one after the other."""
    drawn, at = [], 0.0
    for part in parts:
        drawn.append(_part(part, at / whole_ms, part.spent_ms / whole_ms))
        at += part.spent_ms
    words = ", ".join(f"{part.name} {shown_ms(part.spent_ms)}" for part in parts if part.spent_ms / whole_ms >= _LEAST)
    return element("svg", *drawn, class_="bar", role="img", aria_label=words, height=_BAR)


def legend(parts: Sequence[Part], total_ms: float) -> Html:
    """Name parts in the order of the bar, without those that are next to nothing."""
    most = max(part.spent_ms for part in parts)
    return listed(
        (_entry(part, total_ms, is_most=part.spent_ms == most) for part in parts if part.spent_ms / total_ms >= _LEAST),
        "legend",
    )


def key(name: str) -> Html:
    """Return a patch of a colour."""
    return element("i", class_=f"key c-{name}", aria_hidden="true")


def axis(stretches: Iterable[tuple[str, float, float, str]], whole_ms: float, words: str) -> Html:
    """Draw stretches (colour, since, until, title) where they lie in the time of their request."""
    drawn = [
        element(
            "rect",
            element("title", title),
            class_=f"c-{colour}",
            x=_share(since / whole_ms),
            width=_share(max((until - since) / whole_ms, 0.002)),
            height=_AXIS,
        )
        for colour, since, until, title in stretches
        if whole_ms > 0 and until >= 0 and since <= whole_ms
    ]
    return element("svg", *drawn, class_="axis", role="img", aria_label=words, height=_AXIS)


def meter(share: float | None, words: str) -> Html:
    """Draw how much of something is used, 0..1; nothing where that is not known."""
    if share is None:
        return Html()
    level = "high" if share >= 0.9 else "middle" if share >= 0.7 else "low"  # noqa: PLR2004 - as the screen has it
    full = element("rect", class_=f"level-{level}", width=_share(min(max(share, 0.0), 1.0)), height=_AXIS)
    return element("svg", full, class_="axis", role="img", aria_label=words, height=_AXIS)


def _part(part: Part, since: float, width: float) -> Html:
    """Draw one part; in an SVG of its own a name is cut at its end."""
    title = element("title", f"{part.name} {shown_ms(part.spent_ms)}: {part.meaning}")
    name = element("text", part.name, x=5, y=14) if width >= _NAMED else None
    filled = element("rect", class_=f"c-{part.name}", width="100%", height=_BAR)
    return element("svg", title, filled, name, x=_share(since), width=_share(width), height=_BAR)


def _entry(part: Part, total_ms: float, *, is_most: bool) -> Html:
    words = f"{part.name} {shown_ms(part.spent_ms)} {percent(part.spent_ms / total_ms)}"
    return element("span", key(part.name), element("b", words) if is_most else told(words), title=part.meaning)


def _share(part: float) -> str:
    return f"{100 * part:.3f}%"
