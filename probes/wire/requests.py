"""HTTP/1 requests from the packets on the listening ports: what there is to go by where BPF is not allowed.

Bodies, headers and queries are neither parsed nor kept. TLS and HTTP/2 are not requests here. Needs CAP_NET_RAW. Cost:
6 us a packet with payload, 12 us a small request with its answer; the kernel passes no acknowledgements on.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Final, Self

import msgspec

from perfwatch.probes.wire.capture import Capture
from perfwatch.probes.wire.exchanges import Exchanges, WireRequest
from perfwatch.probes.wire.filters import SHARES, request_filter
from perfwatch.probes.wire.following import Following, in_sample
from perfwatch.probes.wire.http1 import parse_request
from perfwatch.probes.wire.segments import ACK, SYN, parse_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from perfwatch.probes.wire.capture import Packet
    from perfwatch.probes.wire.segments import Endpoint

MAX_CONNECTIONS: Final = 4096
"""So many are remembered; beyond that, those that were quiet longest are forgotten."""
MAX_OPEN: Final = 1024


class Captured(msgspec.Struct, frozen=True):
    """What one reading gave."""

    finished: tuple[WireRequest, ...]
    """In the order in which they were told; one with an id that was seen before is corrected."""
    open: tuple[WireRequest, ...]
    """Those that have not ended, the oldest first, at most 1,024."""
    lost: int
    """Since the last reading: packets that were dropped, and requests that were given up for want of packets."""
    followed: float
    """Part of the connections that is followed at present, 0..1."""


class RequestCapture:
    """Follows the requests of one process's network namespace; a context manager, used by one thread."""

    def __init__(self, pid: int, ports: Callable[[], Collection[int]]) -> None:
        """`ports` gives the TCP ports that the target listens on at this moment; at most 64 are followed."""
        self._tcp_ports = ports
        self._ports = frozenset(ports())
        self._following = Following(acknowledgements=False)
        self._capture = Capture(pid, request_filter(self._ports))
        self._connections: OrderedDict[tuple[Endpoint, Endpoint], Exchanges] = OrderedDict()
        self._waiting: dict[int, Exchanges] = {}
        self._request_ids, self._connection_ids = count(1), count(1)
        self._finished: list[WireRequest] = []
        self._lost = 0

    def __enter__(self) -> Self:
        """Open the packet socket; raises Unavailable or Vanished."""
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.close()

    def read(self, now_ns: int) -> Captured:
        """Return what finished since the last reading and what is open; `now_ns` is the monotonic time."""
        packets = 0
        for packets, packet in enumerate(self._capture.packets(), 1):  # noqa: B007 - counted for what follows
            self._take(packet)
        dropped = self._capture.dropped()
        self._settle(now_ns)
        self._refilter(self._following.update(now_ns, packets, dropped))
        finished, self._finished = tuple(self._finished), []
        lost, self._lost = self._lost + dropped, 0
        return Captured(finished, self._open(), lost, self._following.share / SHARES)

    def _take(self, packet: Packet) -> None:
        segment = parse_segment(packet.data, packet.length)
        if segment is None:
            return
        from_client = segment.destination.port in self._ports
        ends = segment.source, segment.destination
        client, server = ends if from_client else ends[::-1]
        exchanges = self._connections.get((server, client))
        if exchanges is not None and from_client and segment.flags & (SYN | ACK) == SYN:
            self._end(exchanges, packet.at_ns)  # its end was not seen, and its ports are used again
            return
        if exchanges is None:
            if not from_client or parse_request(segment.payload) is None:
                return
            exchanges = self._meet(server, client)
        self._connections.move_to_end((server, client))
        exchanges.take(segment, packet.at_ns, from_client=from_client)
        self._collect(exchanges)

    def _meet(self, server: Endpoint, client: Endpoint) -> Exchanges:
        if len(self._connections) >= MAX_CONNECTIONS:
            _, forgotten = self._connections.popitem(last=False)
            self._lost += self._waiting.pop(forgotten.connection, None) is not None
        exchanges = Exchanges(next(self._connection_ids), server, client, self._request_ids)
        self._connections[server, client] = exchanges
        return exchanges

    def _end(self, exchanges: Exchanges, at_ns: int) -> None:
        exchanges.close(at_ns)
        self._collect(exchanges)

    def _collect(self, exchanges: Exchanges) -> None:
        """Take what a connection has to say, and keep the books of those that wait."""
        finished, lost = exchanges.drain()
        self._finished += finished
        self._lost += lost
        if exchanges.is_waiting:
            self._waiting[exchanges.connection] = exchanges
        else:
            self._waiting.pop(exchanges.connection, None)
        if exchanges.is_closed:
            del self._connections[exchanges.server, exchanges.client]

    def _settle(self, now_ns: int) -> None:
        for exchanges in list(self._waiting.values()):
            exchanges.settle(now_ns)
            self._collect(exchanges)

    def _open(self) -> tuple[WireRequest, ...]:
        requests = [request for exchanges in self._waiting.values() if (request := exchanges.open())]
        return tuple(sorted(requests, key=lambda request: request.arrived_ns)[:MAX_OPEN])

    def _refilter(self, share_changed: bool) -> None:  # noqa: FBT001 - the only thing it is told
        """Let the kernel pass other ports, or another part of the connections, if either changed."""
        ports = frozenset(self._tcp_ports())
        if ports == self._ports and not share_changed:
            return
        self._ports = ports
        self._capture.filter(request_filter(ports, self._following.share))
        for (server, client), exchanges in list(self._connections.items()):
            if server.port not in ports or not in_sample(server.port, client.port, self._following.share):
                del self._connections[server, client]
                self._waiting.pop(exchanges.connection, None)
