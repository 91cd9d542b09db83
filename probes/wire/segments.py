"""TCP segments out of packets: the headers of IPv4, IPv6 and TCP as struct tables; pure, nothing is kept.

Packets begin with the network header (the kernel knows where it is, whatever the link and its VLAN tags) and are cut
to the first bytes: how much payload there was is told by the length in the IP header. Segmentation offload makes
segments of up to 64 KiB, and more. Malformed packets are None. Source: RFC 791, 8200, 9293. Cost: 1 us a packet.
"""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache
from typing import Final, NamedTuple

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
SEQUENCE_SPACE: Final = 1 << 32
_HALF: Final = SEQUENCE_SPACE >> 1

# version and header length, total length, fragment offset, protocol, source, destination
_IPV4: Final = struct.Struct("!BxH2xHxB2x4s4s")
# version, payload length, next header, source, destination
_IPV6: Final = struct.Struct("!BxxxHBx16s16s")
# source port, destination port, sequence number, acknowledgement, data offset, flags
_TCP: Final = struct.Struct("!HHIIBB6x")
_TCP_PROTOCOL: Final = 6
_FRAGMENT: Final = 0x1FFF
_IPV4_BYTES, _IPV6_BYTES, _TCP_BYTES = 20, 40, 20


class Endpoint(NamedTuple):
    """One end of a connection."""

    address: bytes
    """4 or 16 bytes."""
    port: int


class Segment(NamedTuple):
    """One TCP segment."""

    source: Endpoint
    destination: Endpoint
    sequence: int
    acknowledged: int
    flags: int
    length: int
    """Bytes of payload, of which `payload` holds the first."""
    payload: bytes


def parse_segment(data: bytes, length: int) -> Segment | None:
    """Read a packet from its network header on; `length` is what it had before it was cut. None if it is not TCP."""
    if not data:
        return None
    version = data[0] >> 4
    if version == 4 and len(data) >= _IPV4_BYTES:  # noqa: PLR2004 - the protocol's version
        first, total, fragment, protocol, source, destination = _IPV4.unpack_from(data)
        header = (first & 0xF) * 4
        if header < _IPV4_BYTES or fragment & _FRAGMENT:
            return None
    elif version == 6 and len(data) >= _IPV6_BYTES:  # noqa: PLR2004
        _, total, protocol, source, destination = _IPV6.unpack_from(data)
        header, total = _IPV6_BYTES, total and total + _IPV6_BYTES
    else:
        return None
    if protocol != _TCP_PROTOCOL or len(data) < header + _TCP_BYTES:
        return None
    source_port, destination_port, sequence, acknowledged, offset, flags = _TCP.unpack_from(data, header)
    start = header + (offset >> 4) * 4
    end = total or length  # 0: larger than the field can say (BIG TCP)
    if start < header + _TCP_BYTES or end < start:
        return None
    payload = data[start : min(end, len(data))]
    ends = Endpoint(source, source_port), Endpoint(destination, destination_port)
    return Segment(*ends, sequence, acknowledged, flags, end - start, payload)


def behind(segment: Segment) -> int:
    """Return the sequence number that follows a segment's payload."""
    return (segment.sequence + segment.length) % SEQUENCE_SPACE


def ahead(sequence: int, of: int) -> int:
    """Return how far a sequence number is ahead of another; negative if it is behind. They wrap at 4 GiB."""
    return (sequence - of + _HALF) % SEQUENCE_SPACE - _HALF


@lru_cache(maxsize=4096)
def address_text(end: Endpoint) -> str:
    """Return `10.0.0.5:5432` or `[::1]:53`."""
    host = ipaddress.ip_address(end.address)
    if isinstance(host, ipaddress.IPv4Address):
        return f"{host}:{end.port}"
    return f"{host.ipv4_mapped}:{end.port}" if host.ipv4_mapped else f"[{host}]:{end.port}"
