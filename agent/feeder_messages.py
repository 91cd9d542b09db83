"""What goes between a feeder and the screen: an order, then messages, each a 4-byte length and a msgpack array.

It stands by itself so that the screen's process, which only reads them, need not load what collects.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

import msgspec

from perfwatch.agent.choices import Choices
from perfwatch.agent.model import SessionInfo  # noqa: TC001 - msgspec reads the annotations
from perfwatch.probes.records import Record  # noqa: TC001 - as above

LENGTH: Final = struct.Struct("=I")


def framed(message: bytes) -> bytes:
    """Return a message as it goes through the pipe."""
    return LENGTH.pack(len(message)) + message


def whole(stream: bytes | bytearray) -> tuple[list[bytes], int]:
    """Return the messages that are there to their end, and how many bytes these take."""
    messages, at = [], 0
    while len(stream) - at >= LENGTH.size:
        (length,) = LENGTH.unpack_from(stream, at)
        end = at + LENGTH.size + length
        if end > len(stream):
            break
        messages.append(bytes(stream[at + LENGTH.size : end]))
        at = end
    return messages, at


class Order(msgspec.Struct, frozen=True):
    """What the feeder is to do."""

    pids: tuple[int, ...]
    slow_ms: float | None
    output: str | None
    overwrite: bool
    parent: int
    choices: Choices = Choices()


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Attached: what the stream is about."""

    info: SessionInfo


class Records(msgspec.Struct, frozen=True, array_like=True, tag="records"):
    """Some of the stream."""

    records: tuple[Record, ...]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """It could not attach, or not go on."""

    problem: str
    remedy: str | None


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The target is gone."""

    reason: str


Message: TypeAlias = Hello | Records | Failed | Ended
