"""What metrics count: requests, their durations, their ledgers and verdicts, since the start; it only ever grows.

A request is counted once, when it is settled (`settling.py`): what a counter said is never taken back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from perfwatch.agent.model import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.model import Mechanism, Principle, Request

_Key = TypeVar("_Key")
BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the histogram: those that the semantic conventions of HTTP advise."""
MAX_KINDS: Final = 2_000
UNACCOUNTED: Final = "unaccounted"
BOOKED: Final[tuple[str, ...]] = (*BUCKETS, UNACCOUNTED)
"""What the figures of `Sums.booked_ns` are."""
_BOUNDS_NS: Final = tuple(round(bound * 1e9) for bound in BOUNDS_S)


class Kind(NamedTuple):
    """What requests are told apart by; of a session at most `MAX_KINDS`."""

    service: int | None
    method: str
    route: str | None
    status: int | None
    error: str | None
    version: str | None
    scheme: str | None


OVERFLOW: Final = Kind(None, "_OTHER", None, None, None, None, None)
"""All those beyond the limit."""


class Sums:
    """Of the requests of one kind."""

    __slots__ = ("booked_ns", "counts", "total_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        """By the bound that a duration is not above; the last is of those above all."""
        self.total_ns = 0
        self.booked_ns = [0] * len(BOOKED)

    def __iadd__(self, other: Sums) -> Self:
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.booked_ns = [one + more for one, more in zip(self.booked_ns, other.booked_ns, strict=True)]
        self.total_ns += other.total_ns
        return self

    @property
    def count(self) -> int:
        """How many requests there were."""
        return sum(self.counts)

    def add(self, request: Request) -> None:
        """Count one."""
        ledger = request.ledger
        self.counts[bisect_left(_BOUNDS_NS, ledger.total_ns)] += 1
        self.total_ns += max(ledger.total_ns, 0)
        for place, spent_ns in enumerate((*ledger.booked_ns, ledger.unaccounted_ns)):
            self.booked_ns[place] += max(spent_ns, 0)


class Totals:
    """Of one session."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, Sums] = {}
        self.verdicts: Counter[tuple[Principle, Mechanism | None]] = Counter()
        """Requests that were judged: the slow ones, and the usual ones of an endpoint that is always slow."""
        self.lost_events = 0
        """Those that could not be recorded."""
        self.late_corrections = 0
        """They came when their request was counted: what it was corrected by is in no figure."""

    def add(self, request: Request, kind: Kind) -> None:
        """Count a request, once."""
        sums = self.kinds.get(kind)
        if sums is None:
            sums = self.kinds.setdefault(kind if len(self.kinds) < MAX_KINDS else OVERFLOW, Sums())
        sums.add(request)
        if request.verdict is not None:
            self.verdicts[request.verdict.principle, request.verdict.mechanism] += 1

    def copy(self) -> Totals:
        """Return what stands now, for another thread."""
        made = Totals()
        made.kinds = self.summed(lambda kind: kind)
        made.verdicts = self.verdicts.copy()
        made.lost_events = self.lost_events
        made.late_corrections = self.late_corrections
        return made

    def summed(self, by: Callable[[Kind], _Key]) -> dict[_Key, Sums]:
        """Return the sums by something coarser."""
        found: dict[_Key, Sums] = {}
        for kind, sums in self.kinds.items():
            one = found.setdefault(by(kind), Sums())
            one += sums
        return found

    def by_service(self) -> dict[int | None, Totals]:
        """Return the requests of each service; one of None where there is nothing."""
        found: dict[int | None, Totals] = {}
        for kind, sums in self.kinds.items():
            found.setdefault(kind.service, Totals()).kinds[kind] = sums
        return found or {None: Totals()}
