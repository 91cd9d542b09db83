"""A packet socket of scapy's in a process's network namespace, with a filter in the kernel and a ring shared with it.

The ring (PACKET_RX_RING, version 2: one slot a packet) holds what the filter lets through, cut to the bytes it asks
for, with the kernel's own timestamp; reading a packet takes no system call. Where the reader is too slow, the kernel
drops packets and counts them. Interfaces are not put into promiscuous mode, nothing is sent, and closing the socket
takes all of it away.

Source: Documentation/networking/packet_mmap.rst, packet(7), since Linux 2.6.27. Needs CAP_NET_RAW in the target's
network namespace. Cost: below 0.5 us for each packet of the namespace, paid by its sender or receiver; 1 us for reading
one. A step of the wall clock between a packet and its reading, some 0.1 s, shifts its time.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self, TypeAlias

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.namespaces import network_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from scapy.arch.linux import L2ListenSocket

SLOT_BYTES: Final = 1 << 11
RING_BYTES: Final = 4 << 20
"""Of the kernel's memory: 2,048 packets, of at most `SLOT_BYTES` with 80 bytes of header."""
MAX_PACKETS: Final = 16_384
"""So many are given by one call of `packets`."""

_ETH_P_ALL, _UNUSED_PROTOCOL = 0x0003, 0x88B5  # IEEE 802 local experimental
_SO_ATTACH_FILTER: Final = 26
_SOL_PACKET, _PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _TPACKET_V2 = 263, 5, 6, 10, 1
_TO_KERNEL, _TO_USER = 0, 1
_OUTGOING, _LOOPBACK = 4, 772
_MAX_TRIED: Final = 64
_SECOND_NS: Final = 1_000_000_000

_RING: Final = struct.Struct("=IIII")  # block size, blocks, frame size, frames
_STATISTICS: Final = struct.Struct("=II")  # packets, of which dropped; since the last question
_STATUS: Final = struct.Struct("=I")
# struct tpacket2_hdr: length, bytes copied, offset of the link header, of the network header, seconds, nanoseconds;
# of struct sockaddr_ll behind it: interface, its hardware type, which way the packet went.
_SLOT: Final = struct.Struct("=4xIIHHII12xiHB")
# struct sock_fprog: a count, padding, and where the instructions are.
_PROGRAM: Final = struct.Struct("@HP")
# struct sockaddr_ll: family, protocol in network order, interface; the rest is for sending.
_ADDRESS: Final = struct.Struct("=HHi12x")
_INSTRUCTION_BYTES: Final = 8

REMEDY: Final = "run perfwatch as root, or with CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW)"


Way: TypeAlias = Literal["in", "out", "local"]


class Packet(NamedTuple):
    """What was copied of one packet, from its network header on."""

    at_ns: int
    """CLOCK_MONOTONIC, from the kernel's timestamp."""
    interface: int
    way: Way
    """Across an interface, or on the loopback, where both ends are this host's."""
    length: int
    """Of the whole packet, without the link header."""
    data: bytes


class Capture:
    """Packets of one network namespace, as a filter passes them; a context manager."""

    def __init__(self, pid: int, program: bytes) -> None:
        """`pid` names the namespace, `program` is the filter to begin with."""
        self._pid, self._program = pid, program
        self._socket: L2ListenSocket | None = None
        self._ring: mmap.mmap | None = None
        self._next = 0

    def __enter__(self) -> Self:
        """Open the socket; raises Unavailable or Vanished."""
        listen_socket = _scapy_socket_class()
        try:
            with network_of(self._pid):
                self._socket = _opened(listen_socket)
        except OSError as error:
            raise _unavailable(error) from None
        try:
            self._open(self._socket.ins)
        except OSError as error:
            self.close()
            raise _unavailable(error) from None
        return self

    def _open(self, packets: socket.socket) -> None:
        self.filter(self._program)
        packets.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        shape = _RING.pack(mmap.PAGESIZE, RING_BYTES // mmap.PAGESIZE, SLOT_BYTES, RING_BYTES // SLOT_BYTES)
        packets.setsockopt(_SOL_PACKET, _PACKET_RX_RING, shape)
        self._ring = mmap.mmap(packets.fileno(), RING_BYTES)
        _bind_everywhere(packets)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the ring and the socket back; may be called twice."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def filter(self, program: bytes) -> None:
        """Put another filter in the place of the present one; no packet is lost."""
        if self._socket is None:
            raise ValueError("the capture is not open")
        instructions = ctypes.create_string_buffer(program, len(program))
        options = _PROGRAM.pack(len(program) // _INSTRUCTION_BYTES, ctypes.addressof(instructions))
        self._socket.ins.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, options)

    def packets(self) -> Iterator[Packet]:
        """Yield what came since the last call, in order, at most `MAX_PACKETS`; a slot goes back when it was read."""
        ring = self._ring
        if ring is None:
            return
        now_ns = time.monotonic_ns()
        offset_ns = time.time_ns() - now_ns
        place = self._next
        for _ in range(MAX_PACKETS):
            if not _STATUS.unpack_from(ring, place)[0] & _TO_USER:
                break
            length, copied, link, network, seconds, nanoseconds, interface, hardware, way = _SLOT.unpack_from(
                ring, place
            )
            data = ring[place + network : place + link + copied]
            _STATUS.pack_into(ring, place, _TO_KERNEL)
            place = (place + SLOT_BYTES) % RING_BYTES
            self._next = place
            at_ns = seconds * _SECOND_NS + nanoseconds - offset_ns
            name: Way = "local" if hardware == _LOOPBACK else "out" if way == _OUTGOING else "in"
            yield Packet(at_ns, interface, name, length - network + link, data)

    def dropped(self) -> int:
        """Return how many packets found no free slot since the last call."""
        if self._socket is None:
            return 0
        raw = self._socket.ins.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        dropped: int = _STATISTICS.unpack(raw)[1]
        return dropped


def check(pid: int) -> None:
    """Raise Unavailable or Vanished where packets of a process's namespace may not be captured; captures none."""
    try:
        with network_of(pid), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0):
            return
    except OSError as error:
        raise _unavailable(error) from None


def _opened(listen_socket: type[L2ListenSocket]) -> L2ListenSocket:
    """Open scapy's socket on any interface that is up, for a protocol that nobody speaks.

    So nothing arrives before the filter and the ring are there.
    """
    names = sorted((name for _, name in socket.if_nameindex()), key=lambda name: name != "lo")
    for name in names[:_MAX_TRIED]:
        try:
            return listen_socket(iface=name, type=_UNUSED_PROTOCOL, promisc=False, nofilter=1)
        except OSError as error:
            if error.errno not in {errno.ENETDOWN, errno.ENODEV}:
                raise
    raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))


def _bind_everywhere(packets: socket.socket) -> None:
    """Listen on all interfaces, also those that come later: interface 0, which Python's own `bind` cannot name."""
    address = _ADDRESS.pack(socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0)
    if _libc.bind(packets.fileno(), address, len(address)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _scapy_socket_class() -> type[L2ListenSocket]:
    """Import scapy's packet socket when it is needed: that takes 0.1 s and reads the routes. It logs to our screen."""
    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    try:
        from scapy.arch.linux import L2ListenSocket  # noqa: PLC0415 - see above
    except (ImportError, OSError) as error:
        raise Unavailable(f"scapy cannot be used here ({error})", "pip install --upgrade scapy") from None
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # once more: the import sets its own
    return L2ListenSocket


def _unavailable(error: OSError) -> Unavailable:
    if isinstance(error, PermissionError):
        return Unavailable("packets may not be captured by this user", REMEDY)
    return Unavailable(
        f"packets cannot be captured here ({error.strerror or error})", "use a kernel with CONFIG_PACKET"
    )


_libc: Final = ctypes.CDLL(None, use_errno=True)
