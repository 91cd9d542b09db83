"""The target's sockets by inode: which listen, which were accepted, and who is at the other end of the rest.

One table of the target's network namespace, made anew when an inode is asked for that it does not know: at most 20
times a second, and less often where the host has so many sockets that this would cost more than 2 % of a core.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from perfwatch.probes.errors import Malformed, ProbeError, Vanished
from perfwatch.probes.readers.descriptors import sockets_of
from perfwatch.probes.readers.diag_messages import LISTEN, InetMessage, UnixMessage
from perfwatch.probes.readers.sock_diag import DiagSocket, SockDiag, from_inet, from_unix

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Role: TypeAlias = Literal["listening", "accepted", "connected", "internal"]
"""`internal`: both ends are the target's own, as of a socket pair by which one thread wakes another."""

REFRESH_NS: Final = 50_000_000
DEAREST: Final = 50
"""A table is made anew after so many times as long as the last one took."""
LISTENERS_NS: Final = 1_000_000_000


class Socket(msgspec.Struct, frozen=True):
    """What a state needs to know of a socket."""

    role: Role
    cookie: int
    local: str
    peer: str | None


class SocketTable:
    """Answers from what it knows, and notes what it does not; `refresh` asks the kernel."""

    def __init__(self) -> None:
        self._diag: SockDiag | None = None
        self._messages: dict[int, InetMessage | UnixMessage] = {}
        self._sockets: dict[int, Socket] = {}  # those that were asked for
        self._accepted: dict[tuple[str, str], int] = {}
        self._ports: set[str] = set()
        self._listening: list[DiagSocket] = []
        self._own: dict[int, dict[int, int]] = {}
        self._wanted = False
        self._next_ns = self._next_listeners_ns = 0
        self.made_ns = 0
        """When the table was asked for."""

    def close(self) -> None:
        """Leave nothing open."""
        if self._diag:
            self._diag.close()
            self._diag = None

    def socket(self, inode: int) -> Socket | None:
        """Return a socket; None while it is not known: the next `refresh` will see."""
        found = self._sockets.get(inode)
        message = self._messages.get(inode)
        if found is None and message is None:
            self._wanted = True
        elif found is None and message is not None:
            with suppress(Malformed):
                found = self._sockets[inode] = self._made(message)
        return found

    def connection(self, local: str, remote: str) -> int | None:
        """Return the inode of an accepted connection; None while it is not known."""
        found = self._accepted.get((local, remote))
        if found is None:
            self._wanted = True
        return found

    def is_read(self, local: str, remote: str) -> bool:
        """Whether all that had come on an accepted connection was read when the table was made."""
        message = self._messages.get(self._accepted.get((local, remote), 0))
        return isinstance(message, InetMessage) and message.recv_q == 0

    def want(self) -> None:
        """Ask for a new table, as soon as it is time for one."""
        self._wanted = True

    def cookie(self, inode: int) -> int | None:
        """Return the kernel's number of a socket."""
        message = self._messages.get(inode)
        return message.cookie if message else None

    @property
    def listening(self) -> list[DiagSocket]:
        """The target's listening sockets, as of the last `refresh`; several may share an address."""
        return self._listening

    @property
    def listeners(self) -> frozenset[str]:
        """The addresses that they listen on."""
        return frozenset(socket.local for socket in self._listening)

    def owners(self, inode: int) -> set[int]:
        """Return the processes that had a socket open when the listeners were looked for, or later."""
        return {pid for pid, sockets in self._own.items() if inode in sockets}

    def look_into(self, pids: Iterable[int]) -> None:
        """Find the sockets of these processes; those that may not be looked into have none."""
        for pid in pids:
            try:
                self._own[pid] = sockets_of(pid)
            except (ProbeError, OSError):
                self._own.pop(pid, None)

    def refresh(self, now_ns: int, pids: Collection[int]) -> bool:
        """Ask the kernel if something is wanted and it is time; returns whether the table is new."""
        listeners_due = now_ns >= self._next_listeners_ns
        if not listeners_due and not (self._wanted and now_ns >= self._next_ns):
            return False
        self.made_ns = begun_ns = time.monotonic_ns()
        if listeners_due:
            self._next_listeners_ns = now_ns + LISTENERS_NS
            for gone in self._own.keys() - pids:
                del self._own[gone]
            self.look_into(pids)
        self._wanted = False
        with suppress(Malformed):
            self._fill(*self._dump(pids))
        cost_ns = time.monotonic_ns() - begun_ns
        self._next_ns = now_ns + max(REFRESH_NS, DEAREST * cost_ns)
        self._next_listeners_ns = max(self._next_listeners_ns, now_ns + DEAREST * cost_ns)
        return True

    def _dump(self, pids: Collection[int]) -> tuple[list[InetMessage], list[UnixMessage]]:
        for pid in (None,) if self._diag else sorted(pids):
            try:
                self._diag = self._diag or SockDiag(pid)
                return self._diag.tcp(), self._diag.unix()
            except Vanished:
                continue
            except (ProbeError, OSError):
                self.close()
                break
        return [], []

    def _fill(self, tcp: list[InetMessage], unix: list[UnixMessage]) -> None:
        own = set().union(*self._own.values())
        self._sockets.clear()
        messages: list[InetMessage | UnixMessage] = [*tcp, *unix]
        self._messages = {message.inode: message for message in messages if message.inode}
        listening = [message for message in self._messages.values() if message.state == LISTEN and message.inode in own]
        self._listening = [
            from_inet(message) if isinstance(message, InetMessage) else from_unix([message])[0] for message in listening
        ]
        self._ports = {_port_of(socket.local) for socket in self._listening}
        self._accepted = {}
        for message in tcp:
            if message.inode and message.state != LISTEN and str(message.port) in self._ports:
                self._accepted[message.local, message.peer or ""] = message.inode

    def _made(self, message: InetMessage | UnixMessage) -> Socket:
        if isinstance(message, InetMessage):
            return Socket(self._role(message.state, message.local), message.cookie, message.local, message.peer)
        other = self._messages.get(message.peer_inode or 0)
        name = other.name if isinstance(other, UnixMessage) else None
        local, peer = f"unix:{message.name or '?'}", f"unix:{name or '?'}"
        is_pair = message.name is None and name is None
        if is_pair and other and any(other.inode in sockets for sockets in self._own.values()):
            return Socket("internal", message.cookie, local, peer)
        return Socket(self._role(message.state, local), message.cookie, local, peer)

    def _role(self, state: int, local: str) -> Role:
        if state == LISTEN:
            return "listening"
        return "accepted" if _port_of(local) in self._ports else "connected"


def ports_of(listeners: Iterable[str]) -> set[int]:
    """Return the TCP ports of listening addresses."""
    return {
        int(port) for address in listeners if (port := address.rpartition(":")[2]).isdigit() and address[:5] != "unix:"
    }


def _port_of(address: str) -> str:
    """Return the port, whichever address it is on; of a Unix socket its path."""
    return address if address.startswith("unix:") else address.rpartition(":")[2]
