"""The flame graph of all judged requests, of an endpoint or of one: where in the code the time went, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from perfwatch.agent.flame import choices_of, flame_of
from perfwatch.agent.model import Request
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.tui import palette
from perfwatch.tui.format import clean, count, duration_ns, percent
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.widgets.endpoints import key_of
from perfwatch.tui.widgets.flame import FlameGraph
from perfwatch.tui.widgets.flame_choices import FlameChoices
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.line import Line
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.agent.flame import Block
    from perfwatch.agent.model import StackTime, View
    from perfwatch.tui.messages import Frame

_PAUSE_S: Final = 2.0
"""A graph that changes all the time is drawn anew this often: it takes some 10 ms."""


class Subject(NamedTuple):
    """Whose time is shown."""

    name: str
    """Untrusted."""
    requests: int
    stacks: tuple[StackTime, ...]


class FlameScreen(FrameScreen):
    """Of all, of one endpoint (by its key) or of one request (by its id)."""

    KEYS_OF = "flame graph"
    CSS_PATH = "flame.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "FlameGraph"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "out", "out", key_display="esc"),
        Binding("backspace", "out", "zoom out", show=False),
        Binding("f", "reason(1)", "reason"),
        Binding("F", "reason(-1)", "the reason before", show=False),
        Binding("e", "subject(1)", "endpoint"),
        Binding("E", "subject(-1)", "the endpoint before", show=False),
        Binding("x", "fold", "library functions one by one, or folded", show=False),
        Binding("tab", "beside(1)", "next in its row", show=False, priority=True),
        Binding("shift+tab", "beside(-1)", "the one before in its row", show=False, priority=True),
        Binding("slash", "search", "search", key_display="/", priority=True),
    ]

    def __init__(self, frame: Frame | None = None, of: str | Request | None = None) -> None:
        """`of`: an endpoint's key, a request, or all."""
        super().__init__(frame)
        self._of = of
        self._is_folded = True
        self._drawn: tuple[object, ...] = ()
        self._next_s = 0.0

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        yield FlameChoices()
        yield FlameGraph()
        yield Static(id="block")
        yield Timeline().data_bind(FrameScreen.frame)
        yield Line(placeholder="part of a function or file; enter keeps it, esc clears it", id="search", compact=True)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Draw what is new, as often as there is time for."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _PAUSE_S
            self._draw(frame)

    def _draw(self, frame: Frame, *, is_new: bool = False) -> None:
        subject = subject_of(frame.view, self._of)
        stacks = subject.stacks if is_code_known(subject.stacks) else ()
        choices = choices_of(stacks)
        choice = self.query_one(FlameChoices).tell(choices)
        self.query_one("#title", Static).update(_title(subject))
        self.set_class(not stacks, "-none")
        if not stacks:
            self.query_one("#block", Static).update(Text(_why_not(subject, frame), style=palette.QUIET))
            return
        told = (stacks, choice, self._is_folded)
        if told != self._drawn or is_new:
            self._drawn = told
            self.query_one(FlameGraph).tell(flame_of(stacks, choice, is_folded=self._is_folded), is_new=is_new)

    def _again(self, *, is_new: bool = False) -> None:
        if self.frame is not None:
            self._draw(self.frame, is_new=is_new)

    @on(FlameGraph.Chosen)
    def _tell_block(self, event: FlameGraph.Chosen) -> None:
        self.query_one("#block", Static).update(_told(event))

    # What is shown

    def action_reason(self, step: int) -> None:
        """Show the time that was spent for another reason."""
        self.query_one(FlameChoices).step(step)

    @on(FlameChoices.Chosen)
    def _reason_chosen(self) -> None:
        self._again()

    def action_subject(self, step: int) -> None:
        """Show another endpoint: those with stacks, after all together."""
        if self.frame is None:
            return
        keys = [key_of((one.method, one.place)) for one in self.frame.view.endpoints if is_code_known(one.stacks)]
        subjects = [None, *keys]
        place = subjects.index(self._of) if not isinstance(self._of, Request) and self._of in subjects else 0
        self._of = subjects[(place + step) % len(subjects)]
        self._again(is_new=True)

    def action_fold(self) -> None:
        """Show the functions of libraries one by one, or folded."""
        self._is_folded = not self._is_folded
        self._again()

    def action_beside(self, step: int) -> None:
        """Choose the neighbour in the row; from the search line, go back to the graph."""
        graph = self.query_one(FlameGraph)
        if graph.has_focus:
            graph.go_beside(step)
        else:
            self.set_focus(graph)

    def action_out(self) -> None:
        """Zoom out; from the whole, leave."""
        graph = self.query_one(FlameGraph)
        if self.query_one("#search", Line).value:
            self.query_one("#search", Line).value = ""
            self._leave_search()
        elif graph.is_zoomed:
            graph.zoom_out()
        else:
            self.app.call_later(self.run_action, "app.leave")

    # Search

    def action_search(self) -> None:
        """Show the search line."""
        self.query_one("#search", Line).open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Let the box have its own slashes."""
        return action != "search" or not (self.is_mounted and self.query_one("#search", Line).is_typed_in)

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        self.query_one(FlameGraph).search(event.value.strip())

    @on(Input.Submitted, "#search")
    def _search_kept(self) -> None:
        self._leave_search()
        self.query_one(FlameGraph).action_hit(1)

    @on(Line.GivenUp)
    def _leave_search(self) -> None:
        box = self.query_one("#search", Line)
        box.display = bool(box.value)
        self.set_focus(self.query_one(FlameGraph))


def subject_of(view: View, of: str | Request | None) -> Subject:
    """Return whose time it is; of an endpoint that is not there, nobody's."""
    if isinstance(of, Request):
        return Subject(f"{of.record.method or '?'} {of.record.target or ''}", 1, of.stacks)
    ends = [one for one in view.endpoints if of is None or key_of((one.method, one.place)) == of]
    stacks = tuple(stack for one in ends if one.judged_count for stack in one.stacks)
    name = of or f"all of {count(len(ends))} endpoints"
    return Subject(name, sum(one.judged_count for one in ends), stacks)


def _title(subject: Subject) -> Text:
    judged = f"   {count(subject.requests)} judged" if subject.requests > 1 else ""
    total_ns = sum(stack.spent_ns for stack in subject.stacks)
    each = f", {duration_ns(total_ns // subject.requests)} each" if subject.requests > 1 else ""
    return Text.assemble(
        ("flame graph  ", palette.QUIET),
        (clean(subject.name), palette.STRONG),
        (f"{judged}   {duration_ns(total_ns)}{' in all' if each else ''}{each}", palette.QUIET),
        no_wrap=True,
    )


def _why_not(subject: Subject, frame: Frame) -> str:
    if not subject.requests:
        return "no request was judged so far: there is nothing to draw. Those that are slow will show here."
    return "; ".join(why_no_stacks(frame.info))


def _told(event: FlameGraph.Chosen) -> Text:
    """Say all of the chosen block."""
    box, block = event.box, event.box.block
    share = percent(box.spent_ns / event.whole_ns) if event.whole_ns > 0 else ""
    hits = f"   {count(event.hits)} found" if event.hits else ""
    if block is None:
        told = f"{box.number} blocks below one cell: {duration_ns(box.spent_ns)}, {share}; enter gives them room{hits}"
        return Text(told, style=palette.TEXT)
    text = Text.assemble(
        (clean(block.name), palette.STRONG),
        (f"  {clean(block.place)}" if block.place else "", palette.QUIET),
        (f"   total {duration_ns(block.spent_ns)} ({share})   self {duration_ns(block.self_ns)}   ", palette.TEXT),
    )
    text.append_text(_reasons(block))
    return text.append(hits, palette.ACCENT)


def _reasons(block: Block) -> Text:
    parts = []
    for reason, spent_ns in block.spent_on:
        ink = palette.ink_of(reason)
        parts.append(Text.assemble((f"{ink.glyph} {ink.name} ", ink.colour), (duration_ns(spent_ns), palette.TEXT)))
    return Text("  ").join(parts)
