"""A list in an order that somebody chose: by one of its figures, the largest first or the other way around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from textual.binding import Binding, BindingType

from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

Item = TypeVar("Item")


class Order(NamedTuple):
    """What rows can be sorted by."""

    name: str
    """The word that stands in the heading of its column."""
    of: Callable[[Any], float | str]
    """Of an item: figures are sorted from the largest, text from a to z."""
    is_text: bool = False


class SortedRows(RowList[Item], Generic[Item]):
    """The subclass names the orders, the first of which is the usual one."""

    ORDERS: ClassVar[tuple[Order, ...]]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "order"),
        Binding("O", "turn", "the other way around", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._order, self._is_turned = 0, False

    def show(self, rows: Sequence[tuple[str, Item]]) -> None:
        """Take new rows in any order; keys are unique, and among equals the order that they came in stays."""
        order = self.ORDERS[self._order]
        super().show(sorted(rows, key=lambda row: order.of(row[1]), reverse=self._is_turned == order.is_text))

    def marked(self, name: str) -> str:
        """Return the word of a column, with an arrow where the rows are sorted by it."""
        if self.ORDERS[self._order].name != name:
            return name
        return f"{'▴' if self._is_turned else '▾'}{name}"

    def action_order(self) -> None:
        """Sort by the next figure."""
        self._order, self._is_turned = (self._order + 1) % len(self.ORDERS), False
        self._sort_again()

    def action_turn(self) -> None:
        """Sort the other way around."""
        self._is_turned = not self._is_turned
        self._sort_again()

    def on_click(self, event: events.Click) -> None:
        """Sort by the next figure where the heading is clicked; else the click is the list's."""
        if event.y == 0:
            event.prevent_default()
            self.action_order()

    def _sort_again(self) -> None:
        self.show(self._rows)
        self.refresh()
