"""One connection's conversation: which protocol it is, and what each turn asks.

What is seen decides; a port only says what a weak likeness is likely to be. Once seen, a protocol stays, but for TLS
that is begun inside of another (PostgreSQL, MySQL). What is said within TLS is known where the kernel has read it in
the clear, as the process wrote it.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from perfwatch.probes.protocols import (
    amqp,
    dns,
    http1,
    http2,
    kafka,
    memcached,
    mongodb,
    mysql,
    nats,
    postgresql,
    redis,
    tls,
)
from perfwatch.probes.protocols.turn import Memory, Said, Turn
from perfwatch.probes.records import MAX_OPERATION_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.records import Protocol

MAX_HEAD_BYTES: Final = 128
"""More of what is said is not looked at: so much the kernel sends along (STEP_HEAD_BYTES)."""

_READERS: Final[dict[Protocol, Callable[[Said], Turn | None]]] = {  # the surest first
    "tls": tls.read,
    "http/1": http1.read,
    "http/2": http2.read,
    "amqp": amqp.read,
    "mongodb": mongodb.read,
    "redis": redis.read,
    "postgresql": postgresql.read,
    "nats": nats.read,
    "mysql": mysql.read,
    "memcached": memcached.read,
    "kafka": kafka.read,
    "dns": dns.read,
}
_BEGINNINGS: Final[dict[Protocol, bytes]] = {
    "tls": bytes(range(tls.CHANGE_CIPHER, tls.DATA + 1)), "http/1": ascii_uppercase.encode(), "amqp": b"A\1\2\3\x08",
    "redis": b"*", "nats": b"CHPSU", "memcached": b"\x80" + ascii_lowercase.encode(),
}  # fmt: skip
"""What these begin with; all others may begin with anything."""
_BY_FIRST_BYTE: Final = [
    [(protocol, read) for protocol, read in _READERS.items() if byte in _BEGINNINGS.get(protocol, (byte,))]
    for byte in range(256)
]
_BY_PORT: Final[dict[int, Protocol]] = {
    53: "dns", 443: "tls", 3306: "mysql", 4222: "nats", 5432: "postgresql", 5433: "postgresql", 5671: "tls",
    5672: "amqp", 6379: "redis", 6432: "postgresql", 8443: "tls", 9092: "kafka", 11211: "memcached", 26379: "redis",
    27017: "mongodb",
}  # fmt: skip


class Speech:
    """What is known of one connection."""

    def __init__(self, port: int) -> None:
        self._memory = Memory()
        self._likely: Protocol | None = _BY_PORT.get(port)
        self._at_dns = self._likely == "dns"  # too weak a likeness to be believed at another port
        self._port = port
        self._inside: Speech | None = None
        """What is said within TLS, as far as it is known."""
        self.protocol: Protocol = "unknown"
        self.is_encrypted = False

    def sent(self, head: bytes, size: int) -> Turn:
        """Take in the first bytes of a turn, of `size` in all."""
        head, clear = tls.uncovered(head[:MAX_HEAD_BYTES])
        if self._begins_tls(head):
            self.is_encrypted = True
            self.protocol = "tls" if self.protocol in {"unknown", "http/1"} else self.protocol
        turn = self._read(head, max(size, len(head)))
        if self.is_encrypted:
            return self._said_inside(turn, clear, size)
        if turn.protocol == "grpc" or self.protocol == "unknown":
            self.protocol = turn.protocol
        operation = turn.operation[:MAX_OPERATION_CHARS] if turn.operation else None
        return replace(turn, protocol=self.protocol, operation=operation)

    def _said_inside(self, turn: Turn, clear: bytes | None, size: int) -> Turn:
        if clear is not None and turn.phase == "asking":
            self._inside = self._inside or Speech(self._port if self._likely != "tls" else 0)
            inner = self._inside.sent(clear, max(size - tls.HEADER_BYTES, len(clear)))
            if inner.protocol != "unknown":
                return inner
        known = self._inside.protocol if self._inside else "unknown"
        return Turn(self.protocol if known == "unknown" else known, phase=turn.phase)

    def received(self, head: bytes, size: int) -> None:
        """Take in the first bytes of an answer, or of what a server says before it is asked."""
        head = head[:MAX_HEAD_BYTES]
        if self.protocol == "unknown" and mysql.is_greeting(head):
            self.protocol = "mysql"
        elif self.protocol == "unknown" and nats.is_greeting(head):
            self.protocol = "nats"
        elif self.protocol == "mysql":
            mysql.learn(Said(head, size, known=True, memory=self._memory))

    @property
    def is_secured(self) -> bool:
        """Whether a TLS handshake has ended: what is received from now on is no part of it."""
        return self._memory.handshake == "over"

    def _begins_tls(self, head: bytes) -> bool:
        return head[:1] == b"\x16" and tls.is_hello(list(tls.fragments(head)))

    def _read(self, head: bytes, size: int) -> Turn:
        if self.is_encrypted:
            return self._by("tls", head, size, known=True) or Turn("tls")
        if self.protocol != "unknown":
            known = "http/2" if self.protocol == "grpc" else self.protocol
            return self._by(known, head, size, known=True) or Turn(self.protocol)
        said = Said(head, size, known=False, memory=self._memory)
        for protocol, read in _BY_FIRST_BYTE[head[0]] if head else ():
            if (protocol != "dns" or self._at_dns) and (turn := read(said)):
                self.is_encrypted = turn.protocol == "tls"
                return turn
        return (self._likely and self._by(self._likely, head, size, known=True)) or Turn("unknown")

    def _by(self, protocol: Protocol, head: bytes, size: int, *, known: bool) -> Turn | None:
        return _READERS[protocol](Said(head, size, known, self._memory))
