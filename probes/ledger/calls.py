"""From the steps of connections to the calls of requests.

`take` is told whose each step is: in a server with one request a thread that is `step.request`, in an event loop what
the flow says. Of an exchange it counts who sent the first byte of it, or began to connect. Pure but for `rest_of`,
which looks up what the kernel only added up so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.conversations import Conversation
from perfwatch.probes.records import MAX_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.probes.ledger.exchanges import Exchange, Rest
    from perfwatch.probes.ledger.step_events import Ends, StepEvent
    from perfwatch.probes.records import Call, Wait

MAX_CONVERSATIONS: Final = 2048
"""Connections that are remembered; of more, those that were used last."""


def placed(calls: tuple[Call, ...], waits: Sequence[Wait]) -> tuple[Call, ...]:
    """Give each call the place in the request's code at which its answer was waited for, where that is known."""
    places = [wait for wait in waits if wait.bucket == "calls" and wait.stack is not None]
    return tuple(_at_place(call, places) for call in calls) if places else calls


def _at_place(call: Call, waits: Sequence[Wait]) -> Call:
    for wait in waits:
        if wait.peer == call.peer and call.started_ns <= wait.started_ns <= call.ended_ns:
            return msgspec.structs.replace(call, stack=wait.stack)
    return call


class Calls:
    """Those of all requests that are under way; one for each run of the ledger."""

    def __init__(
        self, unix_name: Callable[[bytes], str | None], rest_of: Callable[[int], Rest | None] = lambda _: None
    ) -> None:
        self._unix_name, self._rest_of = unix_name, rest_of
        self._conversations: dict[int, Conversation] = {}
        self._exchanges: dict[int, list[Exchange]] = {}
        self._lost: dict[int, int] = {}  # of those that have as many as are kept

    def take(self, step: StepEvent, owner: int | None) -> Exchange | None:
        """Take in a step of a connection, and whose it is, if that is known; returns the exchange that it begins."""
        if step.ends is None:
            return None
        conversation = self._conversation(step, step.ends)
        begun = None
        if step.step == steps.CONNECTING:
            begun = conversation.connecting(step, owner, step.at_ns)
        elif step.step == steps.CONNECTED:
            if conversation.current is None:  # a Unix socket, of which nothing is told before it is used
                begun = conversation.connecting(step, owner, step.since_ns)
            conversation.connected(step, self._local(step.ends))
        elif step.step == steps.SENT:
            begun = conversation.sent(step, owner, step.ends.head, self._local(step.ends))
        elif step.step == steps.RECEIVED:
            conversation.received(step, step.ends.head)
        elif step.step == steps.CLOSED:
            conversation.closed(step)
            del self._conversations[step.connection]
        if begun and owner is not None:
            self.give(begun, owner)
        return begun

    def give(self, exchange: Exchange, owner: int) -> None:
        """Settle whose an exchange is."""
        exchange.owner = owner
        kept = self._exchanges.setdefault(owner, [])
        if len(kept) < MAX_CALLS:
            kept.append(exchange)
        else:
            self._lost[owner] = self._lost.get(owner, 0) + 1

    def owner_of(self, connection: int) -> int | None:
        """Return the request whose call is under way on a connection."""
        conversation = self._conversations.get(connection)
        current = conversation.current if conversation else None
        return current.owner if current and not current.is_over else None

    def move(self, connection: int, owner: int) -> None:
        """Give the call that is under way on a connection to the request that made it, as showed later."""
        conversation = self._conversations.get(connection)
        exchange = conversation.current if conversation else None
        if exchange is None:
            return
        kept = self._exchanges.get(exchange.owner, []) if exchange.owner is not None else []
        if exchange in kept:
            kept.remove(exchange)
        self.give(exchange, owner)

    def of(self, request: int, until_ns: int) -> tuple[Call, ...]:
        """Return the calls that a request began before a moment, in the order of their starts."""
        if request not in self._exchanges:
            return ()
        begun = [each for each in self._exchanges[request] if each.started_ns < until_ns]
        return tuple(
            each.call(until_ns, self._rest_of(each.connection) if self._is_current(each) else None)
            for each in sorted(begun, key=lambda each: each.started_ns)
        )

    def lost(self, request: int) -> int:
        """Return how many of its calls were too many to be kept."""
        return self._lost.get(request, 0)

    def forget(self, request: int) -> None:
        """Let go of a request that has been told for good."""
        if self._exchanges.pop(request, None) is not None:
            self._lost.pop(request, None)

    @property
    def requests(self) -> set[int]:
        """Those of which something is kept."""
        return set(self._exchanges)

    def _is_current(self, exchange: Exchange) -> bool:
        conversation = self._conversations.get(exchange.connection)
        return conversation is not None and conversation.current is exchange

    def _conversation(self, step: StepEvent, ends: Ends) -> Conversation:
        known = self._conversations.pop(step.connection, None)
        if known is None or step.step == steps.CONNECTING:
            known = Conversation(step.connection, ends.peer.text(self._unix_name), ends.peer.port)
        self._conversations[step.connection] = known  # the one that was used last stands last
        if len(self._conversations) > MAX_CONVERSATIONS:
            del self._conversations[next(iter(self._conversations))]
        return known

    def _local(self, ends: Ends) -> str:
        return ends.local.text(self._unix_name)
