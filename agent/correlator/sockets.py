"""The target's sockets and its network: queues, round trips, what was lost or turned away."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import NetworkRate, grown, network_rate
from perfwatch.agent.correlator.seconds import KEPT, Seconds
from perfwatch.agent.correlator.series import Series

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.records import ListenerSample
    from perfwatch.probes.samples import NetworkSample, SocketsSample, SocketState

SHOWN: Final = 64
_DUMPS: Final = 16
_MAX_SOCKETS: Final = 256
_MAX_LISTENERS: Final = 64
_NEAR_NS: Final = 3_000_000_000


class SocketChange(NamedTuple):
    """One socket near a stretch of time: as it was last, and what its counters grew by.

    They grew since the first reading of it near that time; since it began, where there is one reading only.
    """

    state: SocketState
    retransmits: int | None
    busy_ns: int | None
    rwnd_limited_ns: int | None
    sndbuf_limited_ns: int | None


class Accepting(NamedTuple):
    """A listening socket over a stretch of time."""

    backlog: int
    """Deepest."""
    backlog_max: int
    recv_q_bytes: int | None
    """Most that was found unread on one of its connections."""
    turned_away: int
    """By how much the drops of the socket itself grew."""


class Dump(NamedTuple):
    """The target's sockets at one moment."""

    at_ns: int
    sample: SocketsSample
    by_cookie: dict[int, SocketState]
    listening: tuple[SocketState, ...]


class Sockets:
    """The last 16 dumps of the target's sockets, and the counters of its network namespace."""

    def __init__(self, seconds: int = KEPT) -> None:
        self._dumps: deque[Dump] = deque(maxlen=_DUMPS)
        self._listeners: dict[str, deque[ListenerSample]] = {}
        self._network: Series[NetworkSample] = Series(_continues)
        self.standing = Seconds(seconds)
        """Bytes in the buffers of all connections, not read or not acknowledged."""
        self.waiting = Seconds(seconds)
        """Connections that waited to be accepted."""

    def sample(self, sample: SocketsSample) -> None:
        """Take in a dump; costs about 30 us with 256 sockets."""
        if self._dumps and sample.at_ns < self._dumps[-1].at_ns:
            self._dumps.clear()
        sockets = sample.sockets[:_MAX_SOCKETS]
        listening = tuple(one for one in sockets if one.role == "listening")
        since_ns = self._dumps[-1].at_ns if self._dumps else None
        self._dumps.append(Dump(sample.at_ns, sample, {one.cookie: one for one in sockets}, listening))
        self.standing.put(sample.recv_q_bytes + sample.send_q_bytes, sample.at_ns, since_ns)
        self.waiting.put(sum(max(one.recv_q, 0) for one in listening), sample.at_ns, since_ns)

    def network(self, sample: NetworkSample) -> None:
        """Take in the network's counters; costs about 3 us."""
        self._network.add(sample)

    def listener(self, sample: ListenerSample) -> None:
        """Take in how deep an accept queue was; costs about 1 us."""
        kept = self._listeners.get(sample.address)
        if kept is None:
            if len(self._listeners) >= _MAX_LISTENERS:
                return
            kept = self._listeners[sample.address] = deque(maxlen=_DUMPS)
        kept.append(sample)
        self.waiting.put(sample.backlog, sample.at_ns)

    def rate(self, span: Span) -> NetworkRate | None:
        """Return what the network carried and lost."""
        pair = self._network.around(span)
        return None if pair is None else network_rate(*pair)

    @property
    def latest(self) -> tuple[SocketState, ...]:
        """As of the last dump: listeners first, then the longest queues, at most 64."""
        if not self._dumps:
            return ()
        sockets = self._dumps[-1].by_cookie.values()
        ranked = sorted(sockets, key=lambda one: (one.role != "listening", -(one.recv_q + one.send_q), one.cookie))
        return tuple(ranked[:SHOWN])

    @property
    def count(self) -> int | None:
        """How many there were, also those that were not listed."""
        return None if self.total is None else self.total.count

    @property
    def total(self) -> SocketsSample | None:
        """The last reading, whose sums are over all sockets."""
        return self._dumps[-1].sample if self._dumps else None

    def dumps(self, span: Span) -> tuple[Dump, ...]:
        """Return the readings within a stretch of time, the newest last."""
        return tuple(one for one in self._dumps if (span.from_ns or 0) <= one.at_ns <= span.until_ns)

    def change(self, cookie: int, span: Span) -> SocketChange | None:
        """Return what is known of one socket near a stretch of time."""
        seen = [dump.by_cookie[cookie] for dump in self._near(span) if cookie in dump.by_cookie]
        return _change(seen) if seen else None

    def changes_to(self, peer: str, span: Span) -> tuple[SocketChange, ...]:
        """Return what is known of the connections that the target opened to a peer."""
        seen: dict[int, list[SocketState]] = {}
        for dump in self._near(span):
            for one in dump.by_cookie.values():
                if one.role == "connected" and one.peer == peer:
                    seen.setdefault(one.cookie, []).append(one)
        return tuple(_change(states) for states in seen.values())

    def accepting(self, address: str, span: Span) -> Accepting | None:
        """Return how a listening socket stood: the deepest that was seen near a stretch of time."""
        seen = [
            (sample.backlog, sample.backlog_max, sample.recv_q_bytes)
            for sample in self._listeners.get(address, ())
            if _near(sample.at_ns, span)
        ]
        seen += (
            (one.recv_q, one.send_q, None)
            for dump in self._near(span)
            for one in dump.listening
            if one.local == address
        )
        if not seen:
            return None
        unread = [bytes_ for _, _, bytes_ in seen if bytes_ is not None]
        return Accepting(
            backlog=max(one[0] for one in seen),
            backlog_max=max(one[1] for one in seen),
            recv_q_bytes=max(unread, default=None),
            turned_away=self._turned_away(address, span),
        )

    def _turned_away(self, address: str, span: Span) -> int:
        drops: dict[int, list[int]] = {}
        for dump in self._near(span):
            for one in dump.listening:
                if one.local == address and one.drops is not None:
                    drops.setdefault(one.cookie, []).append(one.drops)
        return sum(max(seen[-1] - seen[0], 0) for seen in drops.values())

    def _near(self, span: Span) -> list[Dump]:
        return [dump for dump in self._dumps if _near(dump.at_ns, span)]


def _near(at_ns: int, span: Span) -> bool:
    return (span.from_ns is None or at_ns >= span.from_ns - _NEAR_NS) and at_ns <= span.until_ns + _NEAR_NS


def _change(seen: list[SocketState]) -> SocketChange:
    first, last = seen[0], seen[-1]

    def more(before: int | None, after: int | None) -> int | None:
        return grown(before if len(seen) > 1 else 0, after)

    return SocketChange(
        state=last,
        retransmits=more(first.retransmits, last.retransmits),
        busy_ns=more(first.busy_ns, last.busy_ns),
        rwnd_limited_ns=more(first.rwnd_limited_ns, last.rwnd_limited_ns),
        sndbuf_limited_ns=more(first.sndbuf_limited_ns, last.sndbuf_limited_ns),
    )


def _continues(before: NetworkSample, after: NetworkSample) -> bool:
    return after.sent_segments >= before.sent_segments and after.received_segments >= before.received_segments
