"""What a request asked of other processes, on its time axis: repeated calls as one row, or each of them by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from perfwatch.agent.call_bars import drawn, stretches
from perfwatch.agent.correlator.call_times import PARTS, alike, is_new_connection, spent, unread_ns
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.report_calls import asked
from perfwatch.tui import palette
from perfwatch.tui.draw import runs
from perfwatch.tui.format import clean, duration_ns, fit, size
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.waterfall import scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from perfwatch.agent.model import Call, PeerProcess, Request

_NAME: Final = "calls"
_NOTABLE_NS: Final = 1_000_000
_WIDE: Final = 90


class CallRows(RowList[tuple["Call", ...]]):
    """The calls of one request; where there is no room for rows, one line tells the largest of them."""

    KEYS_OF = "the calls of a request"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "each call, or the repeated ones as one row", show=False)
    ]

    class RoomWanted(Message):
        """Somebody wants to see each call."""

    class Pointed(Message):
        """The cursor is on other calls, or they are others: `detail` tells all of them."""

        def __init__(self, detail: Text) -> None:
            super().__init__()
            self.detail = detail

    def begin(self) -> None:
        """Have no calls yet."""
        super().begin()
        self._request: Request | None = None
        self._names: dict[str, str] = {}
        self._is_each = False

    def tell(self, request: Request | None, peers: Sequence[PeerProcess] = ()) -> None:
        """Take the calls of a request; None: it has not ended, and they are not known yet.

        `peers` are the processes of this host that are known to be called.
        """
        self._request = request
        mine = [] if request is None else [one for one in peers if one.seen_by == request.record.pid]
        self._names = {one.address: f" ({one.name}, pid {one.pid})" for one in mine}
        self.set_class(request is None or not (request.record.calls or request.record.calls_lost), "-none")
        self._refill()

    def show_each(self, *, is_each: bool) -> None:
        """Show each call by itself, or the repeated ones as one row."""
        self._is_each = is_each
        self._refill()

    def _refill(self) -> None:
        calls = () if self._request is None else self._request.record.calls
        groups = [(call,) for call in calls] if self._is_each else [tuple(group) for group in alike(calls)]
        self.show([(str(number), group) for number, group in enumerate(groups)])
        self.refresh()
        self._point()

    def action_choose(self) -> None:
        """Show each call, or the repeated ones as one row."""
        self.post_message(self.RoomWanted())

    def on_click(self, event: events.Click) -> None:
        """Ask for room where there is only one line; else the click is the list's."""
        if self.size.height <= 1:
            event.prevent_default()
            self.post_message(self.RoomWanted())

    def _move_to(self, index: int) -> None:
        super()._move_to(index)
        self._point()

    def _point(self) -> None:
        if self.pointed:
            self.post_message(self.Pointed(self._detail(self.pointed)))

    # Painting

    def heading(self, width: int) -> Text:
        """Name the columns and draw the time axis; in one line tell the largest calls."""
        request = self._request
        if request is None or not self._rows:
            return Text.assemble((f"{_NAME}  ", palette.STRONG), (_none(request), palette.QUIET))
        record = request.record
        key = "d back" if self.screen.has_class("-calls") else "d each call"
        if self.size.height <= 1:
            text = Text.assemble((f"{_NAME}  ", palette.STRONG), self._in_one_line())
            left = max(0, width - len(key) - 2)
            text.truncate(left, overflow="ellipsis", pad=True)
            return text.append("  ").append(key[0], f"bold {palette.ACCENT}").append(key[1:], palette.QUIET)
        words, bars = _split(width)
        more = f" and {record.calls_lost} that are not told" if record.calls_lost else ""
        text = Text.assemble((f"{_NAME}  ", palette.STRONG), (f"{len(record.calls)}{more}  ", palette.QUIET))
        text.append(key[0], f"bold {palette.ACCENT}").append(key[1:], palette.QUIET)
        text.truncate(words, overflow="ellipsis", pad=True)
        return text.append(scale(request.ledger.total_ns / 1e6, bars), palette.QUIET)

    def row(self, item: tuple[Call, ...], width: int) -> Text:
        """Show calls of one kind."""
        words, bars = _split(width)
        figures = self._when(item[0]) if self._is_each else _figures(item, is_wide=width >= _WIDE)
        return Text.assemble(
            figures,
            (fit(self._told(item), words - figures.cell_len - 1), palette.TEXT if _is_well(item[0]) else palette.ALARM),
            " ",
            self._bars(item, bars),
        )

    def empty(self) -> str:
        """Say nothing below the heading, which says it."""
        return ""

    def _when(self, call: Call) -> Text:
        request = self._request
        since_ns = 0 if request is None else call.started_ns - request.record.ended_ns + request.ledger.total_ns
        text = Text(f"{'+' + duration_ns(max(since_ns, 0)):>9} ", style=palette.QUIET)
        return text.append(f"{duration_ns(spent(call).total):>8}  ", palette.STRONG)

    def _told(self, calls: Sequence[Call]) -> str:
        """Say what was asked, from where in the code, and of whom."""
        first = calls[0]
        return clean("  ".join((asked(first.operation, first.kind, first.outcome), *self._whence(first))))

    def _whence(self, call: Call) -> tuple[str, ...]:
        place = None if self._request is None else telling(self._request.record.code.stack(call.stack))
        peer = f"{call.protocol} {call.peer}{self._names.get(call.peer, '')}"
        return (peer,) if place is None else (at(place.function, place.file, place.line), peer)

    def _detail(self, calls: Sequence[Call]) -> Text:
        """Tell the first of some calls in full."""
        first = calls[0]
        text = Text().append(clean(asked(first.operation, first.kind, first.outcome)), palette.STRONG)
        text.append(clean("  ".join(("", *self._whence(first), *_notable(first)))), palette.TEXT)
        for part, spent_ns in zip(PARTS, spent(first), strict=True):
            if spent_ns > 0:
                ink = palette.PART_INKS[part]
                text.append(f"  {ink.glyph} {ink.name} ", ink.colour).append(duration_ns(spent_ns), palette.TEXT)
        return text

    def _bars(self, calls: Sequence[Call], width: int) -> Text:
        request = self._request
        if request is None:
            return Text()
        arrived_ns = request.record.ended_ns - request.ledger.total_ns
        found = (part for call in calls for part in stretches(call.started_ns - arrived_ns, spent(call), PARTS))
        cells = drawn(found, request.ledger.total_ns, width)
        inks = [None if part is None else palette.PART_INKS[part] for part in cells]
        return runs([("·", palette.FAINT) if ink is None else (ink.glyph, ink.colour) for ink in inks])

    def _in_one_line(self) -> Text:
        groups = sorted((calls for _, calls in self._rows), key=lambda calls: -_total_ns(calls))
        return Text("  ", style=palette.QUIET).join(_shortly(calls) for calls in groups)


def _split(width: int) -> tuple[int, int]:
    """Share the width between the words and the bars."""
    bars = max(1, width // 3)
    return width - bars, bars


def _figures(calls: Sequence[Call], *, is_wide: bool) -> Text:
    """Say how many they were, and how long each took; where there is room also how long all did."""
    count = f"{len(calls)} x" if len(calls) > 1 else ""
    total_ns = _total_ns(calls)
    text = Text(f"{count:>5} ", style=palette.TEXT).append(
        f"{duration_ns(total_ns // len(calls)):>8}  ", palette.STRONG
    )
    if is_wide:
        text.append(f"{'= ' + duration_ns(total_ns) if count else '':>10}  ", palette.QUIET)
    return text


def _shortly(calls: Sequence[Call]) -> Text:
    count = f"{len(calls)} x " if len(calls) > 1 else ""
    first = calls[0]
    return Text.assemble(
        (count, palette.TEXT),
        (duration_ns(_total_ns(calls) // len(calls)), palette.STRONG),
        (f" {clean(asked(first.operation, first.kind, first.outcome))}", palette.QUIET),
    )


def _notable(call: Call) -> list[str]:
    late_ns = unread_ns(call)
    notes = ["new connection"] if is_new_connection(call) else []
    notes += [f"its answer lay unread for {duration_ns(late_ns)}"] if late_ns >= _NOTABLE_NS else []
    return [*notes, f"{size(max(call.sent_bytes, 0))} out, {size(max(call.received_bytes, 0))} in"]


def _total_ns(calls: Sequence[Call]) -> int:
    return sum(spent(call).total for call in calls)


def _is_well(call: Call) -> bool:
    return call.outcome != "failed"


def _none(request: Request | None) -> str:
    if request is None:
        return "told when it has ended"
    lost = request.record.calls_lost
    return f"{lost} that are not told one by one any more" if lost else "none that was seen"
