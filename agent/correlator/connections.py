"""What TCP connections cost before the first byte of a request: set-up and TLS, by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.model_queues import ConnectionSetup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import Connection

Role: TypeAlias = Literal["accepted", "connected"]
ROLES: Final[tuple[Role, ...]] = ("accepted", "connected")
_KEPT: Final = 2048
_MAX_PEERS: Final = 64
_SELDOM: Final = 0.2


class Handshakes(NamedTuple):
    """TLS handshakes of which it is known whether they resumed a session."""

    shaken: int = 0
    resumed: int = 0
    spent_ns: int = 0

    @property
    def mean_ns(self) -> float:
        """How long one took."""
        return self.spent_ns / self.shaken if self.shaken else 0.0

    def is_unresumed(self, least: int) -> bool:
        """Whether hardly any of them was resumed, of at least so many."""
        return self.shaken >= least and self.resumed <= _SELDOM * self.shaken

    def plus(self, one: Connection, sign: int) -> Handshakes:
        """Return them with one more; with sign -1 with one less."""
        spent_ns = self.spent_ns + sign * (one.tls_ns or 0)
        return Handshakes(self.shaken + sign, self.resumed + sign * bool(one.resumed), spent_ns)


_NONE: Final = Handshakes()


class _Sums:
    """Sums over the connections of one side; what was added can be taken back."""

    __slots__ = ("count", "resets", "retransmits", "setup_count", "setup_ns", "tls_count", "tls_ns", "tls_resumed")

    def __init__(self) -> None:
        self.count = self.setup_count = self.setup_ns = self.retransmits = self.resets = 0
        self.tls_count = self.tls_ns = self.tls_resumed = 0

    def add(self, one: Connection, sign: int = 1) -> None:
        self.count += sign
        self.retransmits += sign * one.retransmits
        self.resets += sign * one.reset
        if one.setup_ns is not None:
            self.setup_count += sign
            self.setup_ns += sign * one.setup_ns
        if one.tls_ns is not None:
            self.tls_count += sign
            self.tls_ns += sign * one.tls_ns
            self.tls_resumed += sign * bool(one.resumed)

    def made(self, role: Role) -> ConnectionSetup:
        return ConnectionSetup(
            role=role,
            count=self.count,
            setup_ms=self.setup_ns / self.setup_count / 1e6 if self.setup_count else None,
            tls_count=self.tls_count,
            tls_resumed=self.tls_resumed,
            tls_ms=self.tls_ns / self.tls_count / 1e6 if self.tls_count else None,
            retransmits=self.retransmits,
            resets=self.resets,
        )


class Connections:
    """All connections that the wire showed, summed; the last 2,048 at least can be corrected."""

    def __init__(self) -> None:
        self._sums: dict[Role, _Sums] = {role: _Sums() for role in ROLES}
        self._known: Recent[int, Connection] = Recent(_KEPT)
        self._handshakes: dict[tuple[Role, str | None], Handshakes] = {}

    def add(self, connection: Connection) -> None:
        """Take in a connection, in place of what was said of it before; costs about 2 us."""
        earlier = self._known.pop(connection.id)
        if earlier is not None:
            self._sums[earlier.role].add(earlier, -1)
            self._shake(earlier, -1)
        self._known.put(connection.id, connection)
        self._sums[connection.role].add(connection)
        self._shake(connection, 1)

    def handshakes(self, role: Role, peer: str | None) -> Handshakes:
        """Return the TLS handshakes with one peer, or with all; of more than 64 peers some are not told apart."""
        return self._handshakes.get((role, peer), _NONE)

    def _shake(self, one: Connection, sign: int) -> None:
        if one.tls_ns is None or one.resumed is None:
            return
        for key in ((one.role, one.peer), (one.role, None)) if one.role == "connected" else ((one.role, None),):
            if key in self._handshakes or len(self._handshakes) < _MAX_PEERS:
                self._handshakes[key] = self._handshakes.get(key, _NONE).plus(one, sign)

    def setups(self, span: Span) -> tuple[ConnectionSetup, ...]:
        """Return the costs by side, of the connections that began in a stretch of time; sides without any left out."""
        sums = self._sums
        if span.from_ns is not None:
            sums = {role: _Sums() for role in ROLES}
            for one in self._known.values():
                if span.from_ns <= _began_ns(one) <= span.until_ns:
                    sums[one.role].add(one)
        return tuple(_told(sums))


def _told(sums: dict[Role, _Sums]) -> Iterable[ConnectionSetup]:
    return (sums[role].made(role) for role in ROLES if sums[role].count)


def _began_ns(one: Connection) -> int:
    return one.at_ns if one.opened_ns is None else one.opened_ns
