"""What the screens with a call tree have in common: it can take the room of their other parts."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from perfwatch.tui.messages import Shown
from perfwatch.tui.screens.base import DetailScreen
from perfwatch.tui.widgets.stack import StackRows


class TreeScreen(DetailScreen[Shown]):
    """Has one `StackRows`; the class `-stack` says that it is what the screen shows."""

    KEYS_OF = "a request or an endpoint"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "stack", "show the call tree in place of the rest", show=False)
    ]

    @on(StackRows.RoomWanted)
    def action_stack(self) -> None:
        """Show the tree in place of the other parts, or these again."""
        self.toggle_class("-stack")
        wanted = "StackRows" if self.has_class("-stack") else self.AUTO_FOCUS or "RowList"
        self.set_focus(self.query(wanted).first())
