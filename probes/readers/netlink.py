"""Requests to the kernel by netlink, and its answers, cut into messages: the frame, not what is in it.

Every message begins with `struct nlmsghdr` (length, type, flags, sequence number, port); its content may end in
attributes, each with a `struct nlattr` (length, type) before it; all are padded to 4 bytes. An answer of several
messages ends with NLMSG_DONE, a refused request is answered by NLMSG_ERROR. Source: netlink(7), linux/netlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = struct.Struct("=i")
_KERNEL: Final = 0
_ERROR_TYPE: Final = 2
_DONE_TYPE: Final = 3
_REQUEST: Final = 0x1
_DUMP: Final = 0x300
_NESTED_BITS: Final = 0x3FFF
_ANSWER_BYTES: Final = 1 << 16
"""The kernel fills at most 32 KiB at a time."""
_PATIENCE: Final = struct.pack("@ll", 5, 0)
_BATCH: Final = 32
"""Requests under way at a time: their answers fit into the smallest receive buffer."""


class Netlink:
    """A netlink socket of one family, in the network namespace that the calling thread is in."""

    def __init__(self, family: int) -> None:
        """Open it; raises OSError where the kernel does not have the family."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Also ends an answer that is under way."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Ask for all of a kind and yield the content of each message; raises OSError, Malformed.

        An answer that is not read to its end leaves the socket unusable: close it then.
        """
        self._sequence += 1
        self._socket.send(request(kind, _REQUEST | _DUMP, self._sequence, body))
        while True:
            for type_, sequence, content in messages(self._receive()):
                if sequence != self._sequence:
                    continue
                if type_ == _DONE_TYPE:
                    return
                if type_ == _ERROR_TYPE:
                    raise _refusal(content)
                yield content

    def get(self, kind: int, bodies: list[bytes]) -> Iterator[bytes | None]:
        """Ask for single things and yield the content of each answer, in order; None for a request that is refused.

        Raises OSError, Malformed.
        """
        for start in range(0, len(bodies), _BATCH):
            yield from self._get_batch(kind, bodies[start : start + _BATCH])

    def _get_batch(self, kind: int, bodies: list[bytes]) -> list[bytes | None]:
        first = self._sequence + 1
        self._sequence += len(bodies)
        self._socket.send(b"".join(request(kind, _REQUEST, first + place, body) for place, body in enumerate(bodies)))
        answers: dict[int, bytes | None] = {}
        while len(answers) < len(bodies):
            for type_, sequence, content in messages(self._receive()):
                if first <= sequence <= self._sequence:
                    answers[sequence] = None if type_ == _ERROR_TYPE else content
        return [answers[sequence] for sequence in sorted(answers)]

    def _receive(self) -> bytes:
        """Return what the kernel sent next; whoever is privileged in that namespace may send too."""
        while True:
            data, (sender, _) = self._socket.recvfrom(_ANSWER_BYTES)
            if sender == _KERNEL:
                return data


def request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return one message to the kernel; `body` is a multiple of 4 bytes."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, content: bytes) -> bytes:
    """Return one attribute, padded."""
    return (_ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content).ljust(_padded(4 + len(content)), b"\0")


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Cut an answer into (type, sequence number, content); raises Malformed where a length cannot be true."""
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _HEADER.size:
            raise Malformed(f"{end - offset} bytes behind the last netlink message")
        length, type_, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= end - offset:
            raise Malformed(f"a netlink message of {length} bytes")
        yield type_, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int) -> dict[int, bytes]:
    """Return the attributes that follow a message's fixed part: type -> content; raises Malformed."""
    found: dict[int, bytes] = {}
    end = len(data)
    while end - offset >= _ATTRIBUTE.size:
        length, type_ = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= end - offset:
            raise Malformed(f"a netlink attribute of {length} bytes")
        found[type_ & _NESTED_BITS] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _refusal(content: bytes) -> Exception:
    if len(content) < _ERROR.size:
        return Malformed(f"a netlink error of {len(content)} bytes")
    number = -_ERROR.unpack_from(content)[0]
    return OSError(number, os.strerror(number))
