"""What passes on one connection that the process opened itself: its setting up, and one exchange a turn.

Setting up takes until the session stands: the TCP connection, the greeting and login of PostgreSQL, MySQL, Redis, AMQP,
MongoDB, NATS and Kafka, and a proxy's CONNECT are told as connecting, a TLS handshake as such. It goes with the first
call if that follows within 1 ms, for the same request; else it is a call of its own, in which nothing was sent.

A turn is all that is sent until something is received: statements in a pipeline are one call, by the name of the first.
Of protocols that are not answered (publishes of NATS, AMQP and Kafka) each piece that begins one is. Where several
requests are under way on one connection, HTTP/2, it is not known which answer is whose: a turn is still one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.ledger.exchanges import Exchange
from perfwatch.probes.ledger.tickets import Tickets
from perfwatch.probes.protocols.conflicts import conflicts
from perfwatch.probes.protocols.speech import Speech

if TYPE_CHECKING:
    from perfwatch.probes.ledger.step_events import StepEvent
    from perfwatch.probes.protocols.turn import Turn

AT_ONCE_NS: Final = 1_000_000
_GOES_UNANSWERED: Final = frozenset({"nats", "amqp", "kafka"})
_STREAMS: Final = frozenset({"http/2", "grpc"})


class Conversation:
    """One connection."""

    def __init__(self, number: int, peer: str, port: int) -> None:
        self.speech = Speech(port)
        self._number = number
        self._peer, self._local = peer, ""
        self._setup: Exchange | None = None
        self._current: Exchange | None = None
        self._tickets: Tickets | None = None  # of a TLS handshake, while its first exchange is under way

    @property
    def current(self) -> Exchange | None:
        """The exchange that is under way, or was answered last."""
        return self._current or self._setup

    def connecting(self, step: StepEvent, owner: int | None, began_ns: int) -> Exchange:
        """Begin with setting it up."""
        self._setup = self._new(step, owner, began_ns)
        return self._setup

    def connected(self, step: StepEvent, local: str) -> None:
        """Note that the transport stands."""
        self._local = local
        if self._setup and self._setup.secured_ns is None:
            self._setup.local = local
            self._setup.connected_ns = self._setup.ended_ns = step.at_ns

    def sent(self, step: StepEvent, owner: int | None, head: bytes, local: str) -> Exchange | None:
        """Take in what was sent; returns the exchange that it begins, if it does."""
        self._local = local
        current = self._current
        asking = (
            current is not None and _same(current.owner, owner) and current.answered_ns is None and not current.is_over
        )
        if current and asking and not self._may_begin(current):
            current.send(step.at_ns, step.bytes)
            return None
        turn = self.speech.sent(head, step.bytes)
        if self._setup and turn.phase == "opening":
            self._set_up(step, self._setup)
            return None
        if current and (turn.phase == "chatter" or self._goes_on(turn, asking=asking)):
            self._go_on(step, current, turn, asking=asking)
            return None
        return self._begin(step, owner, turn) if turn.phase != "chatter" else None

    def received(self, step: StepEvent, head: bytes) -> None:
        """Take in a part of an answer."""
        current = self._current
        if current is None or current.is_over:
            self.speech.received(head, step.bytes)
            if self._setup and not self.speech.is_secured:
                self._set_up(step, self._setup)
            return
        if current.answered_ns is None:
            self.speech.received(head, step.bytes)
            current.conflict = conflicts(current.protocol, current.operation, head)
        if self._tickets and self._tickets.end_with(step, head):
            current.answered_ns = None
        current.receive(step.at_ns, step.since_ns, step.bytes)

    def closed(self, step: StepEvent) -> None:
        """Take in the end of the connection."""
        for each in (self._setup, self._current):
            if each and not each.is_over:
                each.end(step.at_ns, failed=True)

    def _new(self, step: StepEvent, owner: int | None, began_ns: int) -> Exchange:
        return Exchange(owner, step.tid, began_ns, step.at_ns, self._number, self._peer, self._local)

    def _set_up(self, step: StepEvent, setup: Exchange) -> None:
        if self.speech.is_encrypted:
            setup.secured_ns = step.at_ns
        else:
            setup.connected_ns = step.at_ns
        setup.ended_ns = step.at_ns
        setup.protocol = self.speech.protocol

    def _may_begin(self, current: Exchange) -> bool:
        """Whether a piece that follows a piece may be more than the rest of it."""
        return current.kind == "publish" and current.protocol in _GOES_UNANSWERED

    def _goes_on(self, turn: Turn, *, asking: bool) -> bool:
        """Whether it belongs to what was sent before: more of a publish, or a body after `100 Continue`."""
        return turn.operation is None and (asking or turn.protocol == "http/1")

    def _go_on(self, step: StepEvent, current: Exchange, turn: Turn, *, asking: bool) -> None:
        if asking:
            current.send(step.at_ns, step.bytes)
        elif turn.phase == "chatter":
            current.is_over = turn.protocol not in _STREAMS
        else:
            current.answered_ns = current.read_ns = None
            current.is_over = False
            current.send(step.at_ns, step.bytes)

    def _begin(self, step: StepEvent, owner: int | None, turn: Turn) -> Exchange | None:
        if self._current and not self._current.is_over:
            self._current.end(step.at_ns, failed=False)
        setup, self._setup = self._setup, None
        self._tickets = _tickets_of(setup) if setup else None
        is_first = setup is not None and _same(setup.owner, owner) and step.at_ns - setup.ended_ns <= AT_ONCE_NS
        if setup and not is_first:
            setup.is_over = True
        exchange = setup if setup and is_first else self._new(step, owner, step.at_ns)
        exchange.protocol, exchange.operation, exchange.kind = turn.protocol, turn.operation, turn.kind
        exchange.asked_ns, exchange.tid, exchange.local = step.at_ns, step.tid, self._local
        exchange.send(step.at_ns, step.bytes)
        self._current = exchange
        return None if exchange is setup and setup.owner is not None else exchange


def _same(owner: int | None, other: int | None) -> bool:
    """Whether both may be the same: of what a worker does it may show later for whom it was."""
    return owner == other or owner is None or other is None


def _tickets_of(setup: Exchange) -> Tickets | None:
    if setup.secured_ns is None or setup.connected_ns is None:
        return None
    return Tickets(setup.secured_ns, setup.connected_ns - setup.started_ns)
