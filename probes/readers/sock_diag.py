"""The sockets of a network namespace, as the kernel lists them by NETLINK_SOCK_DIAG: what ss(8) shows.

TCP over IPv4 and IPv6, and Unix stream sockets. Every user may ask; which process has a socket open is not said: only
its inode, which `descriptors.sockets_of` finds in a process. Source: sock_diag(7). Cost: 1.5 us a TCP socket of the
namespace, 2 us with what TCP knows of it; 0.1 us one that `ports` leaves out; one that is asked
for by its id costs 4 us, however many others there are.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import msgspec

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.diag_messages import (
    LISTEN,
    STATES,
    InetMessage,
    TcpInfo,
    UnixMessage,
    parse_inet,
    parse_unix,
    state_name,
)
from perfwatch.probes.readers.namespaces import network_of
from perfwatch.probes.readers.netlink import Netlink, attribute

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable
    from types import TracebackType

Family: TypeAlias = Literal["inet", "unix"]

MAX_SOCKETS: Final = 200_000
"""Of one namespace; an answer is cut there."""
OPEN: Final = (1 << len(STATES)) - 1 & ~(1 << STATES.index("TIME_WAIT") | 1 << STATES.index("NEW_SYN_RECV"))
"""States of sockets that a process can have open, as a set of bits."""
LISTENING: Final = 1 << LISTEN

_FAMILY: Final = 4  # NETLINK_SOCK_DIAG
_TCPDIAG_GETSOCK: Final = 18  # the older request: IPv4 and IPv6 in one walk
_BY_FAMILY: Final = 20
_AF_UNIX, _AF_INET, _TCP = 1, 2, 6
_SOCK_STREAM: Final = 1
_WITH_INFO: Final = 1 << 1 | 1 << 6  # INET_DIAG_INFO, INET_DIAG_SKMEMINFO
_UNIX_SHOW: Final = 0x1 | 0x4 | 0x10 | 0x20  # name, peer, queues, memory
_OLD_REQUEST: Final = struct.Struct("=BBBB48sII")  # family, lengths, extensions, id, states, tables
_REQUEST: Final = struct.Struct("=BBBBI48s")  # family, protocol, extensions, pad, states, id
_UNIX_REQUEST: Final = struct.Struct("=BBHIIIQ")  # family, protocol, pad, states, inode, show, cookie
_BYTECODE: Final = 1  # INET_DIAG_REQ_BYTECODE
_JUMP, _AT_LEAST, _AT_MOST = 1, 2, 3  # INET_DIAG_BC_JMP, S_GE, S_LE
_STEP: Final = struct.Struct("=BBH")
_NOT_THERE: Final = {errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL}
_ALL_ONES: Final = (1 << 64) - 1


class DiagSocket(msgspec.Struct, frozen=True):
    """A stream socket; None is what the kernel does not say, or was not asked."""

    cookie: int
    """The kernel's number of the socket: SO_COOKIE, and `ServedRequest.connection`."""
    inode: int
    """0: no process has it open: not accepted yet, or closed already."""
    family: Family
    state: str
    local: str
    """`10.0.0.5:5432`, `[::1]:53` or `unix:/run/x.sock`; `unix:?` without a name; untrusted."""
    peer: str | None
    """None for a listening socket."""
    recv_q: int
    """Bytes that were not read; of a listening socket: connections that were not accepted."""
    send_q: int
    """Bytes that the peer did not acknowledge (Unix: the memory of what it did not read); of a listening socket: the
    limit of its accept queue."""
    tcp: TcpInfo | None = None
    drops: int | None = None


class SockDiag:
    """A line to the kernel about the sockets of one network namespace; used by one thread."""

    def __init__(self, pid: int | None = None) -> None:
        """Of the namespace of a process, or of ours; raises Vanished or Unavailable."""
        self._pid = pid
        self._netlink = _opened(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self._netlink.close()

    def tcp(self, *, states: int = OPEN, ports: Collection[int] = (), with_info: bool = False) -> list[InetMessage]:
        """Return the TCP sockets in some states (with `ports`: of these local ports), at most `MAX_SOCKETS`.

        Raises Unavailable, Malformed.
        """
        extensions = _WITH_INFO if with_info else 0
        body = _OLD_REQUEST.pack(0, 0, 0, extensions, bytes(48), states, 0)
        if ports:
            body += attribute(_BYTECODE, port_filter(ports))
        return [parse_inet(content) for content in self._dump(_TCPDIAG_GETSOCK, body)]

    def tcp_exactly(self, sockets: Iterable[InetMessage]) -> list[InetMessage]:
        """Return what is now known of these sockets, with TCP's own figures; those that are gone are left out.

        Several listening sockets on one port cannot be told apart this way: `tcp(states=LISTENING)` can.
        Raises Unavailable, Malformed.
        """
        bodies = [_REQUEST.pack(socket.family, _TCP, _WITH_INFO, 0, OPEN, socket.id) for socket in sockets]
        try:
            return [parse_inet(content) for content in self._netlink.get(_BY_FAMILY, bodies) if content is not None]
        except OSError as error:
            raise _unavailable(error) from None

    def unix(self, *, states: int = OPEN) -> list[UnixMessage]:
        """Return the Unix stream sockets in some states, at most `MAX_SOCKETS`; raises Unavailable, Malformed."""
        contents = self._dump(_BY_FAMILY, _UNIX_REQUEST.pack(_AF_UNIX, 0, 0, states, 0, _UNIX_SHOW, _ALL_ONES))
        return [found for found in map(parse_unix, contents) if found.type == _SOCK_STREAM]

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        contents: list[bytes] = []
        try:
            for content in self._netlink.dump(kind, body):
                contents.append(content)
                if len(contents) == MAX_SOCKETS:
                    break
            else:
                return contents
        except OSError as error:
            raise _unavailable(error) from None
        self.close()
        self._netlink = _opened(self._pid)
        return contents


def dump(
    pid: int | None = None,
    *,
    families: Collection[Family] = ("inet", "unix"),
    states: int = OPEN,
    inodes: Container[int] | None = None,
    with_info: bool = True,
) -> list[DiagSocket]:
    """List the stream sockets of a process's network namespace (ours without one), once; only those with `inodes`.

    For repeated readings keep a `SockDiag` open. Raises Vanished, Unavailable, Malformed.
    """
    found: list[DiagSocket] = []
    with SockDiag(pid) as diag:
        if "inet" in families:
            messages = diag.tcp(states=states, with_info=with_info)
            found += [from_inet(message) for message in messages if inodes is None or message.inode in inodes]
        if "unix" in families:
            found += from_unix(diag.unix(states=states), inodes)
    return found


def port_filter(ports: Collection[int]) -> bytes:
    """Return the program, for the kernel to run on each socket, that lets those of some local ports pass.

    For each port: go on if the socket's is at least that, and at most that, else to the next port; jump to the end. A
    socket passes that comes out exactly at the end; after the last port the others are sent beyond it.
    """
    program = b""
    for port in sorted(ports, reverse=True):
        program = _port_steps(port, len(program)) + program
    return program


def from_inet(message: InetMessage) -> DiagSocket:
    """Make a socket of what the kernel said of it; raises Malformed."""
    tcp, drops = message.figures
    return DiagSocket(
        cookie=message.cookie,
        inode=message.inode,
        family="inet",
        state=state_name(message.state),
        local=message.local,
        peer=message.peer,
        recv_q=message.recv_q,
        send_q=message.send_q,
        tcp=tcp,
        drops=drops,
    )


def from_unix(messages: Collection[UnixMessage], inodes: Container[int] | None = None) -> list[DiagSocket]:
    """Make sockets of what the kernel said, of those with `inodes`; a peer's name is found among all of them.

    Raises Malformed.
    """
    by_inode = {message.inode: message for message in messages}
    wanted = [message for message in messages if inodes is None or message.inode in inodes]
    return [_from_unix(message, by_inode.get(message.peer_inode or 0)) for message in wanted]


def _from_unix(message: UnixMessage, peer: UnixMessage | None) -> DiagSocket:
    recv_q, send_q = message.queues
    return DiagSocket(
        cookie=message.cookie,
        inode=message.inode,
        family="unix",
        state=state_name(message.state),
        local=f"unix:{message.name or '?'}",
        peer=None if message.state == LISTEN else f"unix:{(peer.name if peer else None) or '?'}",
        recv_q=recv_q,
        send_q=send_q,
        drops=message.drops,
    )


def _port_steps(port: int, behind: int) -> bytes:
    """Return the steps for one port; `behind` is the length of what follows.

    A step is (code, length, distance where it is not so); a comparison's port stands in a second step.
    """
    size = _STEP.size
    operand = _STEP.pack(0, 0, port)
    next_port = 0 if behind else size
    jump = _STEP.pack(_JUMP, size, size + behind)
    at_most = _STEP.pack(_AT_MOST, 2 * size, 3 * size + next_port) + operand
    at_least = _STEP.pack(_AT_LEAST, 2 * size, 5 * size + next_port) + operand
    return at_least + at_most + jump


def _opened(pid: int | None) -> Netlink:
    try:
        if pid is None:
            return Netlink(_FAMILY)
        with network_of(pid):
            return Netlink(_FAMILY)
    except OSError as error:
        raise _unavailable(error) from None


def _unavailable(error: OSError) -> Unavailable:
    if error.errno in _NOT_THERE:
        remedy = "use a kernel with CONFIG_INET_DIAG and CONFIG_UNIX_DIAG"
        return Unavailable(f"the kernel does not list sockets ({error.strerror})", remedy)
    return Unavailable(f"the kernel did not list the sockets ({error.strerror})", "ask again, or less often")
