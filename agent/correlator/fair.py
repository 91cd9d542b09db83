"""A fair sample of requests, bounded, that forgets a request when told to and is the same however it came about.

A request is kept while the mixed bits of its id are below a threshold; when the sample is full the threshold is halved
(adaptive sampling: Wegman, in Flajolet, "On adaptive sampling", 1990). So each request is in it with the same
probability, whenever it came and whatever it took; no random number is drawn, and a correction meets its earlier self.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.call_work import call_work
from perfwatch.agent.correlator.stack_times import EXACT
from perfwatch.agent.model import COLUMN

if TYPE_CHECKING:
    from perfwatch.agent.correlator.weighing import Balance
    from perfwatch.agent.model import Bucket, Mechanism, ServedRequest

MOST: Final = 256
_WAITS: Final = 512
_KNOWN: Final = 0.8
_CALLS: Final = COLUMN["calls"]
_ALL: Final = 1 << 64
_MASK: Final = _ALL - 1


class Taken(NamedTuple):
    """What is kept of a request."""

    total_ns: int
    booked_ns: tuple[int, ...]
    pid: int
    balance: Balance | None
    """Its latency by mechanisms; None where that was not asked for: its buckets are known."""
    woken: tuple[tuple[Bucket, int], ...]
    """How long it waited for a CPU after waits of 1 ms or more, by what these were for: without them it would not."""
    call_work: tuple[tuple[Mechanism, int], ...] = ()
    """What a judged one computed for calls that need not be, by what is to blame for these."""
    is_known: bool = True
    """Its ledger says where most of its time went."""


def taken(record: ServedRequest, total_ns: int, balance: Balance | None) -> Taken | None:
    """Return what is kept of a request; None where its ledger is not its own. 0.4 us, more with waits and calls."""
    if record.threads not in EXACT:
        return None
    woken = tuple(
        (wait.bucket, wait.runnable_ns)
        for wait in record.waits[:_WAITS]
        if wait.runnable_ns > 0 and wait.bucket != "run_queue"
    )
    work = call_work(record, record.booked_ns[_CALLS]) if balance is not None else ()
    is_known = sum(record.booked_ns) >= _KNOWN * total_ns
    return Taken(total_ns, record.booked_ns, record.pid, balance, woken, work, is_known)


class FairSample:
    """All requests while there are no more than `MOST`, then between half of that and that, of any number.

    What is made of it is made of `settled`, which is renewed each time that an eighth more has come by, or one that it
    has is corrected: so it need not be made often, and does not depend on when somebody looks.
    """

    __slots__ = ("_below", "_corrected", "_count", "_kept", "settled", "stands_for", "version")

    def __init__(self) -> None:
        self._below = _ALL
        self._kept: dict[int, Taken] = {}
        self._count = 0
        self._corrected = False
        self.settled: tuple[Taken, ...] = ()
        self.stands_for = 0
        """So many requests there were then."""
        self.version = 0
        """Changes when `settled` does."""

    def __len__(self) -> int:
        return len(self._kept)

    def wants(self, request_id: int) -> bool:
        """Whether a request is one of the sample, as it is now; 0.4 us."""
        return mixed(request_id) < self._below

    def put(self, request_id: int, taken: Taken | None) -> None:
        """Take in a request, after `drop` where it is corrected; None of one that is not wanted; 0.3 us."""
        if taken is not None and self.wants(request_id):
            self._kept[request_id] = taken
            while len(self._kept) > MOST:
                self._below >>= 1
                self._kept = {number: one for number, one in self._kept.items() if mixed(number) < self._below}
        self._count += 1
        if self._corrected or self._count > self.stands_for * 9 // 8:
            self._corrected = False
            self.version, self.stands_for = self.version + 1, self._count
            self.settled = tuple(self._kept.values())

    def renew(self, request_id: int, balance: Balance) -> None:
        """Note what a request was judged to be, another time."""
        taken = self._kept.get(request_id)
        if taken is not None:
            self._kept[request_id] = taken._replace(balance=balance)

    def drop(self, request_id: int) -> None:
        """Forget a request that was put in."""
        self._corrected = self._kept.pop(request_id, None) is not None or self._corrected
        self._count -= 1


def mixed(number: int) -> int:
    """Return 64 bits of which each depends on all of the number's (the finalizer of SplitMix64, Steele et al. 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31
