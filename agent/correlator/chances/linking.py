"""Connections that are opened over and over: made of the sums of calls of an endpoint, when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model import Downstream

LEAST: Final = 10
_MOSTLY: Final = 0.45
"""A connection may be a call of its own, beside the one that it was opened for."""
_DATAGRAMS: Final = frozenset({"dns"})


class Opened(NamedTuple):
    """The connections to one peer that requests of an endpoint opened."""

    peer: str
    connections: int
    calls: int
    requests: int
    connect_ms: float
    tls_ms: float

    @property
    def saves_ms(self) -> float:
        """For each request."""
        return (self.connect_ms + self.tls_ms) / max(self.requests, 1)


def opened(downstream: Iterable[Downstream]) -> Iterator[Opened]:
    """Yield the peers whose connections are mostly used once."""
    by_peer: dict[str, Opened] = {}
    for one in downstream:
        if one.protocol in _DATAGRAMS:
            continue
        before = by_peer.get(one.peer, Opened(one.peer, 0, 0, 0, 0.0, 0.0))
        by_peer[one.peer] = Opened(
            one.peer,
            before.connections + one.connections,
            before.calls + one.count,
            max(before.requests, one.requests),
            before.connect_ms + one.connect_share * one.total_ms,
            before.tls_ms + one.tls_share * one.total_ms,
        )
    for peer in by_peer.values():
        if peer.connections >= LEAST and peer.connections >= _MOSTLY * peer.calls:
            yield peer
