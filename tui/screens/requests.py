"""All requests that were judged: sorted, filtered, the slow ones marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.agent.model import MAX_JUDGED
from perfwatch.tui import palette
from perfwatch.tui.choices import ORDERS, Order
from perfwatch.tui.filtering import Sieve
from perfwatch.tui.format import clean, count
from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.filtered import FilteredScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.sorting import arranged
from perfwatch.tui.widgets.filter_box import FilterBox
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.request_table import SLOW, RequestTable
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame


class RequestsScreen(FilteredScreen):
    """A table of them."""

    CSS_PATH = "requests.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "sort"),
        Binding("O", "turn", "sort the other way round", show=False),
    ]

    def __init__(self, frame: Frame | None = None) -> None:
        super().__init__(frame)
        self._sieve = Sieve()

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        yield RequestTable(id="requests")
        yield Timeline().data_bind(FrameScreen.frame)
        yield FilterBox()
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """List what is wanted."""
        view, text = frame.view, self.filter_text
        kept = self._sieve.kept(view.requests, text)
        self.query_one("#title", Static).update(_title(view, len(kept), text))
        table = self.query_one(RequestTable)
        table.is_filtered = bool(view.requests)
        table.take(arranged(kept, self.choices), frame.info, self.choices)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.choose(sort=ORDERS[(ORDERS.index(self.choices.sort) + 1) % len(ORDERS)], reverse=False)

    def action_turn(self) -> None:
        """Put the last first."""
        self.choose(reverse=not self.choices.reverse)

    @on(RequestTable.SortWanted)
    def _sort_wanted(self, event: RequestTable.SortWanted) -> None:
        """Sort by a column; by the same once more, the other way round."""
        is_same: bool = event.order == self.choices.sort
        order: Order = event.order
        self.choose(sort=order, reverse=is_same and not self.choices.reverse)

    @on(RowList.Chosen, "#requests")
    def _open_request(self, event: RowList.Chosen) -> None:
        self.post_message(DetailWanted(RequestScreen, int(event.key)))


def _title(view: View, kept: int, text: str) -> Text:
    """Say how many requests there are, how many were judged, and which of these are listed."""
    judged = count(len(view.requests))
    told = f"the last {judged}" if len(view.requests) >= MAX_JUDGED else judged
    listed = Text.assemble(
        ("   filter ", palette.QUIET), (clean(text), palette.ACCENT), (f"  {count(kept)} listed", palette.STRONG)
    )
    return Text.assemble(
        ("judged requests ", palette.STRONG),
        (f"{told} of {count(view.count)}   ", palette.QUIET),
        SLOW,
        (f" slow {count(view.slow_count)}", palette.QUIET),
        listed if text else "",
        no_wrap=True,
    )
