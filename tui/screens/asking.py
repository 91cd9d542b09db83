"""A question of one line, over the screen it is asked on: where to jump to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from perfwatch.agent import moments

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.source import Position


class JumpScreen(ModalScreen[int | None]):
    """Returns a moment of the session, or None where nobody wanted to go anywhere."""

    CSS_PATH = "asking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", key_display="esc")]

    def __init__(self, position: Position, info: SessionInfo) -> None:
        super().__init__()
        self._position, self._info = position, info

    def compose(self) -> ComposeResult:
        """Yield the box."""
        with Vertical(id="box") as box:
            box.border_title = "jump to"
            yield Input(placeholder=moments.EXAMPLES, compact=True)
            yield Static(id="hint")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        moment = moments.parse(event.value, self._position, self._info)
        if moment is None:
            self.query_one("#hint", Static).update(f"not a time; try {moments.EXAMPLES}")
        else:
            self.dismiss(moment)
