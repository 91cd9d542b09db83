"""The target's connections: what stands in their buffers, how they fare, and what they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.agent.socket_words import waiting
from perfwatch.tui import palette
from perfwatch.tui.connected import ARROWS, Connected, connections_of, told_of
from perfwatch.tui.format import NONE, clean, count, fit, fit_path
from perfwatch.tui.widgets.sorted_rows import Order, SortedRows, placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import View

_ROOMY: Final = 84
_WIDE: Final = 100
_WIDER: Final = 140
_PEER: Final = 24
_WIDE_PEER: Final = 30
_WIDER_PEER: Final = 44
_STATE: Final = 11
_SHORT: Final = {"ESTABLISHED": "ESTAB"}
"""As `ss` writes it."""


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
        columns = _columns(width)
        figures = "".join(f"{self.marked(name):>{cells}}" for name, cells in columns)
        by = self.beside([name for name, _ in columns])
        return Text.assemble(
            self.title("connections", _peer_width(width) + 2 - len(by)),
            (f"{by}{fit(' state', _state_width(width))}{figures}  waits for", palette.QUIET),
        )

    def columns(self, width: int) -> Sequence[tuple[str, int, int]]:
        """Return the peer, and the figures after the state."""
        peer = 2 + _peer_width(width)
        return [("peer", 0, peer), *placed(_columns(width), peer + _state_width(width))]

    def row(self, item: Connected, width: int) -> Text:
        """Show a connection."""
        state, progress = item.state, item.progress
        text = Text.assemble(
            (f"{ARROWS.get(state.role, '?')} ", palette.QUIET),
            (_peer(item, _peer_width(width)), palette.TEXT),
            (fit(f" {clean(_SHORT.get(state.state, state.state))}", _state_width(width)), palette.QUIET),
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
        told = fit(words.text, max(0, width - text.cell_len - 2))
        return text.append(f"  {told}", palette.WARN if words.is_amiss else palette.QUIET)

    def empty(self) -> str:
        """Say that there is none."""
        return "none is open, or they cannot be read: see the probes, key 0"

    def tell(self) -> Text:
        """Tell the connection under the cursor in full."""
        return Text("") if self.pointed is None else told_of(self.pointed)


def _columns(width: int) -> Sequence[tuple[str, int]]:
    columns = (("not read", 9), ("unacked", 9), ("rtt", 8))
    return (*columns, ("again", 7), ("moved", 10)) if width >= _WIDE else columns


def _peer_width(width: int) -> int:
    if width >= _WIDER:
        return _WIDER_PEER
    return _WIDE_PEER if width >= _WIDE else _PEER


def _state_width(width: int) -> int:
    """Return what the state takes: where there is little room, one that is worth a word is among what it waits for."""
    return _STATE if width >= _ROOMY else 0


def _peer(item: Connected, width: int) -> str:
    address = clean(item.state.peer or "?")
    if item.who is None or len(address) + 4 > width:
        return fit_path(address, width)
    return fit(f"{address} {clean(item.who)}", width)
