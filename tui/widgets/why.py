"""Why something is slow, in words: the verdict and what to do first, then the evidence, then what else helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text
from textual.widget import Widget

from perfwatch.agent.correlator.because import chain_lines
from perfwatch.tui import palette
from perfwatch.tui.format import clean, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Verdict

_MAX_LINES: Final = 8


class WhyPanel(Widget):
    """Lines of a label and a sentence, wrapped."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._lines: tuple[tuple[str, Text], ...] = ()

    def show(self, verdict: Verdict | None, otherwise: str = "", gain: str | None = None) -> None:
        """Take a verdict and what would be gained without its cause, or the line to show where there is none."""
        told = _told(verdict, gain) if verdict is not None else iter([("why", Text(otherwise, style=palette.QUIET))])
        lines = tuple(told)
        if lines != self._lines:
            self._lines = lines
            self.refresh(layout=True)

    def as_text(self) -> list[str]:
        """Return the lines without colours."""
        return _plain(self._lines)

    def render(self) -> Table:
        """Lay the lines out."""
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=6, justify="right", style=palette.QUIET)
        grid.add_column(ratio=1, overflow="fold")
        for label, sentence in self._lines:
            grid.add_row(label, sentence)
        return grid


def verdict_text(verdict: Verdict) -> list[str]:
    """Write a verdict, its advice and its evidence as the panel does, without colours."""
    return _plain(tuple(_told(verdict, None)))


def _plain(lines: tuple[tuple[str, Text], ...]) -> list[str]:
    return [f"{label:>6} {sentence.plain}" for label, sentence in lines]


def _told(verdict: Verdict, gain: str | None) -> Iterator[tuple[str, Text]]:
    letter, colour = palette.LETTER[verdict.principle], palette.COLOUR[verdict.principle]
    cause = f"{letter} {verdict.mechanism or verdict.principle}"
    sure = f" ({percent(verdict.confidence)} sure)" if verdict.mechanism else ""
    why = Text.assemble(
        (cause, f"bold {colour}"), (sure, palette.QUIET), ("  " + clean(verdict.summary), palette.STRONG)
    )
    yield "why", why
    first, others = verdict.advice[:1], verdict.advice[1:_MAX_LINES]
    yield from (("do", Text(clean(advice), style=palette.STRONG)) for advice in first)
    if gain is not None:
        yield "gain", Text(clean(gain), style=palette.TEXT)
    for number, line in enumerate(chain_lines(verdict.chain)):
        yield "by" if number == 0 else "", Text(clean(line), style=palette.TEXT)
    for number, fact in enumerate(verdict.evidence[:_MAX_LINES]):
        yield "facts" if number == 0 else "", Text(clean(fact.text), style=palette.TEXT)
    yield from (("or", Text(clean(advice), style=palette.QUIET)) for advice in others)
