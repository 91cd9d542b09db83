"""Slow against normal: what a slow request has that the normal ones of its endpoint have not is why it is slow.

What both have is the endpoint's base cost: it would be there if nothing were wrong. So where the normal ones are known
well, a slow latency is weighed by what it has beyond them. Every normal request counts for the mean ledger; by
mechanism the first 64 are summed, and then one of 16: their rules cost more than counting them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import amount, counted, milliseconds
from perfwatch.agent.correlator.looks import NOBODY
from perfwatch.agent.correlator.weighing import Balance, Weighing, estimated, weigh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Evidence, Mechanism

KNOWN_WELL: Final = 20
_ALL_OF: Final = 64
_ONE_OF: Final = 16
_LEAST_PART: Final = 0.1
"""Of an endpoint's requests: where fewer are normal, slow is what it usually is."""
_LEAST_MORE: Final = 0.25
_LEAST_MORE_NS: Final = 5_000_000
_IS_OF_IT: Final = 0.2
_INDIRECT: Final = 0.9
"""What a confidence is worth that stands on a difference of means."""
_NOTABLE: Final = 0.1
_NAMED: Final = 2


class Normal(NamedTuple):
    """What the normal requests of an endpoint are like, on average."""

    balance: Balance
    requests: int
    """All of them, and not only those whose mechanisms are known."""


class NormalSums:
    """The mechanisms of an endpoint's requests that were not slow, summed; what was added can be taken back."""

    __slots__ = ("_balance", "count")

    def __init__(self) -> None:
        self.count = 0
        self._balance = Balance(0, {}, 0)

    def wants(self, nth: int) -> bool:
        """Whether the nth request of the endpoint is to be summed, if it is a normal one."""
        return self.count < _ALL_OF or nth % _ONE_OF == 0

    def add(self, balance: Balance, sign: int = 1) -> None:
        """Add a request; with sign -1 take it back."""
        mine = self._balance
        for mechanism, spent_ns in balance.spent_ns.items():
            mine.spent_ns[mechanism] = mine.spent_ns.get(mechanism, 0) + sign * spent_ns
        self.count += sign
        self._balance = Balance(
            mine.total_ns + sign * balance.total_ns,
            mine.spent_ns,
            mine.other_ns + sign * balance.other_ns,
            mine.readings + sign * balance.readings,
            mine.suspended_ns + sign * balance.suspended_ns,
            mine.looks if balance.looks is NOBODY else mine.looks.plus(balance.looks, sign),
        )

    def known(self, normal_count: int, count: int) -> Normal | None:
        """Return the mean, if of all `count` requests enough were normal, and measured, to tell what that is."""
        if self.count < KNOWN_WELL or normal_count < _LEAST_PART * count or self._balance.readings:
            return None
        sums = estimated(self._balance)
        mean = {name: spent_ns // self.count for name, spent_ns in sums.spent_ns.items() if spent_ns > 0}
        total_ns, other_ns = sums.total_ns // self.count, max(sums.other_ns, 0) // self.count
        return Normal(Balance(total_ns, mean, other_ns, 0, sums.suspended_ns // self.count), normal_count)


def beyond(balance: Balance, normal: Normal | None) -> Balance | None:
    """Return what a slow latency has that normal ones have not; None where that is not known, or next to nothing."""
    if normal is None or balance.readings:
        return None
    usual = normal.balance
    if balance.total_ns - usual.total_ns < max(_LEAST_MORE * usual.total_ns, _LEAST_MORE_NS):
        return None
    more = {name: spent_ns - usual.spent_ns.get(name, 0) for name, spent_ns in balance.spent_ns.items()}
    spent = {name: spent_ns for name, spent_ns in more.items() if spent_ns > 0}
    other_ns = max(balance.other_ns - usual.other_ns, 0)
    unaccounted_ns = max(balance.unaccounted_ns - usual.unaccounted_ns, 0)
    suspended_ns = min(max(balance.suspended_ns - usual.suspended_ns, 0), other_ns)
    return Balance(sum(spent.values()) + other_ns + unaccounted_ns, spent, other_ns, 0, suspended_ns)


def weigh_against(balance: Balance, normal: Normal | None) -> Weighing:
    """Weigh a latency by what it has beyond the normal ones, or as it is; the share is of all of it either way."""
    own, more = weigh(balance), beyond(balance, normal)
    if more is None:
        return own
    by_more = weigh(more)
    if by_more.mechanism is None:
        if own.mechanism is None or more.part(more.spent_ns.get(own.mechanism, 0)) >= _IS_OF_IT:
            return own
        return Weighing(None, own.share, 0.0)
    if by_more.mechanism == own.mechanism:
        return own._replace(confidence=max(own.confidence, round(by_more.confidence * _INDIRECT, 3)))
    share = balance.part(balance.spent_ns[by_more.mechanism])
    return Weighing(by_more.mechanism, share, round(by_more.confidence * _INDIRECT, 3))


def compared(balance: Balance, normal: Normal | None, whose: str) -> Iterator[Evidence]:
    """Say what is normal, and what `whose` latency has beyond it."""
    more = beyond(balance, normal)
    if normal is None or more is None:
        return
    usual_ms, known = milliseconds(normal.balance.total_ns), counted(normal.requests, "request")
    told = f"normally {usual_ms:.1f} ms ({_largest(normal.balance)}; {known}); {whose} {{}} more: {_largest(more)}"
    yield amount("beyond_normal", balance.total_ns - normal.balance.total_ns, told)


def base_cost(balance: Balance, winner: Mechanism, normal: Normal | None) -> str:
    """Return what a summary adds where the largest part of a latency is its base cost, and not the cause."""
    largest = next(iter(balance.ranked()), winner)
    if normal is None or largest == winner or beyond(balance, normal) is None:
        return ""
    usual_ms = milliseconds(normal.balance.total_ns)
    return f"; the normal {usual_ms:.0f} ms are mostly {largest}" if largest in normal.balance.ranked()[:1] else ""


def _largest(balance: Balance) -> str:
    told = [
        f"{name} {milliseconds(balance.spent_ns[name]):.1f} ms"
        for name in balance.ranked()[:_NAMED]
        if balance.part(balance.spent_ns[name]) >= _NOTABLE
    ]
    return ", ".join(told) or "nothing that stands out"
