"""The kernel's events about frames of HTTP/2, and about the connections that speak it. Layout: layout.bpf.h."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from perfwatch.probes.errors import Malformed
from perfwatch.probes.ledger.addresses import ENDS, Address, parse_ends

DATA, HEADERS, RESET, PUSH, CONTINUATION = 0, 1, 3, 5, 9
OPENED, CLOSED, LOST, RECORDS = range(0xF0, 0xF4)
"""enum frame_type"""
FROM_SERVER, IN_THE_DARK = 1, 2
"""enum frame_way"""
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
"""Flags of frames."""
LOOP_LANE, _, STREAM_LANE = range(1, 4)
"""enum lane"""
HEAD_BYTES: Final = 256
_BOOKED: Final = 16  # enum bucket: padded to a power of two
_FRAME: Final = struct.Struct(f"=IIQIIQQQIIIIIIIIII{_BOOKED}Q")
FRAME_BYTES: Final = _FRAME.size + HEAD_BYTES


class FrameEvent(NamedTuple):
    """A piece of a frame with headers, or the end of another one: what it means stands in layout.bpf.h."""

    at_ns: int
    pid: int
    tid: int
    connection: int
    request: int
    since_ns: int
    stream: int
    type: int
    flags: int
    way: int
    left: int
    lane: int
    untold_stream: int
    untold_bytes: int
    size: int
    """Of all of the frame, if it ends here."""
    booked_ns: tuple[int, ...]
    """As that of a step."""
    head: bytes

    def ends(self) -> tuple[Address, Address]:
        """Return both addresses of a connection, the server's first; OPENED has them."""
        return parse_ends(self.head[: ENDS.size])


def parse_frame(data: bytes) -> FrameEvent:
    """Read `struct passed_frame`; raises Malformed if it is shorter than it must be."""
    if len(data) < _FRAME.size:
        raise Malformed(f"a frame of {len(data)} bytes")
    f = _FRAME.unpack_from(data)
    head = data[_FRAME.size : _FRAME.size + f[17]]
    if len(head) < f[17] or (f[9] == OPENED and len(head) < ENDS.size):
        raise Malformed(f"a frame of {len(data)} bytes")
    return FrameEvent._make((*f[2:17], f[18:], head))
