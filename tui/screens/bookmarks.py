"""The bookmarks, over the screen they are asked for on: go to one, or forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from perfwatch.agent.bookmarks import Bookmark
from perfwatch.tui import palette
from perfwatch.tui.format import clean, clock, fit
from perfwatch.tui.keys import Keyed
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from perfwatch.agent.model import SessionInfo

_CLOCK = 10


class BookmarkRows(RowList[Bookmark]):
    """When, and the note."""

    def __init__(self, info: SessionInfo) -> None:
        super().__init__()
        self._info = info

    def heading(self, width: int) -> Text:
        """Name the columns."""
        return Text.assemble((fit("at", _CLOCK), palette.QUIET), (fit("note", width - _CLOCK), palette.QUIET))

    def row(self, item: Bookmark, width: int) -> Text:
        """Show one."""
        at = fit(clock(self._info.unix_s(item.at_ns)), _CLOCK)
        return Text.assemble((at, palette.STRONG), (fit(clean(item.note), width - _CLOCK), palette.TEXT))

    def empty(self) -> str:
        """Say how one is set."""
        return "none yet; m sets one"


class BookmarksScreen(Keyed, ModalScreen[int | None]):
    """Returns the moment to go to."""

    KEYS_OF = "the list of bookmarks"
    CSS_PATH = "asking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,M", "dismiss(None)", "close", key_display="esc"),
        Binding("d,delete", "forget", "forget the bookmark", key_display="d"),
    ]

    def __init__(self, bookmarks: Sequence[Bookmark], info: SessionInfo, forget: Callable[[Bookmark], None]) -> None:
        super().__init__()
        self._bookmarks, self._info, self._forget = list(bookmarks), info, forget

    def compose(self) -> ComposeResult:
        """Yield the box."""
        with Vertical(id="box") as box:
            box.border_title = "bookmarks"
            box.border_subtitle = "enter goes there, d forgets, esc closes"
            yield BookmarkRows(self._info)

    def on_mount(self) -> None:
        """Show them."""
        self._show()

    def _show(self) -> None:
        self.query_one(BookmarkRows).show([(str(place), one) for place, one in enumerate(self._bookmarks)])

    def action_forget(self) -> None:
        """Take away the one under the cursor."""
        rows = self.query_one(BookmarkRows)
        if (found := rows.pointed) is not None:
            self._bookmarks.remove(found)
            self._forget(found)
            self._show()

    @on(RowList.Chosen)
    def _go(self, event: RowList.Chosen) -> None:
        self.dismiss(self._bookmarks[int(event.key)].at_ns)
