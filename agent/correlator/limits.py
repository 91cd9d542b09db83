"""What holds tasks up by rule or by stall: the limits of the target's cgroups, and pressure stall information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.rates import PressureRate, cgroup_rate, pressure_rate
from perfwatch.agent.correlator.seconds import KEPT, Seconds
from perfwatch.agent.correlator.series import Named
from perfwatch.agent.model_queues import CgroupLimit, Pressure

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import CgroupSample, PressureSample

HOST: Final = "host"
_MAX_QUOTA: Final = 1 << 20


class Cgroups:
    """The cgroups of the target, and those above them that set a limit."""

    def __init__(self) -> None:
        self._by_path: Named[CgroupSample] = Named(_continues)

    def sample(self, sample: CgroupSample) -> None:
        """Take in a cgroup's counters; costs about 3 us."""
        # NUL stands in no path.
        self._by_path.add(f"{sample.path}\0{sample.memory_path or ''}", sample)

    def limits(self, span: Span) -> tuple[CgroupLimit, ...]:
        """Return what each cgroup may use and what it was denied, by path."""
        return tuple(_limit(*pair) for _, pair in self._by_path.around(span))

    def throttled(self, span: Span) -> CgroupLimit | None:
        """Return the cgroup with a quota that was throttled most; None where none was."""
        found = [one for one in self.limits(span) if one.quota_cpus is not None and one.throttled_ms_s]
        return max(found, key=lambda one: one.throttled_ms_s or 0.0, default=None)

    def tasks(self, span: Span) -> tuple[str, int, int] | None:
        """Return (name, tasks, limit) of the cgroup that is nearest to its limit of tasks; None without a limit.

        Under v1 the path of the pids controller is not recorded.
        """
        found = [
            (after.path if after.version == 2 else "its pids cgroup", after.pids, after.pids_limit)  # noqa: PLR2004
            for _, (_, after) in self._by_path.around(span)
            if after.pids is not None and after.pids >= 0 and after.pids_limit is not None and after.pids_limit > 0
        ]
        return max(found, key=lambda one: one[1] / one[2], default=None)


class Pressures:
    """Pressure stall information of the host, and of the target's cgroups."""

    def __init__(self, seconds: int = KEPT) -> None:
        self._by_scope: Named[PressureSample] = Named(_stalls_on)
        self.cpu = Seconds(seconds)
        """Of the host, as `io` is."""
        self.io = Seconds(seconds)

    def sample(self, sample: PressureSample) -> None:
        """Take in a scope's totals; costs about 5 us."""
        before = self._by_scope.add(sample.scope, sample)
        if before is None or sample.scope != HOST:
            return
        rate = pressure_rate(before, sample)
        for seconds, share in ((self.cpu, rate.cpu), (self.io, rate.io)):
            if share is not None:
                seconds.put(share, sample.at_ns, before.at_ns)

    def over(self, span: Span) -> tuple[Pressure, ...]:
        """Return the pressure of every scope, the host first."""
        rates = [(scope, pressure_rate(*pair)) for scope, pair in self._by_scope.around(span)]
        rates.sort(key=lambda one: one[0] != HOST)
        return tuple(Pressure(scope, *rate) for scope, rate in rates)

    def host(self, span: Span) -> PressureRate:
        """Return the host's pressure; all None where the kernel does not keep it."""
        series = self._by_scope.of(HOST)
        pair = None if series is None else series.around(span)
        return PressureRate(None, None, None) if pair is None else pressure_rate(*pair)


def _limit(before: CgroupSample, after: CgroupSample) -> CgroupLimit:
    rate = cgroup_rate(before, after)
    return CgroupLimit(
        path=after.path,
        quota_cpus=_quota(after),
        used_cpus=rate.used_cpus,
        throttled=rate.throttled,
        throttled_ms_s=None if rate.throttled_s is None else rate.throttled_s * 1e3,
        memory_bytes=after.memory_bytes,
        memory_limit_bytes=after.memory_limit_bytes,
        limit_hits=rate.limit_hits,
        oom_kills=rate.oom_kills,
        memory_path=None if after.memory_path == after.path else after.memory_path,
    )


def _quota(sample: CgroupSample) -> float | None:
    """Return the CPUs that a quota amounts to; None without one."""
    if not sample.quota_ns or not sample.period_ns or sample.quota_ns < 0 or sample.period_ns < 0:
        return None
    return min(sample.quota_ns / sample.period_ns, float(_MAX_QUOTA))


def _continues(before: CgroupSample, after: CgroupSample) -> bool:
    """Tell a cgroup that was removed and made again: it counts from 0."""
    return (after.cpu_ns or 0) >= (before.cpu_ns or 0) and (after.periods or 0) >= (before.periods or 0)


def _stalls_on(before: PressureSample, after: PressureSample) -> bool:
    pairs = (
        (before.cpu_some_ns, after.cpu_some_ns),
        (before.memory_some_ns, after.memory_some_ns),
        (before.io_some_ns, after.io_some_ns),
    )
    return all((new or 0) >= (old or 0) for old, new in pairs)
