"""Why something is slow, in words: the verdict and what to do first, then the evidence, then what else helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.widget import Widget

from perfwatch.agent.correlator.because import also, chain_lines, facts
from perfwatch.tui import palette
from perfwatch.tui.format import clean, percent
from perfwatch.tui.widgets.panel import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.geometry import Size

    from perfwatch.agent.model import Verdict

_MAX_LINES: Final = 8
_LABEL: Final = 6
"""Cells that the words before the sentences take."""


class WhyPanel(Widget):
    """Lines of a label and a sentence, wrapped."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Have nothing to say yet."""
        self._lines: tuple[tuple[str, Text], ...] = ()
        self._wrapped: tuple[int, list[Text]] | None = None

    def show(
        self, verdict: Verdict | None, otherwise: str = "", gain: str | None = None, kept_by: tuple[str, ...] = ()
    ) -> None:
        """Take a verdict, what would be gained without its cause and who kept the event loop.

        Without a verdict `otherwise` is shown.
        """
        why = [("why", Text(otherwise, style=palette.QUIET))]
        lines = (
            (*why, *_labelled("loop", kept_by, palette.TEXT))
            if verdict is None
            else tuple(_told(verdict, gain, kept_by))
        )
        if lines != self._lines:
            self._lines, self._wrapped = lines, None
            self.refresh(layout=True)

    def as_text(self) -> list[str]:
        """Return the lines without colours."""
        return _plain(self._lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Return how many lines there are."""
        return len(self._wrap(width))

    def render(self) -> Text:
        """Lay the lines out."""
        return joined(self._wrap(self.size.width))

    def _wrap(self, width: int) -> list[Text]:
        """Put sentences beside their labels, lines below each other."""
        if self._wrapped is None or self._wrapped[0] != width:
            self._wrapped = width, [line for one in self._lines for line in self._beside(*one, width)]
        return self._wrapped[1]

    def _beside(self, label: str, sentence: Text, width: int) -> Iterator[Text]:
        for line in sentence.wrap(self.app.console, max(1, width - _LABEL - 1), overflow="fold"):
            yield Text.assemble((f"{label:>{_LABEL}} ", palette.QUIET), line)
            label = ""


def verdict_text(verdict: Verdict) -> list[str]:
    """Write a verdict, its advice and its evidence as the panel does, without colours."""
    return _plain(tuple(_told(verdict, None, ())))


def _plain(lines: tuple[tuple[str, Text], ...]) -> list[str]:
    return [f"{label:>6} {sentence.plain}" for label, sentence in lines]


def _told(verdict: Verdict, gain: str | None, kept_by: Iterable[str]) -> Iterator[tuple[str, Text]]:
    """Yield the lines, what matters most first: a small terminal shows but the first ones."""
    yield "why", _cause(verdict)
    yield from _labelled("by", chain_lines(verdict.chain), palette.TEXT)
    yield from _labelled("loop", kept_by, palette.TEXT)
    if others := also(verdict.causes, verdict.mechanism):
        yield "also" if verdict.mechanism else "seen", Text(others, style=palette.TEXT)
    yield from (("do", Text(clean(advice), style=palette.STRONG)) for advice in verdict.advice[:1])
    if gain is not None:
        yield "if", Text(clean(gain), style=palette.TEXT)
    yield from (("or", Text(clean(advice), style=palette.QUIET)) for advice in verdict.advice[1:_MAX_LINES])
    yield from _labelled("facts", (fact.text for fact in facts(verdict.evidence, _MAX_LINES)), palette.TEXT)


def _cause(verdict: Verdict) -> Text:
    letter, colour = palette.LETTER[verdict.principle], palette.COLOUR[verdict.principle]
    share = f" {percent(verdict.share)}" if verdict.mechanism else ""
    sure = f" ({percent(verdict.confidence)} sure)" if verdict.mechanism else ""
    cause = f"{letter} {verdict.mechanism or verdict.principle}{share}"
    summary = verdict.summary.replace(f" ({share.strip()})", "", 1) if share else verdict.summary
    return Text.assemble((cause, f"bold {colour}"), (sure, palette.QUIET), ("  " + clean(summary), palette.STRONG))


def _labelled(label: str, sentences: Iterable[str], style: str) -> Iterator[tuple[str, Text]]:
    """Yield sentences below each other, the label before the first."""
    for number, sentence in enumerate(sentences):
        yield "" if number else label, Text(clean(sentence), style=style)
