"""One request: its course over time, its ledger, why it was slow and what to do, its calls; also while it hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.agent.course import course_of, course_of_open
from perfwatch.agent.model import Ledger, OpenRequest, Request
from perfwatch.tui import palette
from perfwatch.tui.screens import request_words as words
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.culprit import blamed_requests, sheet_of_request, sheet_of_step
from perfwatch.tui.screens.flame import FlameScreen
from perfwatch.tui.screens.tree import TreeScreen
from perfwatch.tui.widgets.calls import CallRows
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.inflight import Hanging, doing
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.ledger import LedgerPanel
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.stack import StackRows
from perfwatch.tui.widgets.timeline import Timeline
from perfwatch.tui.widgets.waterfall import Waterfall
from perfwatch.tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

    from perfwatch.agent.course_step import Step
    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame
    from perfwatch.tui.screens.help import Sheet

_FEWEST_ROWS: Final = 4
_MARGIN: Final = 6
"""Cells beside the title."""


class RequestScreen(TreeScreen[int]):
    """Follows one id: while it is open, when it ends, and also after newer ones have pushed it out of the view."""

    KEYS_OF = "a request"
    CSS_PATH = "request.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", key_display="esc"),
        Binding("left_square_bracket", "app.slow(-1)", "earlier", key_display="["),
        Binding("right_square_bracket", "app.slow(1)", "later", key_display="]"),
        Binding("c", "culprit", "culprit"),
        Binding("e", "each", "each step of its course, or those alike as one", show=False),
        Binding("d", "calls", "each call to other processes, in place of the rest", show=False),
        Binding("f", "callee", "follow its call into the service that it called", show=False),
        Binding("8", "flame", "flame graph of this request", show=False),
        Binding("u", "caller", "up to the request that made this one", show=False),
    ]

    def take(self, subject: int) -> None:
        """Follow the request with this id."""
        self._request_id = subject
        self._shown: Request | OpenRequest | None = None
        self._came_from: list[int] = []
        """The requests that led here, by id."""
        self._steps: tuple[Step, ...] = ()
        self.remove_class("-stack", "-calls")

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        yield Waterfall()
        yield Static(id="step")
        yield LedgerPanel("ledger")
        yield WhyPanel()
        yield CallRows()
        yield Static(id="call")
        yield StackRows()
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Show the request as it is now."""
        found = words.find(frame.view, self._request_id)
        if isinstance(found, Request) and found is not self._shown:
            self._show_finished(found, frame)
        elif isinstance(found, OpenRequest):
            self._show_open(found, frame.view)
        elif found is None and isinstance(self._shown, OpenRequest):
            self._title(Text("it has ended; it was not slow enough to be kept", style=palette.QUIET))
        if found is not None and found is not self._shown:
            self.query_one(StackRows).tell(*words.stacks_of(found, frame), is_new=type(found) is not type(self._shown))
        self._shown = found or self._shown

    def _show_finished(self, request: Request, frame: Frame) -> None:
        record = request.record
        self._title(words.title_of(request, frame.info, self.size.width - _MARGIN))
        self._parts(course_of(request, frame.view.peers), request.ledger)
        self._tell_calls(request, frame.view)
        kept_by, gain = words.kept_by(request, frame.view), words.gain(request, frame.view)
        self.query_one(WhyPanel).show(request.verdict, words.unjudged(record.threads), gain, kept_by)

    def _show_open(self, request: OpenRequest, view: View) -> None:
        hanging = Hanging.of(request, view)
        self._title(words.title_of_open(request, hanging.age_ns))
        self._parts(course_of_open(request, hanging.state_ns), Ledger(hanging.age_ns, request.booked_ns))
        self._tell_calls(None, view)
        state = f"it has not ended; its state: {palette.INKS[request.state].name} {doing(request, hanging.state_ns)}"
        self.query_one(WhyPanel).show(None, state)

    def _title(self, line: Text) -> None:
        self.query_one("#title", Static).update(line)

    def _parts(self, steps: tuple[Step, ...], ledger: Ledger) -> None:
        is_new = type(self._shown) is not Request
        self._steps = steps
        self.query_one(Waterfall).plot(steps, ledger.total_ns, is_new=is_new)
        self.query_one(LedgerPanel).show("ledger", ledger)

    def on_resize(self, event: events.Resize) -> None:
        """Put steps together where there is not room for each."""
        self.query_one(Waterfall).fit_into(max(_FEWEST_ROWS, event.size.height * 2 // 5 - 2))

    @on(Waterfall.Pointed)
    def _tell_step(self, event: Waterfall.Pointed) -> None:
        self.query_one("#step", Static).update(event.detail)

    def action_each(self) -> None:
        """Show each step of its course, or those that are alike as one."""
        self.query_one(Waterfall).show_each()

    def _tell_calls(self, request: Request | None, view: View) -> None:
        self.query_one(CallRows).tell(request, view.peers)
        has_calls = request is not None and bool(request.record.calls)
        self.query_one(StackRows).set_class(has_calls, "-calling")

    # In place of the rest

    @on(CallRows.RoomWanted)
    def action_calls(self) -> None:
        """Show each call in place of the other parts, or these again."""
        self.remove_class("-stack")
        self.toggle_class("-calls")
        rows, is_each = self.query_one(CallRows), self.has_class("-calls")
        rows.show_each(is_each=is_each)
        self.set_focus(rows if is_each else self.query_one(Waterfall))

    @on(CallRows.Pointed)
    def _tell_call(self, event: CallRows.Pointed) -> None:
        self.query_one("#call", Static).update(event.detail)

    def action_stack(self) -> None:
        """Show the call tree in place of the other parts, or these again."""
        if self.has_class("-calls"):
            self.action_calls()
        super().action_stack()

    def action_flame(self) -> None:
        """Open the flame graph of this request; of one that was not judged, that of all."""
        shown = self._shown
        self.app.push_screen(FlameScreen(self.frame, shown if isinstance(shown, Request) and shown.stacks else None))

    # Other requests

    @property
    def moment_ns(self) -> int | None:
        """When the request was known that is shown."""
        return self._shown.record.at_ns if isinstance(self._shown, Request) else None

    def show_moment(self, at_ns: int) -> None:
        """Show the request that was known then."""
        requests = () if self.frame is None else self.frame.view.requests
        found = next((request.record.id for request in requests if request.record.at_ns == at_ns), None)
        if found is not None:
            self._show_other(found)

    def action_culprit(self) -> None:
        """Go to the request that is to blame; where there is none that is kept, say what is known of who is."""
        request, frame = self._shown, self.frame
        if isinstance(request, Request) and frame is not None:
            blamed = blamed_requests(request, self._steps)
            self._blame(blamed, sheet_of_request(request, self._steps, frame.view))
        else:
            self.notify("who is to blame is told when it has ended", markup=False)

    def action_callee(self) -> None:
        """Go to what its longest call was in the other service."""
        callees = self._shown.callees if isinstance(self._shown, Request) else ()
        longest = max(callees, key=lambda one: one.ledger.total_ns, default=None)
        if longest is None:
            self.notify("no call of it was followed into another service that is watched", markup=False)
        elif self.frame is None or words.find(self.frame.view, longest.request) is None:
            self.notify("the request that it made there is not kept any more", markup=False)
        else:
            self._go(longest.request)

    def action_caller(self) -> None:
        """Go to the request whose call this one was."""
        caller = None if self.frame is None else words.caller_of(self.frame.view, self._request_id)
        if caller is None:
            self.notify("no slow request of another service that is watched made this one", markup=False)
        else:
            self._go(caller)

    @on(RowList.Chosen)
    def _step_chosen(self, event: RowList.Chosen) -> None:
        step = self.query_one(Waterfall).item(event.key)
        if step is not None:
            self._blame([] if step.request is None else [step.request], sheet_of_step(step))

    def _blame(self, requests: Sequence[int], sheet: Sheet | None) -> None:
        """Go to the first of some requests that is kept; else show the sheet."""
        view = None if self.frame is None else self.frame.view
        kept = None if view is None else next((one for one in requests if words.find(view, one) is not None), None)
        if kept is not None:
            self._go(kept)
        elif sheet is not None:
            self.app.push_screen(sheet)
        else:
            self.notify("nobody else is to blame for it", markup=False)

    async def action_back(self) -> None:
        """Go back to the request that led here; from the first one, to where it was opened."""
        if self._came_from:
            self._show_other(self._came_from.pop())
        else:
            await self.run_action("app.leave")

    def _go(self, request_id: int) -> None:
        self._came_from.append(self._request_id)
        self._show_other(request_id)

    def _show_other(self, request_id: int) -> None:
        self._request_id, self._shown = request_id, None
        if self.frame is not None:
            self.show_frame(self.frame)
