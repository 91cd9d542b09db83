"""The probe `wire`: the target's TCP connections, their set-up and TLS handshakes, from packets.

Accepted connections are told by the listening addresses. For those that the target opens itself the kernel is asked, at
the next reading, whose socket it is: one that has ended by then (0.1 s, more where the target has thousands of
descriptors) remains unknown. Connections that are older than the attaching are told only where they were accepted,
when they end.

Needs CAP_NET_RAW, and to see the target's descriptors. Cost: 5 us a packet that passes the filter, 30 us a connection
in all (six packets), 10 us a reading without any. Where too many come, a sample of the connections is followed, and a
RateChange says so.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.sock_diag import SockDiag
from perfwatch.probes.records import Loss
from perfwatch.probes.samples import RateChange
from perfwatch.probes.wire import capture
from perfwatch.probes.wire.capture import Capture
from perfwatch.probes.wire.connections import TrackedConnection
from perfwatch.probes.wire.filters import SHARES, connection_filter
from perfwatch.probes.wire.following import Following
from perfwatch.probes.wire.owners import Listeners, inodes_of, listeners, owned
from perfwatch.probes.wire.segments import ACK, FIN, RST, SYN, Endpoint, Segment, address_text, parse_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record
    from perfwatch.probes.wire.capture import Packet, Way

MAX_CONNECTIONS: Final = 8192
"""So many are remembered; beyond that, those that were quiet longest are forgotten."""
MAX_UNCLAIMED: Final = 1024
MAX_RECORDS: Final = 1024
"""Of one reading; what is beyond waits for the next."""
_REFRESH_NS: Final = 1_000_000_000
_PATIENCE: Final = 50
"""What asks the kernel rests for so many times as long as it took."""


class WireProbe:
    """Follows the connections of the target in the network namespace of its first process."""

    name = "wire"
    period_s = 0.1

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._following = Following(acknowledgements=True)
        self._listeners = Listeners()
        self._connections: OrderedDict[tuple[Endpoint, Endpoint], TrackedConnection] = OrderedDict()
        self._unclaimed: OrderedDict[int, TrackedConnection] = OrderedDict()
        self._news: OrderedDict[int, TrackedConnection] = OrderedDict()
        self._ids = count(1)
        self._refresh_at_ns = self._claim_at_ns = self._untold = 0
        self._stack = ExitStack()
        self._capture: Capture | None = None
        self._diag: SockDiag | None = None

    def availability(self) -> Availability:
        """Look whether packets may be captured and the target's sockets be seen."""
        lost = "what connections and TLS handshakes cost"
        try:
            capture.check(self._pid())
            inodes_of(self._tree())
        except Unavailable as error:
            return Availability("unavailable", error.reason, lost, error.remedy)
        except (ProbeError, OSError) as error:
            return Availability("unavailable", str(error), lost)
        return AVAILABLE

    def __enter__(self) -> Self:
        """Open the packet socket; raises Unavailable or Vanished."""
        pid = self._pid()
        with ExitStack() as stack:
            self._diag = stack.enter_context(SockDiag(pid))
            self._listeners = listeners(self._diag, inodes_of(self._tree()))
            self._capture = stack.enter_context(Capture(pid, self._program()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._capture = self._diag = None

    def _pid(self) -> int:
        for pid in sorted(self._tree()):
            if (roots.PROC / str(pid)).exists():
                return pid
        raise Vanished("the target has no process that can be seen")

    def _program(self) -> bytes:
        following = self._following
        ports = self._listeners.ports
        return connection_filter(ports, following.share, acknowledgements=following.acknowledgements)

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the connections that there is something new to say of."""
        if self._capture is None or self._diag is None:
            return []
        packets = 0
        for packets, packet in enumerate(self._capture.packets(), 1):  # noqa: B007 - counted for what follows
            self._take(packet)
        dropped = self._capture.dropped()
        if self._unclaimed and now_ns >= self._claim_at_ns:
            self._claim(self._diag, now_ns)
        records: list[Record] = [self._told(now_ns) for _ in range(min(len(self._news), MAX_RECORDS))]
        records += self._losses(now_ns, dropped)
        changed = self._following.update(now_ns, packets, dropped)
        if changed:
            period_ns = round(self.period_s * 1e9)
            reason, followed = str(self._following), self._following.share / SHARES
            records.append(RateChange(now_ns, self.name, period_ns, period_ns, reason, followed))
        if self._refresh(self._diag, now_ns) or changed:
            self._capture.filter(self._program())
        return records

    def _losses(self, now_ns: int, dropped: int) -> Iterator[Record]:
        if dropped:
            yield Loss(now_ns, self.name, dropped, "packets came faster than they were read")
        if self._untold:
            yield Loss(now_ns, self.name, self._untold, "connections came faster than they were told")
            self._untold = 0

    def _told(self, now_ns: int) -> Record:
        return self._news.popitem(last=False)[1].record(now_ns)

    def _take(self, packet: Packet) -> None:
        segment = parse_segment(packet.data, packet.length)
        if segment is None:
            return
        connection, from_client = self._connection(segment, packet.way)
        if connection is None:
            return
        connection.take(segment, packet.at_ns, packet.interface, from_client=from_client)
        if connection.is_news and connection.id not in self._unclaimed:
            self._tell(connection)

    def _tell(self, connection: TrackedConnection) -> None:
        if len(self._news) >= MAX_CONNECTIONS and connection.id not in self._news:
            self._news.popitem(last=False)
            self._untold += 1
        self._news[connection.id] = connection

    def _connection(self, segment: Segment, way: Way) -> tuple[TrackedConnection | None, bool]:
        """Find the connection of a segment, or begin to follow one; and whether its client sent this."""
        source, destination = segment.source, segment.destination
        if (known := self._connections.get((source, destination))) is not None:
            self._connections.move_to_end((source, destination))
            return known, False
        known = self._connections.get((destination, source))
        if segment.flags & (SYN | ACK) == SYN:
            if known is None or known.begins_anew(segment):
                known = self._meet(destination, source, way)
        elif known is None and segment.length + (segment.flags & (FIN | RST)):
            return self._meet_older(segment, way)
        if known is not None:
            self._connections.move_to_end((destination, source))
        return known, True

    def _meet(self, server: Endpoint, client: Endpoint, way: Way) -> TrackedConnection | None:
        """Begin to follow a connection that a SYN opens."""
        if way != "out" and self._listeners.accept(server):
            return self._remember(TrackedConnection(next(self._ids), "accepted", client, server))
        if way == "in":
            return None
        connection = self._remember(TrackedConnection(next(self._ids), "connected", client, server))
        if len(self._unclaimed) >= MAX_UNCLAIMED:
            self._forget(self._unclaimed.popitem(last=False)[1])
        self._unclaimed[connection.id] = connection
        return connection

    def _meet_older(self, segment: Segment, way: Way) -> tuple[TrackedConnection | None, bool]:
        """Follow a connection from its middle: not for a stranger's reset, which may name ports at random."""
        source, destination = segment.source, segment.destination
        if way != "in" and self._listeners.accept(source):
            return self._remember(TrackedConnection(next(self._ids), "accepted", destination, source)), False
        if way != "out" and self._listeners.accept(destination) and not segment.flags & RST:
            return self._remember(TrackedConnection(next(self._ids), "accepted", source, destination)), True
        return None, False

    def _remember(self, connection: TrackedConnection) -> TrackedConnection:
        if len(self._connections) >= MAX_CONNECTIONS:
            _, forgotten = self._connections.popitem(last=False)
            self._unclaimed.pop(forgotten.id, None)
        self._connections[connection.server, connection.client] = connection
        return connection

    def _forget(self, connection: TrackedConnection) -> None:
        ends = connection.server, connection.client
        if self._connections.get(ends) is connection:  # and not one that came after it
            del self._connections[ends]

    def _claim(self, diag: SockDiag, now_ns: int) -> None:
        """Keep those of the connections from this host that are the target's, and forget the others."""
        began_ns = time.monotonic_ns()
        unclaimed, self._unclaimed = self._unclaimed, OrderedDict()
        try:
            ours = owned(diag, ((one.client, one.server) for one in unclaimed.values()), inodes_of(self._tree()))
        except (Unavailable, Vanished):
            ours = set()
        for connection in unclaimed.values():
            if (address_text(connection.client), address_text(connection.server)) not in ours:
                self._forget(connection)
            else:
                self._tell(connection)
        self._claim_at_ns = now_ns + (time.monotonic_ns() - began_ns) * _PATIENCE

    def _refresh(self, diag: SockDiag, now_ns: int) -> bool:
        """Look what the target listens on, once a second at most; whether that changed."""
        if now_ns < self._refresh_at_ns:
            return False
        began_ns, before = time.monotonic_ns(), self._listeners
        try:
            self._listeners = listeners(diag, inodes_of(self._tree()))
        except (Unavailable, Vanished):
            return False
        finally:
            self._refresh_at_ns = now_ns + max(_REFRESH_NS, (time.monotonic_ns() - began_ns) * _PATIENCE)
        return self._listeners != before
