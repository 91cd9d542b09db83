"""Ledgers bucket by bucket: summed, many at a time, which costs a quarter of adding them one by one; made sound."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Final

from perfwatch.agent.model import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Bucket, Ledger

_TOGETHER: Final = 64


class BookedSums:
    """Sums over requests, in nanoseconds; what was added can be taken back."""

    __slots__ = ("_new", "_sums")

    def __init__(self) -> None:
        self._sums: Sequence[int] = (0,) * len(BUCKETS)
        self._new: list[tuple[int, ...]] = []
        """Not summed yet."""

    def add(self, booked_ns: tuple[int, ...], sign: int = 1) -> None:
        """Add a ledger; with sign -1 take it back."""
        if sign < 0:
            self._sums = tuple(map(sub, self._sums, booked_ns))
            return
        self._new.append(booked_ns)
        if len(self._new) == _TOGETHER:
            self._sum_up()

    def each(self) -> Sequence[int]:
        """Return the sum of each of `BUCKETS`."""
        self._sum_up()
        return self._sums

    def _sum_up(self) -> None:
        if self._new:
            self._sums = tuple(map(sum, zip(self._sums, *self._new, strict=True)))
            self._new = []


def within_total(ledger: Ledger) -> dict[Bucket, int]:
    """Return the buckets without what is below 0; where they claim more than the latency, scaled down to it."""
    total_ns = max(ledger.total_ns, 0)
    booked = {bucket: max(spent_ns, 0) for bucket, spent_ns in zip(BUCKETS, ledger.booked_ns, strict=True)}
    claimed_ns = sum(booked.values())
    if claimed_ns > total_ns:
        return {bucket: spent_ns * total_ns // claimed_ns for bucket, spent_ns in booked.items()}
    return booked
