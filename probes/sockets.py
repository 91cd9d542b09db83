"""The target's stream sockets: their queues, and what TCP knows of each connection. Once a second.

Source: NETLINK_SOCK_DIAG in the target's network namespace, with TCP_INFO and SKMEMINFO; /proc/PID/fd says whose each
is. Any user may list sockets; descriptors need the target's user or root. A socket that several processes have open (a
listener of a prefork server) counts once, for the lowest PID. Cost: see `socket_table`; 0.3 ms for 20 sockets on a host
with any number of them, 25 ms for 10,000.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.descriptors import links_of
from perfwatch.probes.readers.diag_messages import LISTEN, NO_TCP_INFO, InetMessage, state_name
from perfwatch.probes.readers.sock_diag import LISTENING, MAX_SOCKETS, DiagSocket, SockDiag, from_inet
from perfwatch.probes.readers.socket_table import SocketTable
from perfwatch.probes.records import MAX_TARGET_CHARS, Loss
from perfwatch.probes.samples import SocketsSample, SocketState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

MAX_SHOWN: Final = 256
MAX_PROCESSES: Final = 256
MAX_NAMESPACES: Final = 8
_MAX_LISTENERS: Final = 1024
_LOST: Final = "queues, retransmits and round-trip times of the target's sockets"

Role: TypeAlias = Literal["listening", "accepted", "connected"]


class SocketsProbe:
    """Samples the stream sockets of the target's processes (at most 256)."""

    name = "sockets"
    period_s = 1.0

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._tables: dict[int, SocketTable] = {}
        self._accepting: set[int | str] = set()
        self._held_up_ns: dict[int, int] = {}

    def availability(self) -> Availability:
        """Look whether the kernel lists sockets, and whether the target's descriptors may be read."""
        pids = self._pids()
        refused = [error for pid in pids if (error := _obstacle(pid))]
        if not refused:
            return AVAILABLE
        error = refused[0]
        if len(refused) == len(pids):
            return Availability("unavailable", error.reason, _LOST, error.remedy)
        reason = f"{len(refused)} of the target's {len(pids)} processes: {error.reason}"
        return Availability("limited", reason, "their sockets", error.remedy)

    def __enter__(self) -> Self:
        pids = self._pids()
        refused = [error for pid in pids if (error := _obstacle(pid))]
        if refused and len(refused) == len(pids):
            raise refused[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._tables:
            self._tables.popitem()[1].close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return one sample of all sockets of the target; and a loss, where not all could be read."""
        losses = []
        for namespace, pids in self._by_namespace().items():
            try:
                table = self._table(namespace, pids[0])
                table.read(pids)
            except (Vanished, Unavailable) as error:
                self._drop(namespace)
                if isinstance(error, Unavailable):
                    losses.append(Loss(now_ns, self.name, 1, error.reason))
                continue
            if table.is_cut:
                losses.append(Loss(now_ns, self.name, 1, f"more than {MAX_SOCKETS} sockets: not all were looked at"))
        return [self._sample(now_ns), *losses]

    # --- whom to ask

    def _pids(self) -> list[int]:
        return sorted(self._tree())[:MAX_PROCESSES]

    def _by_namespace(self) -> dict[int, list[int]]:
        """Return the target's processes by network namespace; one that cannot be looked into is left out."""
        found: dict[int, list[int]] = {}
        for pid in self._pids():
            with suppress(OSError):
                found.setdefault((roots.PROC / str(pid) / "ns" / "net").stat().st_ino, []).append(pid)
        for namespace in self._tables.keys() - found.keys():
            self._drop(namespace)
        return dict(list(found.items())[:MAX_NAMESPACES])

    def _table(self, namespace: int, pid: int) -> SocketTable:
        if namespace not in self._tables:
            self._tables[namespace] = SocketTable(pid)
        return self._tables[namespace]

    def _drop(self, namespace: int) -> None:
        table = self._tables.pop(namespace, None)
        if table:
            table.close()

    # --- what to say

    def _sample(self, now_ns: int) -> SocketsSample:
        tables = list(self._tables.values())
        tcp = [message for table in tables for message in table.tcp.values()]
        unix = [socket for table in tables for socket in table.unix.values()]
        self._learn_listeners(tcp, unix)
        states = Counter(state_name(message.state) for message in tcp)
        states.update(socket.state for socket in unix)
        chosen = {message.inode for message in most_telling(tcp, self._held_up_ns)}
        shown = [state for table in tables for state in self._states(table, chosen)]
        self._held_up_ns = {inode: held for inode, state in shown if (held := held_up_ns(state))}
        return SocketsSample(
            at_ns=now_ns,
            count=len(tcp) + len(unix),
            by_state=tuple(states.most_common()),
            recv_q_bytes=sum(one.recv_q for one in tcp if one.state != LISTEN)
            + sum(one.recv_q for one in unix if one.peer),
            send_q_bytes=sum(one.send_q for one in tcp if one.state != LISTEN)
            + sum(one.send_q for one in unix if one.peer),
            sockets=tuple(sorted((state for _, state in shown), key=_order)[:MAX_SHOWN]),
        )

    def _states(self, table: SocketTable, chosen: Container[int]) -> list[tuple[int, SocketState]]:
        """Return, by inode, what is said of one namespace's sockets: the chosen ones, and those of Unix."""
        messages = table.detailed([inode for inode in table.tcp if inode in chosen])
        sockets = [*map(from_inet, messages), *table.unix.values()]
        pid_of = table.owners.pid_of
        return [(one.inode, _state(one, pid_of[one.inode], self._role(one))) for one in sockets]

    def _learn_listeners(self, tcp: Iterable[InetMessage], unix: Iterable[DiagSocket]) -> None:
        """Remember what the target listens on, or did: a connection may outlive the listener that accepted it."""
        for message in tcp:
            if message.state == LISTEN and len(self._accepting) < _MAX_LISTENERS:
                self._accepting.add(message.port)
        for socket in unix:
            if socket.peer is None and len(self._accepting) < _MAX_LISTENERS:
                self._accepting.add(socket.local)

    def _role(self, socket: DiagSocket) -> Role:
        if socket.peer is None:
            return "listening"
        door = socket.local if socket.family == "unix" else int(socket.local.rpartition(":")[2])
        return "accepted" if door in self._accepting else "connected"


def most_telling(sockets: Sequence[InetMessage], held_up_ns: Mapping[int, int]) -> Sequence[InetMessage]:
    """Choose `MAX_SHOWN`: listeners, then the longest queues, then those that are or were held up (by inode)."""
    if len(sockets) <= MAX_SHOWN:
        return sockets
    telling = [one for one in sockets if one.recv_q or one.send_q or one.state == LISTEN or one.inode in held_up_ns]
    if len(telling) >= MAX_SHOWN:
        return nsmallest(
            MAX_SHOWN,
            telling,
            key=lambda one: (one.state != LISTEN, -(one.recv_q + one.send_q), -held_up_ns.get(one.inode, 0)),
        )
    known = {one.inode for one in telling}
    return [*telling, *islice((one for one in sockets if one.inode not in known), MAX_SHOWN - len(telling))]


def held_up_ns(state: SocketState) -> int:
    """Return how long a connection could not send: the peer's window was closed, or the send buffer full."""
    return (state.rwnd_limited_ns or 0) + (state.sndbuf_limited_ns or 0)


def _order(state: SocketState) -> tuple[bool, int, int, int, int]:
    queued = state.recv_q + state.send_q
    return (state.role != "listening", -queued, -held_up_ns(state), -(state.retransmits or 0), state.cookie)


def _state(socket: DiagSocket, pid: int, role: Role) -> SocketState:
    tcp = socket.tcp or NO_TCP_INFO
    return SocketState(
        cookie=socket.cookie,
        pid=pid,
        role=role,
        state=socket.state,
        local=socket.local[:MAX_TARGET_CHARS],
        peer=socket.peer and socket.peer[:MAX_TARGET_CHARS],
        recv_q=socket.recv_q,
        send_q=socket.send_q,
        rtt_ns=tcp.rtt_ns,
        retransmits=tcp.retransmits,
        busy_ns=tcp.busy_ns,
        rwnd_limited_ns=tcp.rwnd_limited_ns,
        sndbuf_limited_ns=tcp.sndbuf_limited_ns,
        sent_bytes=tcp.sent_bytes,
        received_bytes=tcp.received_bytes,
        drops=socket.drops,
        last_received_ns=tcp.last_received_ns,
    )


def _obstacle(pid: int) -> Unavailable | None:
    """Return what keeps this user from a process's sockets; None for nothing, also where the process has ended."""
    try:
        with SockDiag(pid) as diag:
            diag.tcp(states=LISTENING)
        next(links_of(pid), None)
    except Vanished:
        return None
    except Unavailable as error:
        return error
    return None
