"""The run queue of the host: how many threads waited for a CPU, and whose processes had them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import CpuRate, cpu_rate, cpu_uses, part
from perfwatch.agent.correlator.series import Series
from perfwatch.agent.correlator.tally import Tally
from perfwatch.agent.model_queues import CpuShare, RunQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model_lately import CpuUse
    from perfwatch.probes.samples import CpuSample

SHOWN: Final = 5
_MAX_USERS: Final = 16
_MAX_READINGS: Final = 1000
_MAX_WAITING: Final = 4095


class _User(NamedTuple):
    pid: int
    name: str
    is_target: bool


class Cpus:
    """What /proc/stat said, and who used most."""

    def __init__(self, cpus: int) -> None:
        self._cpus = max(cpus, 1)
        self._samples: Series[CpuSample] = Series(_continues)
        self._waiting: Counter[int] = Counter()
        self._users: Tally[_User] = Tally()
        self._users_ns = 0
        self._last_made: tuple[tuple[CpuSample, CpuSample], RunQueue | None] | None = None

    def sample(self, sample: CpuSample) -> None:
        """Take in a reading of the CPUs; costs about 20 us."""
        before = self._samples.add(sample)
        self._cpus = len(sample.cpus) or self._cpus
        self._waiting.update(self._readings(sample))
        if before is not None:
            self._users_ns += sample.at_ns - before.at_ns
            _add(self._users, sample)

    def rate(self, span: Span) -> CpuRate | None:
        """Return how busy the CPUs were."""
        pair = self._samples.around(span)
        return None if pair is None else cpu_rate(*pair)

    def uses(self, span: Span) -> tuple[CpuUse, ...]:
        """Return what each CPU did."""
        pair = self._samples.around(span)
        return () if pair is None else cpu_uses(*pair)

    def run_queue(self, span: Span) -> RunQueue | None:
        """Return how many threads waited, and the five processes that used most; None where it was not read."""
        if span.from_ns is None:
            return self._made(self._waiting, self._users, self._users_ns) if self._waiting else None
        pair = self._samples.around(span)
        if pair is None:
            return None
        made = self._last_made
        if made is None or made[0][0] is not pair[0] or made[0][1] is not pair[1]:
            # Requests of one second have the same two readings around them.
            made = self._last_made = (pair, self._between(pair, self._samples.within(span)))
        return made[1]

    def crowded(self, span: Span) -> float | None:
        """Return the share of readings in which at least one thread waited for a CPU."""
        waiting = self._waiting if span.from_ns is None else self._counted(self._samples.within(span))
        return 1 - part(waiting[0], waiting.total()) if waiting else None

    def _between(self, pair: tuple[CpuSample, CpuSample], samples: Sequence[CpuSample]) -> RunQueue | None:
        waiting = self._counted(samples)
        if not waiting:
            return None
        users: Tally[_User] = Tally()
        for sample in samples:
            _add(users, sample)
        return self._made(waiting, users, pair[1].at_ns - pair[0].at_ns)

    def _counted(self, samples: Sequence[CpuSample]) -> Counter[int]:
        return Counter(count for sample in samples for count in self._readings(sample))

    def _readings(self, sample: CpuSample) -> Iterable[int]:
        cpus = len(sample.cpus) or self._cpus
        return (min(max(count - cpus, 0), _MAX_WAITING) for count in sample.runnable[:_MAX_READINGS])

    def _made(self, waiting: Counter[int], users: Tally[_User], passed_ns: int) -> RunQueue:
        ordered = sorted(waiting.items())
        total = waiting.total()
        return RunQueue(
            cpus=self._cpus,
            waiting_mean=sum(value * count for value, count in ordered) / total,
            waiting_median=_median(ordered, total),
            waiting_max=ordered[-1][0],
            top=tuple(
                CpuShare(user.pid, user.name, used_ns / passed_ns, user.is_target)
                for user, (used_ns, _) in users.largest(SHOWN)
                if passed_ns > 0
            ),
        )


def _continues(before: CpuSample, after: CpuSample) -> bool:
    return len(before.cpus) == len(after.cpus) and _user_ns(before) <= _user_ns(after)


def _user_ns(sample: CpuSample) -> int:
    return sum(cpu.user_ns for cpu in sample.cpus)


def _add(users: Tally[_User], sample: CpuSample) -> None:
    for user in sample.top[:_MAX_USERS]:
        users.add(_User(user.pid, user.name, user.is_target), user.used_ns)


def _median(ordered: list[tuple[int, int]], total: int) -> float:
    """Return the median of values with their counts, in order."""
    low, high = (total - 1) // 2, total // 2
    passed = 0
    found: list[int] = []
    for value, count in ordered:
        passed += count
        found += [value for rank in (low, high)[len(found) :] if passed > rank]
    return sum(found) / 2
