"""A line in which something is typed: keys that come faster than the app paints go where they are meant."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class Line(Input):
    """Hidden until it is opened. With enter, the screen's list has the focus at once; `Submitted` comes after all keys.

    Without its priority that key would be one of many that wait for the line, and those behind it would be typed in.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", "done", show=False, priority=True)]

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
        await super().action_submit()
