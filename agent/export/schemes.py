"""Which listeners speak TLS: of a request one cannot tell, of its connection's first packets one can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from perfwatch.probes.samples import Connection

if TYPE_CHECKING:
    from perfwatch.agent.model import Record, ServedRequest


class Schemes:
    """What is known so far, of one session."""

    def __init__(self) -> None:
        self._secure: set[str] = set()
        self._plain: set[str] = set()

    def take(self, record: Record) -> None:
        """Learn from a connection that was accepted, and whose packets were seen from the first on."""
        if isinstance(record, Connection) and record.role == "accepted" and record.opened_ns is not None:
            (self._secure if record.tls_version else self._plain).add(_port(record.local))

    def of(self, record: ServedRequest) -> Literal["http", "https"] | None:
        """Return the scheme of a request; None where its connections were not seen."""
        port = _port(record.local)
        if port in self._secure:
            return "https"
        return "http" if port in self._plain else None


def _port(address: str) -> str:
    """Return the port alone: a listener may be bound to all addresses, and its connections have one of them."""
    return address.rpartition(":")[2]
