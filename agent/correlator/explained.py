"""How much of a request's latency one mechanism explains, also where its own verdict does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.looks import NOBODY, Looks
from perfwatch.agent.correlator.shares import BUCKETS_OF
from perfwatch.agent.model import COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.fair import Taken
    from perfwatch.agent.model import Bucket, Mechanism

BOOKED_TO: Final[dict[Mechanism, tuple[Bucket, ...]]] = BUCKETS_OF | {
    "event-loop": ("loop",),
    "queue": ("queue",),
    "run-queue": ("run_queue", "gil"),
    "throttle": ("run_queue", "gil"),
}
_ON_CPU, _RUN_QUEUE = COLUMN["on_cpu"], COLUMN["run_queue"]
_SUSPENDED: Final[tuple[Mechanism, ...]] = ("sleep", "pool", "lock", "queue", "dependency", "network")
"""What a coroutine may be suspended in."""


class Part(NamedTuple):
    """How much of a request's time a mechanism explains, by what is known of the others."""

    mechanism: Mechanism
    buckets: tuple[Bucket, ...]
    columns: tuple[int, ...]
    quick: float
    """Of these buckets, of a request that was not judged."""
    looks: Looks
    """What is known of the time in which nobody looked at its tasks."""
    untold: float
    """Of the time in which it was suspended and nothing tells in what."""


def parts(mechanisms: Iterable[Mechanism], sample: Sequence[Taken]) -> Iterator[Part]:
    """Yield for each mechanism what the judged requests say of the others."""
    judged = [(one.booked_ns, one.balance) for one in sample if one.balance is not None]
    looks = NOBODY
    for _, balance in judged:
        looks = looks.plus(balance.looks) if balance.looks is not NOBODY else looks
    changes = looks.changes()
    told_ns = sum([balance.spent_ns.get(one, 0) for one in _SUSPENDED for _, balance in judged])
    for mechanism in mechanisms:
        buckets = BOOKED_TO[mechanism]
        columns = tuple(COLUMN[bucket] for bucket in buckets)
        more_ns, own_ns = changes.get(mechanism, 0), sum([one.spent_ns.get(mechanism, 0) for _, one in judged])
        booked_ns = sum([booked[column] for column in columns for booked, _ in judged])
        quick = min(max((own_ns + more_ns) / booked_ns, 0.0), 1.0) if booked_ns > 0 else 0.0
        # Too few looks to say more than that: what is not told is what is told of the others.
        untold = own_ns / told_ns if not changes and mechanism in _SUSPENDED and told_ns > 0 else 0.0
        yield Part(mechanism, buckets, columns, quick, looks, untold)


def gone_of(one: Taken, part: Part) -> float:
    """Return how much of a request's latency the mechanism explains."""
    if one.balance is None:
        return part.quick * sum([one.booked_ns[column] for column in part.columns])
    gone_ns: float = one.balance.spent_ns.get(part.mechanism, 0)
    woken_ns, work_ns = 0, _work_ns(one, part.mechanism)
    if gone_ns and one.woken:
        woken_ns = sum([spent_ns for bucket, spent_ns in one.woken if bucket in part.buckets])
    gone_ns += work_ns + max(woken_ns, _queued_ns(one, work_ns))
    if one.balance.looks is not NOBODY:
        gone_ns += part.looks.part(part.mechanism, one.balance.looks)
    if part.untold:
        gone_ns += part.untold * min(one.balance.suspended_ns, one.balance.other_ns)
    return gone_ns


def _work_ns(one: Taken, mechanism: Mechanism) -> int:
    """Return what it computed for calls that are gone."""
    return sum([spent_ns for name, spent_ns in one.call_work if name == mechanism])


def _queued_ns(one: Taken, work_ns: int) -> float:
    """Return what it waited for a CPU to do that, in proportion."""
    computed_ns = one.booked_ns[_ON_CPU]
    return min(work_ns / computed_ns, 1.0) * one.booked_ns[_RUN_QUEUE] if work_ns and computed_ns > 0 else 0.0
