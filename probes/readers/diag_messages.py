"""What SOCK_DIAG answers, from bytes to values: pure.

Structs are tables of (code, field) in the kernel's order (linux/inet_diag.h, linux/tcp.h, linux/unix_diag.h); a kernel
that is older than a field sends a shorter struct, and the field is None.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate
from socket import AF_INET, AF_INET6
from typing import Final

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.netlink import attributes
from perfwatch.probes.readers.proc import text

STATES: Final = (
    "",
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
    *("CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
"""By the kernel's number (net/tcp_states.h); Unix sockets use some of them."""
LISTEN: Final = STATES.index("LISTEN")

# struct inet_diag_msg: family, state, timer, retrans, id, expires, rqueue, wqueue, uid, inode.
# struct inet_diag_sockid, 48 bytes: source and destination port (big-endian), addresses, interface, cookie.
_INET: Final = struct.Struct("=BBBB48sIIIII")
_ID: Final = struct.Struct("=2s2s16s16sIQ")
_INFO, _SKMEMINFO = 2, 7
# struct unix_diag_msg: family, type, state, pad, inode, cookie.
_UNIX: Final = struct.Struct("=BBBBIQ")
_NAME, _PEER, _RQLEN, _MEMINFO = 0, 2, 4, 5
_U32: Final = struct.Struct("=I")
_QUEUES: Final = struct.Struct("=II")
_DROPS: Final = struct.Struct("=8I I")  # rmem, rcvbuf, wmem, sndbuf, forward, queued, options, backlog; drops

_TCP_INFO: Final = tuple(
    (code, name)
    for code, names in (
        ("B", "state ca_state retransmits probes backoff options wscale flags"),
        ("I", "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets"),
        ("I", "last_data_sent last_ack_sent last_data_recv last_ack_recv"),
        ("I", "pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans"),
        ("Q", "pacing_rate max_pacing_rate bytes_acked bytes_received"),
        ("I", "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out"),
        ("Q", "delivery_rate busy_time rwnd_limited sndbuf_limited"),
    )
    for name in names.split()
)
_TCP: Final = struct.Struct("=" + "".join(code for code, _ in _TCP_INFO))
_TCP_PLACES: Final = {name: place for place, (_, name) in enumerate(_TCP_INFO)}
_TCP_ENDS: Final = tuple(accumulate(struct.calcsize("=" + code) for code, _ in _TCP_INFO))


class TcpInfo(msgspec.Struct, frozen=True):
    """What TCP knows of a connection; None where the kernel does not say. Sums are since it was set up."""

    rtt_ns: int | None
    """Smoothed; None before the first measurement."""
    retransmits: int | None
    """Segments sent again."""
    sent_bytes: int | None
    """Acknowledged by the peer; the connecting side's SYN counts as one."""
    received_bytes: int | None
    busy_ns: int | None
    """With data to send under way."""
    rwnd_limited_ns: int | None
    """Of which: the peer's receive window was full."""
    sndbuf_limited_ns: int | None
    """Of which: the send buffer was too small."""
    last_received_ns: int | None
    """How long ago data came; in steps of the kernel's tick (1-10 ms)."""


NO_TCP_INFO: Final = TcpInfo(*[None] * len(TcpInfo.__struct_fields__))


class InetMessage(msgspec.Struct, frozen=True):
    """A TCP socket as the kernel describes it, in the order of its struct; the rest is made on demand."""

    family: int
    state: int
    """An index of `STATES`."""
    timer: int
    """What it waits for: 1 to send again, 4 to ask whether the peer's window is still closed; 0 for nothing."""
    timer_retries: int
    id: bytes
    """Ports, addresses, interface and cookie: what an exact request sends back."""
    timer_ms: int
    recv_q: int
    send_q: int
    uid: int
    inode: int
    """0: no process has it open; it is not accepted yet, or closed already."""
    rest: bytes
    """The attributes."""

    @property
    def cookie(self) -> int:
        """The kernel's number of the socket, never used again: SO_COOKIE."""
        cookie: int = _ID.unpack(self.id)[5]
        return cookie

    @property
    def port(self) -> int:
        """The local port."""
        return int.from_bytes(self.id[:2], "big")

    @property
    def local(self) -> str:
        """`10.0.0.5:5432`, `[::1]:53`."""
        port, _, host, *_ = _ID.unpack(self.id)
        return address(self.family, host, port)

    @property
    def peer(self) -> str | None:
        """As `local`; None for a listening socket."""
        _, port, _, host, *_ = _ID.unpack(self.id)
        return None if self.state == LISTEN else address(self.family, host, port)

    @property
    def figures(self) -> tuple[TcpInfo | None, int | None]:
        """What TCP knows of it, and the packets that it threw away; None where that was not asked for.

        A listening socket has no figures of TCP. Raises Malformed.
        """
        found = attributes(self.rest, 0)
        info = found.get(_INFO)
        tcp = None if info is None or self.state == LISTEN else parse_tcp_info(info)
        return tcp, parse_drops(found.get(_SKMEMINFO, b""))


class UnixMessage(msgspec.Struct, frozen=True):
    """A Unix socket as the kernel describes it, in the order of its struct; the rest is made on demand.

    What is made raises Malformed where the kernel's attributes are broken.
    """

    family: int
    type: int
    """SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET."""
    state: int
    """An index of `STATES`."""
    pad: int
    inode: int
    cookie: int
    rest: bytes
    """The attributes."""

    @property
    def name(self) -> str | None:
        """`/run/x.sock`, `@abstract`; untrusted. None where it was not bound."""
        return _unix_name(self._attributes.get(_NAME, b""))

    @property
    def peer_inode(self) -> int | None:
        """Of the other end; None for a listening socket."""
        peer = self._attributes.get(_PEER, b"")
        return _U32.unpack_from(peer)[0] if len(peer) >= _U32.size else None

    @property
    def queues(self) -> tuple[int, int]:
        """What can be read, in bytes, and the memory of what the other end has not read.

        Of a listening socket: the connections that were not accepted, and the limit of its accept queue.
        """
        data = self._attributes.get(_RQLEN, b"")
        recv_q, send_q = _QUEUES.unpack_from(data) if len(data) >= _QUEUES.size else (0, 0)
        return recv_q, send_q

    @property
    def drops(self) -> int | None:
        """Packets that it threw away."""
        return parse_drops(self._attributes.get(_MEMINFO, b""))

    @property
    def _attributes(self) -> dict[int, bytes]:
        return attributes(self.rest, 0)


def parse_inet(content: bytes) -> InetMessage:
    """Read `struct inet_diag_msg`; raises Malformed if it is shorter than it must be."""
    if len(content) < _INET.size:
        raise Malformed(f"a socket of {len(content)} bytes")
    return InetMessage(*(*_INET.unpack_from(content), content[_INET.size :]))


def parse_tcp_info(data: bytes) -> TcpInfo:
    """Read `struct tcp_info` as far as the kernel fills it."""
    known = len(data)
    values = _TCP.unpack(data[: _TCP.size].ljust(_TCP.size, b"\0"))

    def value(name: str, unit: int = 1) -> int | None:
        place = _TCP_PLACES[name]
        return values[place] * unit if _TCP_ENDS[place] <= known else None

    return TcpInfo(
        rtt_ns=value("rtt", 1_000) or None,
        retransmits=value("total_retrans"),
        sent_bytes=value("bytes_acked"),
        received_bytes=value("bytes_received"),
        busy_ns=value("busy_time", 1_000),
        rwnd_limited_ns=value("rwnd_limited", 1_000),
        sndbuf_limited_ns=value("sndbuf_limited", 1_000),
        last_received_ns=value("last_data_recv", 1_000_000),
    )


def parse_drops(data: bytes) -> int | None:
    """Read the last field of SK_MEMINFO; None where the kernel has none (before 4.7)."""
    return _DROPS.unpack_from(data)[8] if len(data) >= _DROPS.size else None


def parse_unix(content: bytes) -> UnixMessage:
    """Read `struct unix_diag_msg`; raises Malformed if it is shorter than it must be."""
    if len(content) < _UNIX.size:
        raise Malformed(f"a Unix socket of {len(content)} bytes")
    return UnixMessage(*(*_UNIX.unpack_from(content), content[_UNIX.size :]))


def state_name(state: int) -> str:
    """Return the name of a TCP or Unix socket's state; its number where a newer kernel has more of them."""
    return STATES[state] if 0 < state < len(STATES) else str(state)


@lru_cache(maxsize=4096)
def address(family: int, host: bytes, port: bytes) -> str:
    """Return `10.0.0.5:5432` or `[::1]:53`; an IPv4 address in IPv6 clothes as what it is. Both in network order."""
    number = int.from_bytes(port, "big")
    if family == AF_INET:
        return f"{IPv4Address(host[:4])}:{number}"
    if family != AF_INET6:
        raise Malformed(f"a TCP socket of address family {family}")
    inner = IPv6Address(host)
    return f"{inner.ipv4_mapped}:{number}" if inner.ipv4_mapped else f"[{inner}]:{number}"


def _unix_name(raw: bytes) -> str | None:
    """Decode a path, ended by NUL or not; or a name of the abstract name space, which begins with one."""
    if raw[:1] == b"\0":
        return "@" + text(raw[1:])
    return text(raw.split(b"\0", 1)[0]) or None
