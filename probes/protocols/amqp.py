"""AMQP 0-9-1 (RabbitMQ): `basic.publish`, the method of the first frame that asks. Of AMQP 1.0 only that it is.

A frame: its type, a channel, a length, for a method its class and number, and 0xCE.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.protocols.turn import Said, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">HH")
_IS_METHOD, _HEARTBEAT = 1, 8
_TYPES: Final = (1, 2, 3, 8)
_CONNECTION: Final = 10
_END: Final = 0xCE
_METHODS: Final = {
    (10, 50): "connection.close", (20, 10): "channel.open", (20, 20): "channel.flow", (20, 40): "channel.close",
    (40, 10): "exchange.declare", (40, 20): "exchange.delete", (50, 10): "queue.declare", (50, 20): "queue.bind",
    (50, 30): "queue.purge", (50, 40): "queue.delete", (50, 50): "queue.unbind", (60, 10): "basic.qos",
    (60, 20): "basic.consume", (60, 30): "basic.cancel", (60, 40): "basic.publish", (60, 70): "basic.get",
    (60, 110): "basic.recover", (85, 10): "confirm.select", (90, 10): "tx.select", (90, 20): "tx.commit",
    (90, 30): "tx.rollback",
}  # fmt: skip


class Frame(NamedTuple):
    """One frame: its type, and the class and number of a method."""

    kind: int
    method: tuple[int, int]


def read(said: Said) -> Turn | None:
    """Read the header of the protocol, or frames."""
    if said.head.startswith(b"AMQP") and len(said.head) >= len(b"AMQP") + 4:
        return Turn("amqp", phase="opening")
    frames = list(_frames(said.head))
    if not frames or not (said.known or _is_whole(said.head)):
        return None
    for frame in frames:
        name = _METHODS.get(frame.method)
        if name:
            return Turn("amqp", name, "publish" if name == "basic.publish" else "call")
    opens = any(frame.method[0] == _CONNECTION for frame in frames)
    return Turn("amqp", phase="opening" if opens else "chatter")


def _frames(head: bytes) -> Iterator[Frame]:
    at = 0
    while at + _FRAME.size <= len(head):
        kind, _, length = _FRAME.unpack_from(head, at)
        if kind not in _TYPES:
            return
        at += _FRAME.size
        is_method = kind == _IS_METHOD and at + _METHOD.size <= len(head)
        yield Frame(kind, _METHOD.unpack_from(head, at) if is_method else (0, 0))
        at += length + 1


def _is_whole(head: bytes) -> bool:
    """Whether the first frame ends as one must."""
    _, _, length = _FRAME.unpack_from(head)
    end = _FRAME.size + length
    return bool(end < len(head) and head[end] == _END)
