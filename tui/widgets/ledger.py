"""A ledger in full: one bar, and below it every bucket that is not empty, with glyph, length, share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.widget import Widget

from perfwatch.tui import palette
from perfwatch.tui.draw import stacked
from perfwatch.tui.format import duration_ns, fit, percent
from perfwatch.tui.palette import UNACCOUNTED
from perfwatch.tui.widgets.panel import joined

if TYPE_CHECKING:
    from textual.geometry import Size

    from perfwatch.agent.model import Ledger
    from perfwatch.tui.palette import Ink

_ENTRY: Final = 32


class LedgerPanel(Widget):
    """Shows one ledger; `title` says whose."""

    ALLOW_SELECT = False

    def __init__(self, title: str) -> None:
        super().__init__()
        self._first_title = title
        self.begin()

    def begin(self) -> None:
        """Have no ledger yet."""
        self._title = self._first_title
        self._ledger: Ledger | None = None
        self._beside: tuple[str, Ledger] | None = None
        self._drawn: tuple[int, Text] | None = None

    def show(
        self,
        title: str,
        ledger: Ledger,
        beside: tuple[str, Ledger] | None = None,
    ) -> None:
        """Take another ledger, and one to set beside it, on its scale."""
        if (title, ledger, beside) != (self._title, self._ledger, self._beside):
            self._title, self._ledger, self._beside, self._drawn = title, ledger, beside, None
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Return how many lines there are."""
        return self._lines(width).plain.count("\n") + 1

    def render(self) -> Text:
        """Return bar and legend."""
        return self._lines(self.size.width)

    def _lines(self, width: int) -> Text:
        if self._drawn is None or self._drawn[0] != width:
            self._drawn = width, self._draw(max(1, width - 6))
        return self._drawn[1]

    def _draw(self, width: int) -> Text:
        """Draw bar and legend."""
        if self._ledger is None:
            return Text(f"   {self._title}", style=palette.STRONG)
        ledger = self._ledger
        parts = palette.inks(ledger.booked_ns, ledger.unaccounted_ns)
        normal = [] if self._beside is None else _second_bar(*self._beside, ledger.total_ns, width)
        title = Text.assemble(
            (f"   {self._title}", palette.STRONG),
            (f"  {duration_ns(ledger.total_ns)}", palette.STRONG),
        )
        bar = Text.assemble("   ", stacked(parts, width))
        return joined([title, bar, *normal, *_legend(parts, ledger, width)])


def _legend(parts: list[tuple[Ink, int]], ledger: Ledger, width: int) -> list[Text]:
    """Lay the entries out in columns, the largest first; unaccounted always stands last."""
    booked = sorted((part for part in parts if part[0] is not UNACCOUNTED), key=lambda part: -part[1])
    booked.append((UNACCOUNTED, ledger.unaccounted_ns))
    entries = [_entry(ink, ns, ledger.total_ns) for ink, ns in booked]
    columns = max(1, (width + 2) // _ENTRY)
    rows = [entries[start : start + columns] for start in range(0, len(entries), columns)]
    return [Text.assemble("   ", *row) for row in rows]


def _second_bar(title: str, ledger: Ledger, scale_ns: int, width: int) -> list[Text]:
    """Draw another ledger as long as it is beside the first, if there is room; what it is stands at its right."""
    told = f" {title}  {duration_ns(ledger.total_ns)}"
    room = max(width - len(told), 1)
    cells = min(max(round(width * ledger.total_ns / scale_ns), 1), room) if scale_ns > 0 else 1
    return [
        Text.assemble(
            "   ",
            stacked(palette.inks(ledger.booked_ns, ledger.unaccounted_ns), cells),
            (fit(told, width - cells), palette.QUIET),
        )
    ]


def _entry(ink: Ink, ns: int, total_ns: int) -> Text:
    share = ns / total_ns if total_ns > 0 else 0.0
    text = Text.assemble(
        (f"{ink.glyph} {fit(ink.name, 12)}", ink.colour),
        (f"{duration_ns(ns):>8}", palette.TEXT),
        (f"{percent(share):>6}", palette.QUIET),
    )
    return text.append(" " * (_ENTRY - text.cell_len))
