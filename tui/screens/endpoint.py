"""One endpoint: its quantiles, the mean ledger of its slow requests, why, and the requests themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.agent.report_calls import in_each
from perfwatch.agent.report_gains import gain_of
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.tui import palette
from perfwatch.tui.format import clean, count, duration
from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.flame import FlameScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.tree import TreeScreen
from perfwatch.tui.widgets.chances import chance_line
from perfwatch.tui.widgets.endpoints import key_of
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.ledger import LedgerPanel
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.stack import StackRows
from perfwatch.tui.widgets.timeline import Timeline
from perfwatch.tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.agent.model import Endpoint, Ledger
    from perfwatch.tui.messages import Frame


class EndpointScreen(TreeScreen[str]):
    """Follows one endpoint by its key."""

    KEYS_OF = "an endpoint"
    CSS_PATH = "endpoint.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "RequestRows"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.leave", "back", key_display="esc"),
        Binding("8", "flame", "flame graph of this endpoint", show=False),
    ]

    def take(self, subject: str) -> None:
        """Follow the endpoint with this key."""
        self._key = subject
        self.remove_class("-stack")

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        yield Static(id="quantiles")
        yield LedgerPanel("ledger")
        yield WhyPanel()
        yield Static(id="called")
        yield Static(id="cheaper")
        yield StackRows()
        yield RequestRows(id="slow")
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Show the endpoint as it is now."""
        view = frame.view
        found = next((end for end in view.endpoints if key_of((end.method, end.place)) == self._key), None)
        if found is None:
            self.query_one("#title", Static).update(Text(f"{clean(self._key)}   no request yet", style=palette.QUIET))
            self.query("#called, #cheaper").remove_class("-told")
            return
        self._show(found)
        chances = [one for one in view.opportunities if key_of(one.endpoint) == self._key]
        self._tell("#cheaper", chance_line(chances, self.size.width - 6), is_told=bool(chances))
        why_not = "; ".join(why_no_stacks(frame.info)) if found.judged_count else "none of its requests was judged"
        stacks = found.stacks if is_code_known(found.stacks) else ()
        self.query_one(StackRows).tell(stacks, why_not, over=max(found.judged_count, 1))
        mine = (request for request in view.requests if key_of(request.endpoint) == self._key)
        self.query_one(RequestRows).take(mine, frame.info)

    def _show(self, endpoint: Endpoint) -> None:
        self.query_one("#title", Static).update(_title(endpoint))
        self.query_one("#quantiles", Static).update(_quantiles(endpoint))
        judged = endpoint.judged_count
        whose = (
            f"mean ledger of the {count(judged)} judged" if judged else f"mean ledger of all {count(endpoint.count)}"
        )
        self.query_one(LedgerPanel).show(whose, endpoint.ledger, beside=_normal(endpoint))
        gain = gain_of(endpoint.verdict.mechanism, endpoint.what_if, endpoint.latency_ms)
        self.query_one(WhyPanel).show(endpoint.verdict, gain=gain)
        self._tell("#called", _called(endpoint), is_told=bool(endpoint.downstream))

    def _tell(self, selector: str, text: Text, *, is_told: bool) -> None:
        """Say something on a line that is there only where there is something to say."""
        line = self.query_one(selector, Static)
        line.update(text)
        line.set_class(is_told, "-told")

    def action_flame(self) -> None:
        """Open the flame graph of this endpoint."""
        self.app.push_screen(FlameScreen(self.frame, self._key))

    @on(RowList.Chosen, "#slow")
    def _open_request(self, event: RowList.Chosen) -> None:
        self.post_message(DetailWanted(RequestScreen, int(event.key)))


def _title(endpoint: Endpoint) -> Text:
    numbers = f"   {count(endpoint.count)} requests   {count(endpoint.slow_count)} slow"
    return Text.assemble(
        (f"{clean(endpoint.method)} {clean(endpoint.place)}", palette.STRONG),
        (numbers, palette.QUIET),
        (f"   {count(endpoint.errors)} failed", palette.ALARM if endpoint.errors else palette.QUIET),
        no_wrap=True,
    )


def _normal(endpoint: Endpoint) -> tuple[str, Ledger] | None:
    """Return what its normal requests are like, where there are slow ones beside them."""
    if endpoint.normal is None or not endpoint.slow_count:
        return None
    return f"normal, over {count(endpoint.normal_count)}", endpoint.normal


def _called(endpoint: Endpoint) -> Text:
    """Say what one of its requests asks of other processes, on average."""
    told = "   ".join(clean(line) for line in in_each(endpoint.downstream))
    return Text.assemble(("calls  ", palette.STRONG), (told, palette.QUIET), no_wrap=True)


def _quantiles(endpoint: Endpoint) -> Text:
    latency = endpoint.latency_ms
    text = Text(no_wrap=True)
    for name in ("p50", "p90", "p95", "p99", "max"):
        text.append(f"{name} ", palette.QUIET).append(f"{duration(getattr(latency, name))}     ", palette.TEXT)
    return text
