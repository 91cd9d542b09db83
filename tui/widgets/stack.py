"""Where in the code the time went: a call tree as rows that open and close; in one line where there is no room."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from perfwatch.tui import palette
from perfwatch.tui.draw import stacked
from perfwatch.tui.format import clean, duration_ns, fit, percent
from perfwatch.tui.unfolding import Row, Shape, leads_to_own, libraries, main_path, rows_of
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.timer import Timer

    from perfwatch.agent.model import StackTime
    from perfwatch.agent.trees.branches import Branch

_NAME: Final = "stack"
_PAUSE_S: Final = 2.0
"""A tree that changes all the time is drawn anew this often: it takes some 10 ms."""
_BAR: Final = 8
_DEEPEST: Final = 16
"""Steps of indentation; what is deeper stands below the last one."""
_FIGURES: Final = 5 + 1 + 8 + 2 + _BAR + 1


class StackRows(RowList[Row]):
    """The tree of one request or endpoint; enter opens, closes and unfolds."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "open or close", show=False)]

    class RoomWanted(Message):
        """Somebody wants to see more of the tree than one line."""

    _timer: Timer | None = None

    def begin(self) -> None:
        """Have no tree yet."""
        super().begin()
        self._stacks: tuple[StackTime, ...] = ()
        self._branch: Branch | None = None
        self._shape = Shape()
        self._why_not = ""
        self._over = 1
        self._next_s = 0.0

    def tell(self, stacks: tuple[StackTime, ...], why_not: str, *, over: int = 1, is_new: bool = False) -> None:
        """Take the stacks of so many requests, `over`: their mean is shown; without any, `why_not` says why.

        `is_new`: they are of something else than those before.
        """
        if is_new:
            self._shape, self._next_s = Shape(), 0.0
        if (stacks, why_not, over) == (self._stacks, self._why_not, self._over) and not is_new:
            return
        self._stacks, self._why_not, self._over = stacks, why_not, over
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _PAUSE_S
            self.call_after_refresh(self._draw)  # the key that opened the screen is answered first
        elif self._timer is None:
            self._timer = self.set_timer(self._next_s - now_s, self._draw)

    def _draw(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._branch = _branch_of(self._stacks) if self._stacks else None
        self._refill()
        self.refresh()

    def _refill(self) -> None:
        self.show([] if self._branch is None else rows_of(self._branch, self._shape))

    def action_choose(self) -> None:
        """Open, close or unfold the row under the cursor."""
        if self._is_one_line:
            self.post_message(self.RoomWanted())
            return
        key = self.chosen
        row = None if key is None else self.item(key)
        if key is not None and row is not None:
            self._shape = self._shape.chosen(key, row)
            self._refill()
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Ask for room where there is only one line; else the click is the list's."""
        if self._is_one_line:
            event.prevent_default()
            self.post_message(self.RoomWanted())

    # Painting

    @property
    def _is_one_line(self) -> bool:
        return self.size.height <= 1

    def heading(self, width: int) -> Text:
        """Name the columns; where there is no room for rows, tell where most of the time went."""
        if self._branch is None:
            return Text.assemble(
                (f"{_NAME}  ", palette.STRONG), (fit(self._why_not, width - len(_NAME) - 2), palette.QUIET)
            )
        key = "t back" if self.screen.has_class("-stack") else "t tree"
        left = max(0, width - len(key) - 2)
        whose = f"mean of {self._over} requests" if self._over > 1 else ""
        if self._is_one_line:
            text = self._in_one_line(self._branch, left)
        else:
            text = Text.assemble(
                (f"{'share':>5} {'time':>8}  {'spent on':<{_BAR}} ", palette.QUIET),
                (f"{_NAME}  ", palette.STRONG),
                (whose, palette.QUIET),
            )
        text.truncate(left, overflow="ellipsis", pad=True)
        return text.append("  ").append(key[0], f"bold {palette.ACCENT}").append(key[1:], palette.QUIET)

    def row(self, item: Row, width: int) -> Text:
        """Show a function, or why it waited."""
        branch, steps = item.branch, min(item.depth, _DEEPEST)
        parts = [(palette.ink_of(reason), ns) for reason, ns in branch.spent_on]
        bar = stacked(parts, max(1, round(item.share * _BAR)))
        indented = "  " * steps
        text = Text.assemble(
            (f"{percent(item.share):>5} ", palette.QUIET),
            (f"{self._time(branch):>8}  ", palette.STRONG if branch.is_own else palette.TEXT),
            bar,
            f"{' ' * (_BAR - bar.cell_len)} {indented}",
        )
        return text.append_text(_told(item, max(0, width - _FIGURES - len(indented))))

    def _in_one_line(self, branch: Branch, width: int) -> Text:
        """Tell the main path: `stack  place_order 498 ms ▸ Cache.get 391 ms ▸ ▒ lock 391 ms`; cut at its beginning."""
        steps = [Text.assemble(_named(one), (f" {self._time(one)}", palette.TEXT)) for one in main_path(branch)]
        text, room = _joined(steps), max(0, width - len(_NAME) - 2)
        while text.cell_len > room and len(steps) > 1:
            steps = steps[1:]
            text = _joined([Text("…"), *steps])
        return Text.assemble((f"{_NAME}  ", palette.STRONG), text)

    def _time(self, branch: Branch) -> str:
        return duration_ns(branch.spent_ns // self._over)

    def empty(self) -> str:
        """Say nothing below the heading, which says it."""
        return ""


def _branch_of(stacks: Sequence[StackTime]) -> Branch | None:
    """Make the tree; imported late, because pyinstrument takes 50 ms and not everybody opens a request."""
    from perfwatch.agent.trees.branches import branch_of  # noqa: PLC0415
    from perfwatch.agent.trees.session import session_of  # noqa: PLC0415

    return branch_of(session_of(stacks, "all"))


def _told(item: Row, width: int) -> Text:
    """Describe what a row stands for; the place gives way to the name."""
    branch = item.branch
    if item.folded:
        return _cut(Text(f"▸ {clean(_folded(item))}", style=palette.QUIET), width)
    mark = "" if branch.reason is not None else {None: "  ", True: "▾ ", False: "▸ "}[item.is_open]
    name = _cut(Text.assemble((mark, palette.QUIET), _named(branch)), width)
    left = width - name.cell_len - 2
    return Text.assemble(name, (f"  {fit(clean(branch.place), left)}".rstrip() if left > 0 else "", palette.QUIET))


def _folded(item: Row) -> str:
    """Say which functions are folded; where they do not lead to own code, their ends tell what was done."""
    told = f"{len(item.folded)} functions of {libraries(item.folded)}"
    if leads_to_own(item.branch):
        return told
    return f"{item.folded[0].name} … {item.branch.name}  {told}"


def _named(branch: Branch) -> Text:
    """Name a function, or the reason why it waited."""
    if branch.reason is not None:
        ink = palette.ink_of(branch.reason)
        return Text(f"{ink.glyph} {ink.name}", style=ink.colour)
    return Text(clean(branch.name), style=palette.STRONG if branch.is_own else palette.QUIET)


def _joined(steps: Sequence[Text]) -> Text:
    return Text(" ▸ ", style=palette.QUIET).join(steps)


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
