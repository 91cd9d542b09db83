"""Screens whose lists are filtered and sorted as somebody chose; the choices are the app's, and hold on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from perfwatch.tui.choices import Choices
from perfwatch.tui.filtering import Filter, Unreadable, parse
from perfwatch.tui.messages import ChoicesMade
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.widgets.filter_box import FilterBox

if TYPE_CHECKING:
    from typing import Any


class FilteredScreen(FrameScreen):
    """Has one `FilterBox`; asks for other choices, and shows those that it is given."""

    KEYS_OF = "overview, requests"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", priority=True),  # what is typed ahead goes into the box
        Binding(
            "escape",
            "clear_filter",
            "clear the filter, leave the window, or go back",
            show=False,
            key_display="esc",
        ),
    ]

    choices: reactive[Choices] = reactive(Choices(), repaint=False)

    def on_mount(self) -> None:
        """Show the filter that holds."""
        self.query_one(FilterBox).show(self.choices.filter)

    def watch_choices(self, choices: Choices) -> None:
        """Show the lists as they are wanted now."""
        if self.is_mounted:
            self.query_one(FilterBox).show(choices.filter)
            if self.frame is not None:
                self.show_frame(self.frame)

    @property
    def filter_text(self) -> str:
        """The filter that holds; one that cannot be read, of another version, is none."""
        try:
            parse(self.choices.filter)
        except Unreadable:
            return ""
        return self.choices.filter

    @property
    def wanted(self) -> Filter:
        """What tells whether something is listed."""
        return parse(self.filter_text)

    def choose(self, **changes: Any) -> None:
        """Ask for other choices."""
        self.post_message(ChoicesMade(msgspec.structs.replace(self.choices, **changes)))

    def action_filter(self) -> None:
        """Let somebody type a filter."""
        self.query_one(FilterBox).open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Let the box have its own slashes."""
        return action != "filter" or not (self.is_mounted and self.query_one(FilterBox).is_typed_in)

    async def action_clear_filter(self) -> None:
        """Show everything again; if that is so, go back."""
        box = self.query_one(FilterBox)
        if box.display:
            box.clear()
        else:
            await self.run_action("app.leave")

    @on(FilterBox.Typed)
    def _filter_typed(self, event: FilterBox.Typed) -> None:
        self.choose(filter=event.text)
