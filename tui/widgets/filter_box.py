"""The line in which a filter is typed, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from perfwatch.tui.filtering import EXAMPLES, Unreadable, parse
from perfwatch.tui.format import clean
from perfwatch.tui.widgets.line import Line

if TYPE_CHECKING:
    from textual.app import ComposeResult


class FilterBox(Vertical, can_focus=False):
    """Hidden as long as there is no filter and nobody types one."""

    ALLOW_MAXIMIZE: ClassVar[bool] = False

    class Typed(Message):
        """Another filter, which can be read."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def compose(self) -> ComposeResult:
        """Yield the problem above the line."""
        yield Static(markup=False)
        yield Line(placeholder=f"{EXAMPLES}; enter keeps it, esc clears it", compact=True)

    @property
    def is_typed_in(self) -> bool:
        """Whether keys go into it."""
        return self.is_mounted and self.query_one(Line).is_typed_in

    def open(self) -> None:
        """Let somebody type."""
        self.display = True
        self.query_one(Line).open()

    def show(self, text: str) -> None:
        """Show the filter that holds; none leaves the line to the screen."""
        box = self.query_one(Line)
        if not self.is_typed_in:
            with box.prevent(Input.Changed):
                box.value = text
            self._tell("")
            self.display = bool(text)

    def clear(self) -> None:
        """Lift the filter."""
        line = self.query_one(Line)
        if line.is_typed_in:
            line.leave()
        line.value = ""
        self.display = False

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            parse(event.value)
        except Unreadable as problem:
            self._tell(str(problem))
        else:
            self._tell("")
            self.post_message(self.Typed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.display = bool(self.query_one(Line).value)

    @on(Line.GivenUp)
    def _given_up(self, event: Line.GivenUp) -> None:
        event.stop()
        self.display = False

    def _tell(self, problem: str) -> None:
        line = self.query_one(Static)
        line.update(clean(problem))
        line.display = bool(problem)
