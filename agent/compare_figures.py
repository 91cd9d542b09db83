"""The figures of a comparison: how each is written, what its change is, and whether that is worse or better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.comparing import LEAST_MS
from perfwatch.agent.correlator.wording import duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.comparing import Figures, Pair, Part

Tone: TypeAlias = Literal["plain", "quiet", "strong", "worse", "better"]
_NOTABLE: Final = 0.05
"""A change by a smaller part is no better or worse."""
_NOTABLE_POINTS: Final = 0.005


class Piece(NamedTuple):
    """A part of a line that looks alike."""

    text: str
    tone: Tone = "plain"


class Figure(NamedTuple):
    """One of the signals."""

    name: str
    of: Callable[[Figures], Pair]
    told: Callable[[float], str]
    is_worse: bool
    """More of it is worse; of a throughput that depends."""

    def both(self, figures: Figures) -> tuple[str, str]:
        """Write it before and after."""
        pair = self.of(figures)
        before, after = ("-" if value is None else self.told(value) for value in (pair.before, pair.after))
        return before, after

    def change(self, figures: Figures) -> Piece:
        """Tell a change by its part of what was; of shares in points."""
        before, after = self.of(figures).before, self.of(figures).after
        if before is None or after is None:
            return Piece("")
        more = after - before
        if self.told is percent:
            return Piece(f"{more * 100:+.1f} pts", self._tone(more, is_notable=abs(more) >= _NOTABLE_POINTS))
        part = more / before if before else 0.0
        return Piece(f"{part * 100:+.0f} %", self._tone(more, is_notable=abs(part) >= _NOTABLE))

    def _tone(self, more: float, *, is_notable: bool) -> Tone:
        if not is_notable:
            return "quiet"
        return "plain" if not self.is_worse else "worse" if more > 0 else "better"


def milliseconds(value_ms: float) -> str:
    """Write a length of time."""
    return duration(value_ms * 1e6)


_ALWAYS: Final = (
    Figure("throughput", lambda one: one.rate_rps, lambda value: f"{value:.3g}/s", is_worse=False),
    Figure("p50", lambda one: one.p50_ms, milliseconds, is_worse=True),
    Figure("p95", lambda one: one.p95_ms, milliseconds, is_worse=True),
    Figure("slow", lambda one: one.slow_share, percent, is_worse=True),
)
_ERRORS: Final = Figure("errors", lambda one: one.error_share, percent, is_worse=True)


def shown(figures: Figures) -> tuple[Figure, ...]:
    """Return those that are shown: errors only where there are some."""
    has_errors = any((figures.error_share.before, figures.error_share.after))
    return (*_ALWAYS, _ERRORS) if has_errors else _ALWAYS


def spent(part: Part) -> tuple[str, str, Piece]:
    """Write what was spent in one way, before and after, and the change."""
    before, after = (milliseconds(value or 0.0) for value in (part.ms.before, part.ms.after))
    more = f"{'+' if part.more_ms >= 0 else '-'}{milliseconds(abs(part.more_ms))}"
    if abs(part.more_ms) < LEAST_MS:
        return before, after, Piece(more, "quiet")
    return before, after, Piece(more, "worse" if part.more_ms > 0 else "better")
