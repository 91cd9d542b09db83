"""A list in an order that somebody chose: by one of its figures, the largest first or the other way around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from textual.binding import Binding, BindingType

from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from textual import events

Item = TypeVar("Item")


class Order(NamedTuple):
    """What rows can be sorted by."""

    name: str
    """The word that stands in the heading of its column."""
    of: Callable[[Any], float | str]
    """Of an item: figures are sorted from the largest, text from a to z."""
    is_text: bool = False


def placed(columns: Iterable[tuple[str, int]], begin: int) -> list[tuple[str, int, int]]:
    """Return the cells from which to which columns go that stand side by side; given their names and widths."""
    found = []
    for name, cells in columns:
        found.append((name, begin, begin + cells))
        begin += cells
    return found


class SortedRows(RowList[Item], Generic[Item]):
    """The subclass names the orders, the first of which is the usual one."""

    KEYS_OF = "a list with columns"
    ORDERS: ClassVar[tuple[Order, ...]]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "sort"),
        Binding("O", "turn", "sort the other way round", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._order, self._is_turned = 0, False

    def show(self, rows: Sequence[tuple[str, Item]]) -> None:
        """Take new rows in any order; keys are unique, and among equals the order that they came in stays."""
        order = self.ORDERS[self._order]
        super().show(sorted(rows, key=lambda row: order.of(row[1]), reverse=self._is_turned == order.is_text))

    def columns(self, width: int) -> Sequence[tuple[str, int, int]]:  # noqa: ARG002 - a subclass goes by it
        """Return those columns of the heading that are orders: the name, and the cells from which to which they go.

        Without any, a click on the heading sorts by the next figure.
        """
        return ()

    def marked(self, name: str) -> str:
        """Return the word of a column, with an arrow where the rows are sorted by it."""
        order = self.ORDERS[self._order]
        if order.name != name:
            return name
        return f"{'▲' if self._is_turned != order.is_text else '▼'}{name}"

    def beside(self, columns: Container[str]) -> str:
        """Name what the rows are sorted by, where that is none of the columns that have room."""
        name = self.ORDERS[self._order].name
        return "" if name in columns else f"by {self.marked(name)} "

    def action_sort(self) -> None:
        """Sort by the next figure."""
        self._sort_by((self._order + 1) % len(self.ORDERS), is_turned=False)

    def action_turn(self) -> None:
        """Sort the other way round."""
        self._sort_by(self._order, is_turned=not self._is_turned)

    def on_click(self, event: events.Click) -> None:
        """Sort by the column whose heading is clicked, by the same once more the other way round."""
        if event.y:
            return  # that is the list's
        event.prevent_default()
        columns = self.columns(self._width)
        if not columns:
            self.action_sort()
        at = event.x - self.margin
        names = [name for name, begin, end in columns if begin <= at < end]
        for number, order in enumerate(self.ORDERS):
            if order.name in names:
                self._sort_by(number, is_turned=number == self._order and not self._is_turned)
                break

    def _sort_by(self, number: int, *, is_turned: bool) -> None:
        self._order, self._is_turned = number, is_turned
        self.show(self._rows)
        self.refresh()
