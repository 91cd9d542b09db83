"""A line in which something is typed: keys that come faster than the app paints go where they are meant."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class Line(Input):
    """Hidden until it is opened. With enter or escape the screen's list has the focus at once.

    Without their priority those keys would be two of many that wait for the line, and those behind them would be typed
    in. What they do comes after all that was typed before: `Submitted` is told behind the last `Changed`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "done", show=False, priority=True),
        Binding("escape", "give_up", "clear", key_display="esc", priority=True),
    ]

    class GivenUp(Message):
        """Escape: nothing stands in the line any more."""

    @property
    def is_typed_in(self) -> bool:
        """Whether keys go into it."""
        return self.is_mounted and self.screen.focused is self

    def open(self) -> None:
        """Let somebody type, at once: `focus()` would leave keys that were typed ahead to the screen."""
        self.display = True
        self.screen.set_focus(self)

    def leave(self) -> None:
        """Let the keys go to the screen's list again."""
        self.screen.set_focus(self.screen.query(self.screen.AUTO_FOCUS or "*").first())

    async def action_submit(self) -> None:
        """Be done with typing."""
        self.leave()
        self.call_later(super().action_submit)

    def action_give_up(self) -> None:
        """Be done with typing, and want nothing of it."""
        self.leave()
        self.post_message(self.GivenUp())

    @on(GivenUp)
    def _empty(self) -> None:
        self.value = ""
