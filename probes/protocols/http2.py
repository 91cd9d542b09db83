"""HTTP/2 and gRPC: only which of the two, for their headers are compressed against what was sent before.

A connection is known by its preface, or by a first frame that can be one. gRPC is known by its content type, written
out or in HPACK's Huffman code. RFC 9113, 7541.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from perfwatch.probes.protocols.turn import Said, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME: Final = struct.Struct(">HBBBI")  # length (upper 16 bits, lower 8), type, flags, stream
_DATA, _HEADERS, _CONTINUATION = 0, 1, 9
_GRPC: Final = (b"application/grpc", bytes.fromhex("1d75d0620d263d4c4d6564"))
_FIXED: Final = {2: 5, 3: 4, 6: 8, 8: 4}  # PRIORITY, RST_STREAM, PING, WINDOW_UPDATE: bytes that they have


def read(said: Said) -> Turn | None:
    """Read the preface, or frames."""
    opens = said.head.startswith(PREFACE[:14])
    rest = said.head[len(PREFACE) :] if opens else said.head
    kinds = list(_kinds(rest))
    if not opens and (not kinds or (not said.known and not _is_likely(rest))):
        return None
    if _DATA in kinds or _HEADERS in kinds or _CONTINUATION in kinds:
        return Turn("grpc" if any(name in said.head for name in _GRPC) else "http/2")
    return Turn("http/2", phase="opening" if opens else "chatter")


def _kinds(data: bytes) -> Iterator[int]:
    """Yield the types of the frames that begin in these bytes, as far as they are frames."""
    at = 0
    while at + _FRAME.size <= len(data):
        upper, lower, kind, _, _ = _FRAME.unpack_from(data, at)
        length = upper << 8 | lower
        if kind > _CONTINUATION or _FIXED.get(kind, length) != length:
            return
        yield kind
        at += _FRAME.size + length


def _is_likely(data: bytes) -> bool:
    """Whether the first frame could be nothing else: joined in mid-connection, it begins a stream of a client."""
    upper, lower, kind, flags, stream = _FRAME.unpack_from(data)
    length = upper << 8 | lower
    return bool(kind == _HEADERS and 0 < length < 1 << 14 and flags & ~0x2D == 0 and flags & 4 != 0 and stream % 2 == 1)
