"""What the time of one call was spent on, stretch by stretch; and which calls of a request are of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import Call

Part: TypeAlias = Literal["connect", "tls", "send", "wait", "transfer"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)


class Shaped(Protocol):
    """Anything that says what was asked of whom, and how that went."""

    @property
    def peer(self) -> str:
        """Whom."""

    @property
    def protocol(self) -> str:
        """What is spoken."""

    @property
    def operation(self) -> str | None:
        """What was asked."""

    @property
    def kind(self) -> str:
        """Whether an answer was awaited."""

    @property
    def outcome(self) -> str:
        """Whether it came."""


One = TypeVar("One", bound=Shaped)


class Spent(NamedTuple):
    """The nanoseconds of one call, in order of time: they add up to all of it."""

    connect: int
    tls: int
    send: int
    wait: int
    """Until the first byte of the answer could be read."""
    transfer: int

    @property
    def total(self) -> int:
        """From its beginning to its end."""
        return sum(self)


def spent(call: Call) -> Spent:
    """Cut a call into its stretches; moments that are not known, or not in order, make empty ones.

    What failed before anything was sent was connecting.
    """
    start_ns, end_ns = call.started_ns, max(call.ended_ns, call.started_ns)
    connected_ns = call.ended_ns if call.connected_ns is None and call.sent_ns is None else call.connected_ns
    stood_ns = _between(start_ns, connected_ns, end_ns)
    secured_ns = _between(stood_ns, call.secured_ns, end_ns)
    sent_ns = _between(secured_ns, call.sent_ns, end_ns)
    answered_ns = end_ns if call.answered_ns is None else _between(sent_ns, call.answered_ns, end_ns)
    return Spent(
        stood_ns - start_ns, secured_ns - stood_ns, sent_ns - secured_ns, answered_ns - sent_ns, end_ns - answered_ns
    )


def is_new_connection(call: Call) -> bool:
    """Whether its connection was opened for it, or was to be."""
    return call.connected_ns is not None or call.sent_ns is None


def unread_ns(call: Call) -> int:
    """Return for how long its answer stood in the socket before a thread read of it; 0 where that is not known."""
    if call.read_ns is None or call.answered_ns is None:
        return 0
    return max(call.read_ns - call.answered_ns, 0)


def alike(calls: Iterable[One]) -> list[list[One]]:
    """Put together the calls that asked the same of the same peer and went the same way; by their first one."""
    found: dict[tuple[str | None, ...], list[One]] = {}
    for call in calls:
        key = (call.peer, call.protocol, call.operation, call.kind, call.outcome)
        found.setdefault(key, []).append(call)
    return list(found.values())


def _between(from_ns: int, moment_ns: int | None, until_ns: int) -> int:
    """Return a moment, where it is known and lies in between."""
    if moment_ns is None or moment_ns < from_ns:
        return from_ns
    return min(until_ns, moment_ns)
