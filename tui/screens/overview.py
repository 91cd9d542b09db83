"""The first screen once attached: how things stand, what is slow and why, what hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.containers import Container, Vertical

from perfwatch.tui.filtering import Sieve, of_endpoint, of_open
from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.pages import OVERVIEW
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.endpoint import EndpointScreen
from perfwatch.tui.screens.filtered import FilteredScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.chances import ChanceLine
from perfwatch.tui.widgets.endpoints import EndpointRows, key_of
from perfwatch.tui.widgets.filter_box import FilterBox
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.inflight import Hanging, OpenRows
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.signals import Signals
from perfwatch.tui.widgets.timeline import Timeline
from perfwatch.tui.widgets.used import QueueLine, Used
from perfwatch.tui.widgets.verdict import VerdictBox

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class OverviewScreen(FilteredScreen):
    """Lists and signals of one source."""

    CSS_PATH = "overview.tcss"
    page = OVERVIEW
    HORIZONTAL_BREAKPOINTS = [*FrameScreen.HORIZONTAL_BREAKPOINTS, (200, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [*FrameScreen.VERTICAL_BREAKPOINTS[:-1], (44, "-high")]  # noqa: RUF012

    def __init__(self, frame: Frame | None = None) -> None:
        super().__init__(frame)
        self._sieve = Sieve()

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield VerdictBox().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        with Container(id="body"):
            with Vertical(id="signs"):
                yield Signals().data_bind(FrameScreen.frame)
                yield QueueLine().data_bind(FrameScreen.frame)
                yield Used().data_bind(FrameScreen.frame)
                yield ChanceLine().data_bind(FrameScreen.frame)
            with Vertical(id="lists"):
                yield EndpointRows(id="endpoints")
                yield RequestRows(id="slow")
                yield OpenRows(id="open")
        yield Timeline().data_bind(FrameScreen.frame)
        yield FilterBox()
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Hand the lists their rows."""
        view, wanted = frame.view, self.wanted
        endpoints, requests = self.query_one(EndpointRows), self.query_one(RequestRows)
        in_flight = self.query_one(OpenRows)
        kept = [end for end in view.endpoints if wanted(of_endpoint(end))]
        endpoints.is_filtered = bool(view.endpoints)
        endpoints.show([(key_of((end.method, end.place)), end) for end in kept])
        requests.is_filtered = bool(view.requests)
        requests.take(self._sieve.kept(view.requests, self.filter_text), frame.info)
        hanging = [Hanging.of(request, view) for request in view.in_flight]
        rows = [(str(one.request.id), one) for one in hanging if wanted(of_open(one.request, one.age_ns))]
        in_flight.is_filtered = bool(hanging)
        in_flight.show(rows)

    # Details

    @on(RowList.Chosen, "#endpoints")
    def _open_endpoint(self, event: RowList.Chosen) -> None:
        self.post_message(DetailWanted(EndpointScreen, event.key))

    @on(RowList.Chosen, "#slow")
    @on(RowList.Chosen, "#open")
    def _open_request(self, event: RowList.Chosen) -> None:
        self.post_message(DetailWanted(RequestScreen, int(event.key)))

    def show_moment(self, at_ns: int) -> None:
        """Point at a slow request, and let `enter` open it."""
        self.set_focus(self.query_one(RequestRows))
        super().show_moment(at_ns)
