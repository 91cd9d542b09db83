"""The peers of the target's calls, and what comes before a call: waits for pooled connections and permits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.format import NONE, clean, count, duration, fit, fit_path
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences
from perfwatch.tui.widgets.waits import wait_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Downstream, View
    from perfwatch.tui.messages import Frame

_ADDRESS: Final = 22
_PROTOCOL: Final = 12
_ROOMY: Final = 80
_PEERS: Final = 8
_NOBODY: Final = "no judged request waited for a pooled connection or a permit"


class CalledPeers(SectionPanel):
    """Calls are over the session, connections and requests as of now; waits are those of the judged requests."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the peers, then the pools; where nobody waited for one, that."""
        view = frame.view
        by_peer: dict[str, list[Downstream]] = {}
        for one in view.downstream:
            by_peer.setdefault(one.peer, []).append(one)
        names = {one.address: f"{one.name}, pid {one.pid}" for one in view.peers}
        protocol = _PROTOCOL if width >= _ROOMY else 0
        head = f"{'':>{_ADDRESS + protocol - 5}}{'open':>6}{'rtt':>9}{'asked now':>11}{'in all':>9}{'failed':>8}  who"
        peers = [_peer(peer, kinds, view, names.get(peer), protocol) for peer, kinds in list(by_peer.items())[:_PEERS]]
        yield Section("peers", head, peers)
        lines = [line for one in view.permits for line in wait_lines(one, f"for {one.what}", width)]
        yield Section("pools and permits", "", lines or [Text(_NOBODY, style=palette.QUIET)])
        opened = [one for one in view.queues.connections if one.role == "connected"]
        yield Section("opened lately", "", sentences(map(said.connections, opened), width))


def _peer(peer: str, kinds: Sequence[Downstream], view: View, who: str | None, room: int) -> Text:
    """Show a peer: its connections that are listed, the slowest round trip of them, who waits for it at this moment."""
    sockets = [one for one in view.queues.sockets if one.role == "connected" and one.peer == peer]
    rtt_ns = max((one.rtt_ns for one in sockets if one.rtt_ns is not None), default=None)
    asked = sum(one.state == "calls" and one.peer == peer for one in view.in_flight)
    failed = sum(one.failed for one in kinds)
    return Text.assemble(
        (fit_path(clean(peer), _ADDRESS) + " ", palette.TEXT),
        (fit(kinds[0].protocol, room), palette.QUIET),
        (f"{count(len(sockets)) if sockets else NONE:>6}", palette.TEXT),
        (f"{NONE if rtt_ns is None else said.took(rtt_ns / 1e6):>9}", palette.TEXT),
        (f"{count(asked):>11}", palette.STRONG if asked else palette.FAINT),
        (f"{duration(sum(one.total_ms for one in kinds)):>9}", palette.STRONG),
        (f"{count(failed):>8}", palette.WARN if failed else palette.FAINT),
        (f"  {clean(who)}" if who else "  not of this host, or not known", palette.ACCENT if who else palette.FAINT),
    )
