"""What the target asks of other processes: one row for each operation of each peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.agent.report_calls import asked
from perfwatch.tui import palette
from perfwatch.tui.format import clean, count, duration, fit, fit_path, percent
from perfwatch.tui.widgets.sorted_rows import Order, SortedRows, placed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Downstream, View

_WIDE: Final = 100
_WIDER: Final = 130
_PEER: Final = 22
_SETUP: Final = 0.1


class Kind(NamedTuple):
    """Calls of one operation to one peer, and who that is."""

    calls: Downstream
    who: str | None

    @property
    def key(self) -> str:
        """The same for the same operation of the same peer."""
        calls = self.calls
        return "\0".join((calls.peer, calls.protocol, calls.operation or "", calls.kind))


class CalledRows(SortedRows[Kind]):
    """Those that took longest in all first."""

    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("total", lambda one: one.calls.total_ms),
        Order("calls", lambda one: one.calls.count),
        Order("/req", lambda one: one.calls.per_request),
        Order("p50", lambda one: one.calls.p50_ms),
        Order("p95", lambda one: one.calls.p95_ms),
        Order("set-up", lambda one: one.calls.connect_share + one.calls.tls_share),
        Order("failed", lambda one: one.calls.failed),
        Order("bytes", lambda one: one.calls.sent_bytes + one.calls.received_bytes),
        Order("peer", lambda one: one.calls.peer, is_text=True),
    )

    def take(self, view: View) -> None:
        """Take the calls of a view."""
        self.show([(kind.key, kind) for kind in kinds_of(view)])

    def heading(self, width: int) -> Text:
        """Name the columns."""
        columns = _columns(width)
        figures = "".join(f"{self.marked(name):>{cells}}" for name, cells in columns)
        by = self.beside([name for name, _ in columns])
        title = self.title("calls", width - len(figures) - len(by))
        return Text.assemble(title, (by + figures, palette.QUIET))

    def columns(self, width: int) -> Sequence[tuple[str, int, int]]:
        """Return the figures at the right; the words before them are the peer's."""
        figures = _columns(width)
        words = width - sum(cells for _, cells in figures)
        return [("peer", 0, words), *placed(figures, words)]

    def row(self, item: Kind, width: int) -> Text:
        """Show one operation."""
        one = item.calls
        told = {
            "total": duration(one.total_ms),
            "calls": count(one.count),
            "/req": f"{one.per_request:.3g}",
            "p50": said.took(one.p50_ms),
            "p95": said.took(one.p95_ms),
            "set-up": percent(one.connect_share + one.tls_share),
            "failed": count(one.failed),
            "bytes": said.octets(one.sent_bytes + one.received_bytes),
        }
        columns = _columns(width)
        words = max(0, width - sum(cells for _, cells in columns))
        peer = fit_path(clean(item.who or one.peer), min(_PEER, words // 3))
        text = Text.assemble(
            (f"{peer} ", palette.QUIET),
            (fit(clean(asked(one.operation, one.kind)), words - len(peer) - 1), palette.TEXT),
        )
        for name, cells in columns:
            text.append(f"{told[name]:>{cells}}", self._style(name, one))
        return text

    def _style(self, name: str, one: Downstream) -> str:
        is_amiss = {"failed": one.failed > 0, "set-up": one.connect_share + one.tls_share >= _SETUP}
        if name in is_amiss:
            return palette.WARN if is_amiss[name] else palette.FAINT
        return palette.STRONG if name == self.ORDERS[self._order].name else palette.TEXT

    def empty(self) -> str:
        """Say that there is none."""
        return "no call to another process was seen so far"

    def tell(self) -> Text:
        """Tell the operation under the cursor in full."""
        return Text("") if self.pointed is None else told_of(self.pointed)


def kinds_of(view: View) -> list[Kind]:
    """Return the operations of a view with the names of their peers."""
    names = {one.address: f"{one.name} {one.address}" for one in view.peers}
    return [Kind(one, names.get(one.peer)) for one in view.downstream]


def told_of(kind: Kind) -> Text:
    """Tell an operation in full: what was asked of whom, and what its time went on."""
    one = kind.calls
    text = Text.assemble(
        (clean(asked(one.operation, one.kind)), palette.STRONG),
        (f"  {one.protocol} {clean(kind.who or one.peer)}", palette.ACCENT),
    )
    return text.append(f"  {'; '.join(_facts(one))}", palette.QUIET)


def _facts(one: Downstream) -> Iterator[str]:
    yield f"{said.counted(one.count, 'call')} of {said.counted(one.requests, 'request')}"
    rest = max(1 - one.connect_share - one.tls_share - one.transfer_share, 0.0)
    shares = (one.connect_share, one.tls_share, rest, one.transfer_share)
    parts = zip(shares, ("connect", "tls", "send and wait", "transfer"), strict=True)
    yield "of their time " + ", ".join(f"{percent(share)} {name}" for share, name in parts if share > 0)
    yield f"{said.counted(one.connections, 'new connection')}"
    if one.failed:
        yield f"{one.failed} failed"
    yield f"{said.octets(one.sent_bytes)} out, {said.octets(one.received_bytes)} in"


def _columns(width: int) -> Sequence[tuple[str, int]]:
    columns = [("total", 9), ("calls", 7), ("/req", 6), ("p50", 8), ("p95", 8)]
    more = [("set-up", 8), ("failed", 8)] if width >= _WIDE else []
    return (*columns, *more, *([("bytes", 9)] if width >= _WIDER else []))
