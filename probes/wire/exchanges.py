"""Requests and answers on one connection, told from its segments alone: pure, a few numbers of state a connection.

A request begins with a segment that starts with a request line, while none is unanswered, and ends with the last
segment of the server's before the next request, or the close. Bytes are counted by sequence number (`flow.py`), so
that what is sent again counts once, and the order does not matter. Where bytes were missed that could have held a
boundary, the request is given up and counted: a wrong latency is worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.probes.wire.flow import Flow
from perfwatch.probes.wire.http1 import SWITCHING, RequestLine, ends_at_its_head, is_final, parse_request, parse_status
from perfwatch.probes.wire.segments import ACK, FIN, RST, Endpoint, Segment, address_text, ahead, behind

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_NS: Final = 100_000_000
"""An answered request without activity for so long is told as finished, and corrected should more follow."""


class WireRequest(msgspec.Struct, frozen=True):
    """One HTTP/1 request as its packets tell; one with an id that was seen before replaces the earlier one."""

    id: int
    connection: int
    local: str
    """The server's end, as in `Peer.address`."""
    remote: str
    arrived_ns: int
    """CLOCK_MONOTONIC, of the packet with its first byte, by the kernel."""
    ended_ns: int | None
    """Of the last packet of its answer; of an aborted one: of the close. None while it is open."""
    method: str
    target: str
    """Path without the query, at most `MAX_TARGET_CHARS`; untrusted."""
    status: int | None
    received_bytes: int
    sent_bytes: int
    outcome: Literal["answered", "aborted"] | None
    """None while it is open."""
    answered_ns: int | None = None
    """Of the first packet of its answer, interim ones left out: then its thread sent something."""


@dataclass(slots=True)
class _Current:
    """The request that a connection is at."""

    id: int
    line: RequestLine
    arrived_ns: int
    received_from: int
    received_to: int
    is_whole: bool
    """It had no body to follow: another request before its answer would be pipelining."""
    status: int | None = None
    sent_from: int | None = None
    """Where its answer begins; None until that is known."""
    status_at: int | None = None
    """Where its status line is expected: behind the interim ones, if there were any."""
    sent_to: int = 0
    answered_ns: int | None = None
    """Of the last segment of its answer so far."""
    first_ns: int | None = None
    """Of the first."""
    is_told: bool = False
    """As finished, with all that is known."""


@dataclass(slots=True)
class Exchanges:
    """The requests of one connection."""

    connection: int
    server: Endpoint
    client: Endpoint
    ids: Iterator[int]
    is_closed: bool = False
    _finished: list[WireRequest] = field(default_factory=list)
    _lost: int = 0
    _current: _Current | None = None
    _of_client: Flow = field(default_factory=Flow)
    _of_server: Flow = field(default_factory=Flow)
    _is_ignored: bool = False
    _is_ending: bool = False
    """The server has closed it, and some of what it sent before is still to come."""

    def take(self, segment: Segment, at_ns: int, *, from_client: bool) -> None:
        """Follow one segment of either side."""
        ours, theirs = (self._of_client, self._of_server) if from_client else (self._of_server, self._of_client)
        if segment.flags & ACK and theirs.misses(segment.acknowledged):
            self._give_up()  # an answer's end, or another request, may have been in what was not captured
        if segment.length and ours.take(segment) and not self._is_ignored:
            if from_client:
                self._from_client(segment, at_ns)
            else:
                self._from_server(segment, at_ns)
        if segment.flags & FIN:
            ours.finish(segment)
            self._is_ending |= not from_client or self._current is None  # a client may still be answered
        if segment.flags & RST or (self._is_ending and (self._of_server.is_whole or self._current is None)):
            self.close(at_ns)

    def _from_client(self, segment: Segment, at_ns: int) -> None:
        current = self._current
        line = parse_request(segment.payload)
        if line is not None and (current is None or current.answered_ns is not None):
            self._begin(line, segment, at_ns)
        elif line is not None and current is not None and current.is_whole:
            self._is_ignored = True  # pipelined: which answer is whose is not told by segments
            self._give_up()
        if self._current is not None and self._of_client.next is not None:
            self._current.received_to = self._of_client.next

    def _begin(self, line: RequestLine, segment: Segment, at_ns: int) -> None:
        self._tell()
        if self._of_server.next is None and segment.flags & ACK:
            self._of_server.next = segment.acknowledged
        start, end = segment.sequence, behind(segment)
        is_whole = ends_at_its_head(segment.payload, segment.length)
        current = _Current(next(self.ids), line, at_ns, start, end, is_whole)
        current.sent_from = current.status_at = self._of_server.next
        self._current = current

    def _from_server(self, segment: Segment, at_ns: int) -> None:
        current = self._current
        if current is None or self._of_server.next is None:
            return
        if current.sent_from is None:
            current.sent_from = current.status_at = segment.sequence
        if ahead(segment.sequence, current.sent_from) < 0:
            return  # of an earlier answer
        current.sent_to = self._of_server.next
        if segment.sequence == current.status_at:
            current.status = parse_status(segment.payload)
            if current.status is not None and not is_final(current.status):
                current.status_at = behind(segment)
                return  # `100 Continue`: the answer is still to come
        current.answered_ns, current.is_told = at_ns, False
        current.first_ns = current.first_ns or at_ns
        if current.status == SWITCHING:
            self._tell()
            self._current, self._is_ignored = None, True

    def settle(self, now_ns: int) -> None:
        """Tell an answered request as finished if nothing happened for a while; give it up if some of it is missing."""
        current = self._current
        if current is None or current.answered_ns is None or now_ns - current.answered_ns < QUIET_NS:
            return
        if not self._of_server.is_whole:
            self._give_up()
        if self._is_ending:
            self.close(now_ns)
        self._tell()

    def close(self, at_ns: int) -> None:
        """End with the connection."""
        if self._current is not None and not self._of_server.is_whole:
            self._give_up()
        self._tell(at_ns)
        self._current, self.is_closed = None, True

    def open(self) -> WireRequest | None:
        """Return the request that has not ended; None where there is none."""
        current = self._current
        return None if current is None or current.is_told else self._request(current, None, None)

    @property
    def is_waiting(self) -> bool:
        """Whether there is a request that was not told as finished."""
        return self._current is not None and not self._current.is_told

    def drain(self) -> tuple[list[WireRequest], int]:
        """Return what finished since the last call, and how many requests were given up."""
        finished, self._finished = self._finished, []
        lost, self._lost = self._lost, 0
        return finished, lost

    def _give_up(self) -> None:
        if self.is_waiting:
            self._lost += 1
        self._current = None

    def _tell(self, closed_ns: int | None = None) -> None:
        current = self._current
        if current is None or current.is_told:
            return
        if current.answered_ns is not None:
            self._finished.append(self._request(current, current.answered_ns, "answered"))
        elif closed_ns is not None:
            self._finished.append(self._request(current, closed_ns, "aborted"))
        current.is_told = True

    def _request(
        self, current: _Current, ended_ns: int | None, outcome: Literal["answered", "aborted"] | None
    ) -> WireRequest:
        sent = 0 if current.sent_from is None else max(ahead(current.sent_to, current.sent_from), 0)
        return WireRequest(
            id=current.id,
            connection=self.connection,
            local=address_text(self.server),
            remote=address_text(self.client),
            arrived_ns=current.arrived_ns,
            ended_ns=ended_ns,
            method=current.line.method,
            target=current.line.target,
            status=current.status,
            received_bytes=max(ahead(current.received_to, current.received_from), 0),  # numbers may be forged
            sent_bytes=sent,
            outcome=outcome,
            answered_ns=current.first_ns,
        )
