"""The calls to other processes, summed by peer and operation: of a session, and of each endpoint."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from perfwatch.agent.correlator.call_times import is_new_connection, spent
from perfwatch.agent.model import Downstream, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.correlator.call_times import Spent
    from perfwatch.agent.model import Call

SHOWN: Final = 20
OTHERS: Final = "(others)"
"""In place of a peer, for what is beyond the limit."""
_Key: TypeAlias = tuple[str, Protocol, str | None, Literal["call", "publish"]]
_REST: Final[_Key] = (OTHERS, "unknown", None, "call")
_STEP_BITS: Final = 5
"""Durations are counted in 32 steps per octave: the middle of a step is at most 1.6 % away from any of them."""


class Called:
    """Of all requests, or those of one endpoint: at most `limit` kinds of calls, and the rest as one."""

    __slots__ = ("_limit", "_sums")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sums: dict[_Key, _Sum] = {}

    def take(self, calls: Iterable[tuple[Call, Spent]], *, is_more: bool) -> None:
        """Count the calls of one request; `is_more`: it was counted before, and these are those that it made since."""
        touched: dict[int, _Sum] = {}
        for call, times in calls:
            one = self._of((call.peer, call.protocol, call.operation, call.kind))
            one.add(call, times)
            touched[id(one)] = one
        for one in touched.values():
            one.requests += not is_more or not one.requests

    def largest(self) -> tuple[Downstream, ...]:
        """Return those that took longest, in all."""
        ranked = sorted(self._sums.items(), key=lambda item: (-item[1].total_ns, str(item[0])))
        return tuple(one.told(key) for key, one in ranked[:SHOWN])

    def _of(self, key: _Key) -> _Sum:
        one = self._sums.get(key)
        if one is None:
            one = self._sums.setdefault(key if len(self._sums) < self._limit else _REST, _Sum())
        return one


def timed(calls: Iterable[Call]) -> list[tuple[Call, Spent]]:
    """Pair each call with what its time was spent on."""
    return [(call, spent(call)) for call in calls]


class _Sum:
    """Calls of one kind."""

    __slots__ = (
        "_counts",
        "connect_ns",
        "connections",
        "count",
        "failed",
        "least_ns",
        "most_ns",
        "received_bytes",
        "requests",
        "sent_bytes",
        "tls_ns",
        "total_ns",
        "transfer_ns",
    )

    def __init__(self) -> None:
        self.count = self.requests = self.connections = self.failed = 0
        self.total_ns = self.connect_ns = self.tls_ns = self.transfer_ns = 0
        self.sent_bytes = self.received_bytes = 0
        self.least_ns, self.most_ns = 1 << 63, 0
        self._counts: dict[int, int] = {}

    def add(self, call: Call, times: Spent) -> None:
        total_ns = times.total
        self.count += 1
        self.total_ns += total_ns
        self.connect_ns += times.connect
        self.tls_ns += times.tls
        self.transfer_ns += times.transfer
        self.connections += is_new_connection(call)
        self.failed += call.outcome == "failed"
        self.sent_bytes += max(call.sent_bytes, 0)
        self.received_bytes += max(call.received_bytes, 0)
        self.least_ns, self.most_ns = min(self.least_ns, total_ns), max(self.most_ns, total_ns)
        step = _step(total_ns)
        self._counts[step] = self._counts.get(step, 0) + 1

    def told(self, key: _Key) -> Downstream:
        peer, protocol, operation, kind = key
        total_ns = self.total_ns or 1
        return Downstream(
            peer=peer,
            protocol=protocol,
            operation=operation,
            kind=kind,
            count=self.count,
            requests=self.requests,
            per_request=round(self.count / max(self.requests, 1), 2),
            p50_ms=self._quantile_ms(0.50),
            p95_ms=self._quantile_ms(0.95),
            total_ms=round(self.total_ns / 1e6, 6),
            connect_share=round(self.connect_ns / total_ns, 4),
            tls_share=round(self.tls_ns / total_ns, 4),
            transfer_share=round(self.transfer_ns / total_ns, 4),
            connections=self.connections,
            failed=self.failed,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
        )

    def _quantile_ms(self, quantile: float) -> float:
        steps = sorted(self._counts)
        passed = list(accumulate(self._counts[step] for step in steps))
        found_ns = _middle(steps[bisect_left(passed, ceil(quantile * self.count))])
        return round(min(max(found_ns, self.least_ns), self.most_ns) / 1e6, 6)


def _step(duration_ns: int) -> int:
    shift = max(duration_ns.bit_length() - _STEP_BITS - 1, 0)
    return (shift << _STEP_BITS) + (duration_ns >> shift)


def _middle(step: int) -> int:
    if step < 2 << _STEP_BITS:
        return step
    shift = (step >> _STEP_BITS) - 1
    return (((1 << _STEP_BITS) + step % (1 << _STEP_BITS)) << shift) + (1 << shift) // 2
