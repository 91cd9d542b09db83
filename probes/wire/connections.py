"""One TCP connection as its packets tell: set-up, TLS handshake, what was sent again, bytes, its end; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from perfwatch.probes.samples import Connection
from perfwatch.probes.wire.handshakes import TlsHandshake
from perfwatch.probes.wire.segments import ACK, FIN, RST, SEQUENCE_SPACE, SYN, address_text, ahead, behind

if TYPE_CHECKING:
    from perfwatch.probes.wire.segments import Endpoint, Segment


@dataclass(slots=True)
class _Side:
    """What one end has sent."""

    interface: int | None = None
    """Where it is heard: a packet may pass several (a bridge, a bond), and counts once."""
    first: int | None = None
    """Sequence number of its first byte."""
    last: int | None = None
    """Of the one behind its last byte."""
    highest: int | None = None
    """Behind its furthest handshake segment."""
    is_finished: bool = False


@dataclass(slots=True)
class TrackedConnection:
    """A connection that is followed."""

    id: int
    role: Literal["accepted", "connected"]
    client: Endpoint
    server: Endpoint
    opened_ns: int | None = None
    setup_ns: int | None = None
    retransmits: int = 0
    reset: bool = False
    closed_ns: int | None = None
    tls: TlsHandshake = field(default_factory=TlsHandshake)
    is_news: bool = False
    """Something happened that its record does not say yet."""
    _of_client: _Side = field(default_factory=_Side)
    _of_server: _Side = field(default_factory=_Side)

    def take(self, segment: Segment, at_ns: int, interface: int, *, from_client: bool) -> None:
        """Follow one segment of either side."""
        side = self._of_client if from_client else self._of_server
        if side.interface is None:
            side.interface = interface
        if side.interface != interface or self.closed_ns is not None:
            return
        if segment.flags & SYN:
            self._set_up(segment, at_ns, side)
            return
        if self.role == "accepted" and from_client and self._answers_syn(segment):
            self._is_set_up(at_ns)
        if segment.length:
            self._hand_shake(segment, at_ns, side)
        if segment.flags & (FIN | RST):
            self._end(segment, at_ns, side)

    def begins_anew(self, segment: Segment) -> bool:
        """Whether a SYN of the client's opens another connection between the same ends."""
        if self.closed_ns is not None or self._of_client.first is None:
            return True
        first = (segment.sequence + 1) % SEQUENCE_SPACE
        return first != self._of_client.first and self.setup_ns is not None

    def _set_up(self, segment: Segment, at_ns: int, side: _Side) -> None:
        first = (segment.sequence + 1) % SEQUENCE_SPACE
        if side.first == first:
            self.retransmits += 1
            self.is_news = self.is_news or side is self._of_client
            return
        if side is self._of_client:
            self.opened_ns, side.first = at_ns, first
        elif segment.flags & ACK and segment.acknowledged == self._of_client.first:
            side.first = first
            if self.role == "connected":
                self._is_set_up(at_ns)

    def _answers_syn(self, segment: Segment) -> bool:
        """Whether it ends the set-up: an acknowledgement of the SYN and nothing else.

        What follows (data, a close) does not: where the acknowledgement itself was not captured, it may be much later.
        """
        sent, acknowledged = self._of_client.first, self._of_server.first
        is_bare = segment.length == 0 and segment.flags & (ACK | FIN | RST) == ACK
        return is_bare and (segment.sequence, segment.acknowledged) == (sent, acknowledged)

    def _is_set_up(self, at_ns: int) -> None:
        if self.setup_ns is None and self.opened_ns is not None:
            self.setup_ns, self.is_news = at_ns - self.opened_ns, True

    def _hand_shake(self, segment: Segment, at_ns: int, side: _Side) -> None:
        end = behind(segment)
        if side.highest is not None and ahead(end, side.highest) <= 0:
            if self.tls.ended_ns is None:
                self.retransmits += 1
            return
        side.highest = end
        self.is_news |= self.tls.take(segment.payload, at_ns, from_client=side is self._of_client)

    def _end(self, segment: Segment, at_ns: int, side: _Side) -> None:
        other = self._of_server if side is self._of_client else self._of_client
        if segment.flags & RST:
            self.reset = True
            if segment.flags & ACK:  # else it answers a stray segment, and its numbers are that one's
                side.last = segment.sequence if side.last is None else side.last
                other.last = segment.acknowledged if other.last is None else other.last
        else:
            side.last, side.is_finished = behind(segment), True
        if self.reset or other.is_finished:
            self.closed_ns, self.is_news = at_ns, True

    def record(self, at_ns: int) -> Connection:
        """Say what is known."""
        self.is_news = False
        ours, theirs = self._of_server, self._of_client
        local, peer = self.server, self.client
        if self.role == "connected":
            ours, theirs, local, peer = theirs, ours, peer, local
        tls = self.tls
        is_timed = tls.began_ns is not None and tls.ended_ns is not None
        return Connection(
            at_ns=at_ns,
            id=self.id,
            role=self.role,
            local=address_text(local),
            peer=address_text(peer),
            opened_ns=self.opened_ns,
            setup_ns=self.setup_ns,
            tls_ns=(tls.ended_ns or 0) - (tls.began_ns or 0) if is_timed else None,
            tls_version=tls.version,
            resumed=tls.resumed,
            retransmits=self.retransmits,
            reset=self.reset,
            closed_ns=self.closed_ns,
            sent_bytes=self._bytes(ours),
            received_bytes=self._bytes(theirs),
        )

    def _bytes(self, side: _Side) -> int | None:
        """Payload that one end sent, modulo 4 GiB; None while it is open."""
        if self.closed_ns is None or side.first is None or side.last is None:
            return None
        return (side.last - side.first) % SEQUENCE_SPACE
