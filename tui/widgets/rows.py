"""A list of keyed rows under a fixed heading: only changed lines are painted, the cursor stays on its key.

As long as nobody moved the cursor it stays at the top, so that a list with the newest first can be watched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView

from perfwatch.tui import palette
from perfwatch.tui.format import count, fit
from perfwatch.tui.keys import Keyed
from perfwatch.tui.strips import strip_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.strip import Strip

Item = TypeVar("Item")
_MARK: Final = "▶ "
_COPIED: Final = 400
"""Cells that a row has when it is copied."""
_MARGIN: Final = 1
"""Cells left free at either side."""
_FILTERED: Final = "none matches the filter; esc lifts it"
_KEPT: Final = 4
"""Of so many screens of rows at most it is kept how they look."""


class RowList(Keyed, ScrollView, Generic[Item], can_focus=True, inherit_bindings=False):
    """Rows of one kind; what a row and the heading look like is said by the subclass."""

    KEYS_OF = "a list (tab goes to the next)"
    ALLOW_SELECT: ClassVar[bool] = False
    ALLOW_MAXIMIZE: ClassVar[bool] = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--heading", "rows--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "detail"),
        Binding("up", "move(-1)", "previous row", show=False),
        Binding("down", "move(1)", "next row", show=False),
        Binding("pageup", "page(-1)", "a page up", show=False),
        Binding("pagedown", "page(1)", "a page down", show=False),
        Binding("home", "move(-1000000)", "first row", show=False),
        Binding("end", "move(1000000)", "last row", show=False),
    ]

    KEEPS_ROWS: ClassVar[bool] = False
    """A row looks the same as long as its item is the same object: it need not be drawn again where it moves."""

    is_filtered = False
    """Whether there would be rows without the filter."""

    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        def __init__(self, rows: RowList[Any], key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> RowList[Any]:
            """The list, for `on` selectors."""
            return self.rows

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, rows: RowList[Any]) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> RowList[Any]:
            """The list, for `on` selectors."""
            return self.rows

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._headline = ""
        self._ground: Style | None = None
        """What the rows are drawn on: it takes longer to find than to draw a row."""
        self._drawn: dict[tuple[str, bool, bool, int], tuple[Item, Strip]] = {}
        self.begin()

    def begin(self) -> None:
        """Be as if nothing had been shown yet."""
        self._rows: tuple[tuple[str, Item], ...] = ()
        self._cursor: str | None = None
        self._place = 0
        """Where the cursor was found last."""
        if self.is_mounted:
            self.scroll_to(y=0, animate=False)

    # What a subclass says

    def heading(self, width: int) -> Text:
        """Return the heading line, at most `width` cells."""
        raise NotImplementedError

    def row(self, item: Item, width: int) -> Text:
        """Return one row, at most `width` cells."""
        raise NotImplementedError

    def empty(self) -> str:
        """Return the line that stands where there are no rows."""
        return "none"

    def as_text(self, key: str) -> str | None:
        """Write a row as one that copies it wants it: in full."""
        item = self.item(key)
        return None if item is None else re.sub(r"\s{2,}", "  ", self.row(item, _COPIED).plain).strip()

    def title(self, name: str, width: int) -> Text:
        """Return the first column of a heading: what is listed, and how much of it there is."""
        room = max(0, width - len(name) - 1)
        number = count(len(self._rows)) if self._rows else ""
        return Text.assemble((f"{name} ", palette.STRONG), (fit(number, room), palette.QUIET))

    # Rows and cursor

    def show(self, rows: Sequence[tuple[str, Item]]) -> None:
        """Take new rows; keys are unique."""
        anchor, line = self._anchor()
        old, self._rows = self._rows, tuple(rows)
        if len(old) != len(self._rows):
            self._grow()
        self._keep_cursor(old)
        self._hold(anchor, line)
        if not old or not self._rows:
            self.refresh()
            return
        for line in range(1, self.size.height):
            index = self.scroll_offset.y + line - 1
            if old[index : index + 1] != self._rows[index : index + 1]:
                self._refresh_line(line)
        headline = self.heading(self._width).plain
        if headline != self._headline:
            self._refresh_line(0)

    def _anchor(self) -> tuple[str | None, int]:
        """Return the key of the row that shall stay on its line while others come and go, and that line."""
        top = self.scroll_offset.y
        if self._cursor is not None and top <= self.cursor < top + max(1, self.size.height - 1):
            return self._cursor, self.cursor - top
        return (self._rows[top][0] if 0 < top < len(self._rows) else None), 0

    def _hold(self, anchor: str | None, line: int) -> None:
        """Scroll so that a row stands on this line again."""
        place = next((index for index, (key, _) in enumerate(self._rows) if key == anchor), None)
        top = self.scroll_offset.y if place is None else place - line
        if (top := min(max(top, 0), self.max_scroll_y)) != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)

    def _grow(self) -> None:
        """Make room for the rows, in powers of two: each change of the virtual size lays the whole screen out anew."""
        self.virtual_size = Size(self.size.width, 1 << len(self._rows).bit_length())
        if self.styles.is_auto_height:
            self.refresh(layout=True)

    @property
    def max_scroll_y(self) -> int:
        """How far the rows can be scrolled; the virtual size has room to spare."""
        return max(0, len(self._rows) + 1 - self.size.height)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Return the lines that heading and rows take."""
        return len(self._rows) + 1

    def _keep_cursor(self, old: Sequence[tuple[str, Item]]) -> None:
        """Leave the cursor on its key; where the key is gone, on what took its place."""
        if self._cursor is None or any(key == self._cursor for key, _ in self._rows):
            return
        place = next((index for index, (key, _) in enumerate(old) if key == self._cursor), 0)
        self._cursor = self._rows[min(place, len(self._rows) - 1)][0] if self._rows else None
        self.refresh()

    @property
    def cursor(self) -> int:
        """Index of the row under the cursor."""
        if self._cursor is None:
            return 0
        if self._place >= len(self._rows) or self._rows[self._place][0] != self._cursor:
            keys = (index for index, (key, _) in enumerate(self._rows) if key == self._cursor)
            self._place = next(keys, 0)
        return self._place

    @property
    def chosen(self) -> str | None:
        """Key of the row under the cursor."""
        return self._rows[self.cursor][0] if self._rows else None

    @property
    def pointed(self) -> Item | None:
        """The row under the cursor."""
        return self._rows[self.cursor][1] if self._rows else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all rows, from the top."""
        return tuple(key for key, _ in self._rows)

    def item(self, key: str) -> Item | None:
        """Return the row with this key."""
        return next((item for other, item in self._rows if other == key), None)

    def point_at(self, key: str) -> None:
        """Put the cursor on a row, if it is here."""
        if key in self.keys:
            self._move_to(self.keys.index(key))

    def action_move(self, step: int) -> None:
        """Move the cursor by so many rows."""
        self._move_to(self.cursor + step)

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many screens of rows."""
        self._move_to(self.cursor + pages * max(1, self.size.height - 2))

    def action_choose(self) -> None:
        """Tell the screen which row was chosen."""
        if self.chosen is not None:
            self.post_message(self.Chosen(self, self.chosen))

    def _move_to(self, index: int) -> None:
        if not self._rows:
            return
        before, index = self.cursor, min(max(index, 0), len(self._rows) - 1)
        self._cursor = self._rows[index][0] if index else None
        top, visible = self.scroll_offset.y, max(1, self.size.height - 1)
        if not top <= index < top + visible:
            self.scroll_to(y=index if index < top else index - visible + 1, animate=False)
            self.refresh()
        else:
            for place in {before, index}:
                self._refresh_line(place - top + 1)
        self.post_message(self.Moved(self))

    # Painting and mouse

    @property
    def margin(self) -> int:
        """Cells before the text of a line."""
        return _MARGIN + len(_MARK)

    @property
    def _width(self) -> int:
        return max(0, self.size.width - len(_MARK) - 2 * _MARGIN)

    def _refresh_line(self, line: int) -> None:
        self.refresh_line(line + self.scroll_offset.y)

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        width = self.size.width
        if y == 0:
            text = self.heading(self._width)
            self._headline = text.plain
            text = Text.assemble(" " * self.margin, text)
            return self._strip(text, self.get_component_rich_style("rows--heading", partial=True), width)
        index = self.scroll_offset.y + y - 1
        if index >= len(self._rows):
            nothing = _FILTERED if self.is_filtered else self.empty()
            line = nothing if y == 1 and not self._rows else ""
            return self._strip(Text(fit(f"   {line}", width), style=palette.QUIET), Style.null(), width)
        here = index == self.cursor
        lit = here and self.has_focus
        return self._row_strip(index, width, is_marked=lit or (here and self._cursor is not None), lit=lit)

    def _row_strip(self, index: int, width: int, *, is_marked: bool, lit: bool) -> Strip:
        """Draw a row, if it is not known how it looks."""
        key, item = self._rows[index]
        looks = (key, is_marked, lit, width)
        known = self._drawn.get(looks)
        if known is not None and known[0] is item:
            return known[1]
        mark = (_MARK if is_marked else "  ", palette.ACCENT if self.has_focus else palette.FAINT)
        text = Text.assemble(" " * _MARGIN, mark, self.row(item, self._width))
        style = self.get_component_rich_style("rows--cursor", partial=True) if lit else Style.null()
        strip = self._strip(text, style, width)
        if self.KEEPS_ROWS:
            if len(self._drawn) > _KEPT * self.size.height:
                self._drawn.clear()
            self._drawn[looks] = item, strip
        return strip

    def _strip(self, text: Text, style: Style, width: int) -> Strip:
        if self._ground is None:
            self._ground = self.rich_style
        return strip_of(text, self._ground + style, width, self.app.console)

    def notify_style_update(self) -> None:
        """Draw rows in their new colours."""
        self._drawn.clear()
        self._ground = None
        super().notify_style_update()

    def on_resize(self) -> None:
        """Rows depend on the width."""
        self.virtual_size = Size(self.size.width, self.virtual_size.height)
        self._hold(None, 0)
        self.refresh()

    def on_focus(self) -> None:
        """Light the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Dim the cursor."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row; on the row under the cursor, choose it."""
        index = self.scroll_offset.y + event.y - 1
        if event.y == 0 or index >= len(self._rows):
            return
        if event.chain > 1 or (index == self.cursor and self._cursor is not None):
            self._move_to(index)
            self.action_choose()
        else:
            self._move_to(index)
