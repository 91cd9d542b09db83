"""Blocks of headers from the pieces of frames that the kernel tells: HEADERS, CONTINUATION, PUSH_PROMISE (RFC 9113)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.ledger import frame_events as frames
from perfwatch.probes.ledger.http2.headers import Headers

if TYPE_CHECKING:
    from perfwatch.probes.ledger.frame_events import FrameEvent

MOST_BLOCK_BYTES: Final = 1 << 16
_PRIORITY_BYTES: Final = 5
_PROMISED_BYTES: Final = 4


class Block(NamedTuple):
    """A block that is complete."""

    first: FrameEvent
    """The first piece of it."""
    headers: dict[bytes, bytes]
    size: int
    """Of all its frames."""


class Blocks:
    """What goes one way of one connection: no other frame comes between those of a block."""

    def __init__(self, *, is_joined: bool) -> None:
        self._headers = Headers(is_joined=is_joined)
        self._first: FrameEvent | None = None
        self._frame = bytearray()  # the payload under way
        self._block = bytearray()
        self._size = 0

    def take(self, piece: FrameEvent) -> Block | None:
        """Take in the next piece; returns the block that it completes."""
        if piece.type != frames.CONTINUATION and not self._frame:
            self._first, self._size = piece, 0
            self._block.clear()
        self._frame += piece.head
        if piece.left:
            return None
        self._block += _fragment(bytes(self._frame), piece)
        self._size += piece.size
        self._frame.clear()
        if len(self._block) > MOST_BLOCK_BYTES:
            self._headers.lose()
            self._block.clear()
        return self._complete() if piece.flags & frames.END_HEADERS else None

    def _complete(self) -> Block | None:
        first, self._first = self._first, None
        headers = self._headers.read(bytes(self._block))
        self._block.clear()
        return Block(first, headers, self._size) if first and first.type == frames.HEADERS else None


def _fragment(payload: bytes, frame: FrameEvent) -> bytes:
    """Return what of a frame is of the block: without padding, priority and the number of a promised stream."""
    if frame.type == frames.CONTINUATION:
        return payload
    padding, at = 0, 0
    if frame.flags & frames.PADDED and payload:
        padding, at = payload[0], 1
    if frame.type == frames.PUSH:
        at += _PROMISED_BYTES
    elif frame.flags & frames.PRIORITY:
        at += _PRIORITY_BYTES
    return payload[at : max(len(payload) - padding, at)]
