"""A connection of the target, with how it fared and who is at its other end; told in full. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.format import clean, count, duration_ns, percent, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import View
    from perfwatch.agent.model_lately import Progress
    from perfwatch.agent.model_queues import SocketState

ARROWS: Final = {"accepted": "←", "connected": "→"}


class Connected(NamedTuple):
    """A connection, how it fared lately, and who is at its other end."""

    state: SocketState
    progress: Progress | None
    who: str | None

    @property
    def traffic(self) -> float:
        """Bytes that it moved in a second."""
        return 0.0 if self.progress is None else _sum(self.progress.sent_bytes_s, self.progress.received_bytes_s)


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


def told_of(item: Connected) -> Text:
    """Tell a connection in full."""
    state = item.state
    text = Text.assemble(
        (clean(f"{state.local} {ARROWS.get(state.role, '?')} {state.peer or '?'}"), palette.STRONG),
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
