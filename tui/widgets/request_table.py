"""Judged requests in columns that they can be sorted by, with their ledgers as bars."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text
from textual.message import Message

from perfwatch.agent.model import Request
from perfwatch.tui import palette
from perfwatch.tui.choices import Choices, Order
from perfwatch.tui.draw import stacked
from perfwatch.tui.format import clean, clock, duration_ns, fit
from perfwatch.tui.sorting import is_falling
from perfwatch.tui.widgets.endpoints import cause_of, name_of
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

    from perfwatch.agent.model import SessionInfo

SLOW: Final = ("▲", palette.WARN)
_NARROW: Final = 88
_WITH_BAR: Final = 110
_WITH_WHY: Final = 100
_BAR: Final = 24
_LONG: Final = 14
"""With milliseconds."""


class Column(NamedTuple):
    """What stands below each other."""

    name: str
    width: int
    order: Order | None = None
    """What a click on its heading sorts by."""
    is_figure: bool = False
    """It ends at the right."""


class RequestTable(RowList[Request]):
    """Keys are ids."""

    KEEPS_ROWS: ClassVar[bool] = True

    class SortWanted(Message):
        """A click on the heading of a column."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    _info: SessionInfo | None = None
    _choices = Choices()

    def take(self, requests: Sequence[Request], info: SessionInfo, choices: Choices) -> None:
        """Take requests in the order in which they are listed."""
        is_other, self._choices = choices != self._choices, choices
        self._info = info
        self.show([(str(request.record.id), request) for request in requests])
        if is_other:
            self.refresh()

    def heading(self, width: int) -> Text:
        """Name the columns; an arrow stands at the one that they are sorted by."""
        arrow = "▼" if is_falling(self._choices) else "▲"
        text = Text()
        for column in columns(width):
            is_sorted = column.order == self._choices.sort
            name = f"{column.name} {arrow}" if is_sorted else column.name
            told = f"{name:>{column.width - 2}}  " if column.is_figure else fit(name, column.width)
            text.append(told, palette.STRONG if is_sorted else palette.QUIET)
        return text

    def row(self, item: Request, width: int) -> Text:
        """Show one request."""
        text = Text()
        for column in columns(width):
            text.append_text(self._cell(column, item))
        return text

    def _cell(self, column: Column, item: Request) -> Text:
        if column.name == "time":
            return self._when(item, column.width)
        return _CELLS[column.name](item, column.width)

    def _when(self, item: Request, width: int) -> Text:
        """Say when it ended, and mark it if it was slow."""
        moment = "" if self._info is None else clock(self._info.unix_s(item.record.ended_ns), ms=width >= _LONG)
        return Text.assemble((fit(moment, width - 2), palette.QUIET), SLOW if item.slow else " ", " ")

    def empty(self) -> str:
        """Say that there is nothing yet."""
        return "none was judged so far"

    def on_click(self, event: events.Click) -> None:
        """Sort by the column whose heading it was; other lines are the list's."""
        if event.y == 0:
            shown = columns(self._width)
            ends, x = accumulate(column.width for column in shown), event.x - self.margin
            at = next((column for column, end in zip(shown, ends, strict=True) if x < end), shown[-1])
            if at.order is not None:
                self.post_message(self.SortWanted(at.order))


@lru_cache(8)
def columns(width: int) -> tuple[Column, ...]:
    """Share a line out: narrow ones lose the bar first, then the reason."""
    first = 16 if width >= _NARROW else 11
    status, took, cause = 8, 11, 18 if width >= _NARROW else 12
    bar = _BAR if width >= _WITH_BAR else 0
    left = width - first - status - took - cause - bar
    name = left if width < _WITH_WHY else min(40, max(16, left * 40 // 100))
    shown = (
        Column("time", first, "time"),
        Column("request", name, "endpoint"),
        Column("status", status, "status", is_figure=True),
        Column("took", took, "took", is_figure=True),
        Column("cause", cause, "cause"),
        Column("where the time went", bar),
        Column("why", left - name),
    )
    return tuple(column for column in shown if column.width > 0)


def _request(item: Request, width: int) -> Text:
    return Text(name_of(item.record.method, item.record.target, width), style=palette.TEXT)


def _status(item: Request, width: int) -> Text:
    """Tell the status; how it ended, where there is none."""
    told = str(item.record.status or item.record.outcome)
    return Text(f"{told[: width - 2]:>{width - 2}}  ", style=palette.ALARM if item.failed else palette.QUIET)


def _took(item: Request, width: int) -> Text:
    return Text(f"{duration_ns(item.ledger.total_ns):>{width - 2}}  ", style=palette.STRONG)


def _cause(item: Request, width: int) -> Text:
    if (verdict := item.verdict) is None:
        return Text(" " * width)
    colour = palette.COLOUR[verdict.principle]
    letter = (f"{palette.LETTER[verdict.principle]} ", f"bold {colour}")
    return Text.assemble(letter, (f"{cause_of(verdict, width - 3)} ", colour))


def _ledger(item: Request, width: int) -> Text:
    ledger = item.ledger
    return stacked(palette.inks(ledger.booked_ns, ledger.unaccounted_ns), width - 1).append(" ")


def _why(item: Request, width: int) -> Text:
    return Text(fit(clean(item.verdict.summary if item.verdict else ""), width), style=palette.QUIET)


_CELLS: Final[dict[str, Callable[[Request, int], Text]]] = {
    "request": _request,
    "status": _status,
    "took": _took,
    "cause": _cause,
    "where the time went": _ledger,
    "why": _why,
}
