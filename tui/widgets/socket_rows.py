"""The target's connections: what stands in their buffers, how they fare, and what they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.agent.socket_words import waiting
from perfwatch.tui import palette
from perfwatch.tui.format import NONE, clean, count, duration_ns, fit, fit_path, percent, span
from perfwatch.tui.widgets.sorted_rows import Order, SortedRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import View
    from perfwatch.agent.model_lately import Progress
    from perfwatch.agent.model_queues import SocketState

_WIDE: Final = 100
_PEER: Final = 26
_WIDE_PEER: Final = 40
_ARROWS: Final = {"accepted": "←", "connected": "→"}


class Connected(NamedTuple):
    """A connection, how it fared lately, and who is at its other end."""

    state: SocketState
    progress: Progress | None
    who: str | None

    @property
    def traffic(self) -> float:
        """Bytes that it moved in a second."""
        return 0.0 if self.progress is None else _sum(self.progress.sent_bytes_s, self.progress.received_bytes_s)


class SocketRows(SortedRows[Connected]):
    """Those with the longest queues first; of equals, those that move most."""

    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("queued", lambda one: one.state.recv_q + one.state.send_q),
        Order("not read", lambda one: one.state.recv_q),
        Order("unacked", lambda one: one.state.send_q),
        Order("rtt", lambda one: one.state.rtt_ns or -1),
        Order("again", lambda one: one.state.retransmits or 0),
        Order("moved", lambda one: one.traffic),
        Order("peer", lambda one: one.state.peer or "", is_text=True),
    )

    def take(self, view: View) -> None:
        """Take the connections of a view."""
        found = sorted(connections_of(view), key=lambda one: -one.traffic)
        self.show([(str(one.state.cookie), one) for one in found])

    def heading(self, width: int) -> Text:
        """Name the columns."""
        figures = "".join(f"{self.marked(name):>{cells}}" for name, cells in _columns(width))
        order = self.ORDERS[self._order].name
        others = "" if any(order == name for name, _ in _columns(width)) else f"  by {self.marked(order)}"
        return Text.assemble(
            self.title("connections", _peer_width(width) + 2),
            (f" {fit('state', 11)}{figures}  waits for{others}", palette.QUIET),
        )

    def row(self, item: Connected, width: int) -> Text:
        """Show a connection."""
        state, progress = item.state, item.progress
        text = Text.assemble(
            (f"{_ARROWS.get(state.role, '?')} ", palette.QUIET),
            (_peer(item, _peer_width(width)), palette.TEXT),
            (f" {fit(clean(state.state), 11)}", palette.QUIET),
            (f"{said.binary(state.recv_q):>9}", palette.STRONG if state.recv_q else palette.FAINT),
            (f"{said.binary(state.send_q):>9}", palette.STRONG if state.send_q else palette.FAINT),
            (f"{NONE if state.rtt_ns is None else said.took(state.rtt_ns / 1e6):>8}", palette.TEXT),
        )
        if width >= _WIDE:
            again = NONE if state.retransmits is None else count(state.retransmits)
            moved = NONE if progress is None or not progress.passed_s else f"{said.octets(item.traffic)}/s"
            text.append(f"{again:>7}", palette.WARN if state.retransmits else palette.FAINT)
            text.append(f"{moved:>10}", palette.TEXT if item.traffic else palette.FAINT)
        words = waiting(state, progress)
        return text.append(f"  {words.text}", palette.WARN if words.is_amiss else palette.QUIET)

    def empty(self) -> str:
        """Say that there is none."""
        return "none is open, or they cannot be read: see the probes, key 0"

    def tell(self) -> Text:
        """Tell the connection under the cursor in full."""
        item = None if self.chosen is None else self.item(self.chosen)
        return Text("") if item is None else told_of(item)


def connections_of(view: View) -> list[Connected]:
    """Return the connections of a view, with how they fared and who is at their other ends."""
    progress = {one.cookie: one for one in view.lately.progress}
    names = _names(view)
    return [
        Connected(one, progress.get(one.cookie), names.get(one.peer or ""))
        for one in view.queues.sockets
        if one.role != "listening"
    ]


def _names(view: View) -> dict[str, str]:
    """Name by address: processes of this host that the target called, and its own ends of connections."""
    own = {one.local: f"the target, pid {one.pid}" for one in view.queues.sockets if one.role != "listening"}
    protocols = {one.peer: one.protocol for one in view.downstream if one.protocol != "unknown"}
    called = {one.address: f"{one.name}, pid {one.pid}" for one in view.peers}
    return {**protocols, **own, **called}


def _columns(width: int) -> Sequence[tuple[str, int]]:
    columns = (("not read", 9), ("unacked", 9), ("rtt", 8))
    return (*columns, ("again", 7), ("moved", 10)) if width >= _WIDE else columns


def _peer_width(width: int) -> int:
    return _WIDE_PEER if width >= _WIDE else _PEER


def _peer(item: Connected, width: int) -> str:
    address = clean(item.state.peer or "?")
    if item.who is None or len(address) + 4 > width:
        return fit_path(address, width)
    return fit(f"{address} {clean(item.who)}", width)


def told_of(item: Connected) -> Text:
    """Tell a connection in full."""
    state = item.state
    text = Text.assemble(
        (clean(f"{state.local} {_ARROWS.get(state.role, '?')} {state.peer or '?'}"), palette.STRONG),
        (f"  {clean(item.who)}" if item.who else "", palette.ACCENT),
    )
    facts = (f"{state.role} by process {state.pid}", *_facts(state), *_lately(item.progress))
    return text.append(f"  {'; '.join(facts)}", palette.QUIET)


def _facts(state: SocketState) -> Iterator[str]:
    if state.sent_bytes is not None and state.received_bytes is not None:
        yield f"{said.octets(state.sent_bytes)} sent and {said.octets(state.received_bytes)} received in all"
    if state.retransmits:
        yield f"{said.counted(state.retransmits, 'segment')} sent again"
    if state.rwnd_limited_ns:
        yield f"the peer's window was full for {duration_ns(state.rwnd_limited_ns)}"
    if state.sndbuf_limited_ns:
        yield f"its send buffer was full for {duration_ns(state.sndbuf_limited_ns)}"
    if state.drops:
        yield f"{count(state.drops)} dropped"
    if state.last_received_ns is not None:
        yield f"last heard of {duration_ns(max(state.last_received_ns, 0))} before"


def _lately(progress: Progress | None) -> Iterator[str]:
    if progress is None or not progress.passed_s:
        return
    if progress.unread_s:
        yield f"not read for {span(progress.unread_s)} at least"
    if progress.unacked_s:
        yield f"unacknowledged bytes for {span(progress.unacked_s)} at least"
    held = ((progress.peer_full, "the peer's window was full"), (progress.buffer_full, "its send buffer was full"))
    for share, what in held:
        if share:
            yield f"{what} for {percent(share)} of the last {span(progress.passed_s)}"


def _sum(*rates: float | None) -> float:
    return sum(one for one in rates if one is not None)
