"""Rates: pure functions of two records of one subject, the earlier one first.

What is absent, or went backwards, gives None and not 0; shares are kept within 0..1 whatever the kernel said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.model_lately import CpuUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.samples import (
        CgroupSample,
        CpuSample,
        CpuTimes,
        DiskLatency,
        DiskSample,
        MemorySample,
        NetworkSample,
        PressureSample,
    )

_STEPS: Final = 64
_MAX_CPUS: Final = 512


class CpuRate(NamedTuple):
    """The host's CPUs, in shares of their time."""

    busy: float
    steal: float
    busiest: float
    """Of the CPU that was busy most."""


class DiskRate(NamedTuple):
    """A block device."""

    busy: float
    depth: float
    await_ms: float | None
    read_bytes_s: float
    written_bytes_s: float
    reads_s: float
    writes_s: float
    read_ms: float | None
    """Mean time of a read, as `await_ms` is of both."""
    write_ms: float | None


class CgroupRate(NamedTuple):
    """A cgroup; None where its controller or its version does not say."""

    used_cpus: float | None
    throttled: float | None
    """Part of its periods."""
    throttled_s: float | None
    """Per second, summed over its CPUs: the CPUs that it wanted beyond its quota."""
    limit_hits: int | None
    oom_kills: int | None


class MemoryRate(NamedTuple):
    """What it cost to find memory; None where /proc/vmstat does not say."""

    major_faults_s: float | None
    direct_reclaims_s: float | None
    swapped_in_bytes_s: float | None
    oom_kills: int | None


class NetworkRate(NamedTuple):
    """A network namespace."""

    received_bytes_s: float
    sent_bytes_s: float
    utilisation: float | None
    retransmitted: float | None
    """Share of the segments that were sent; None where none were."""
    overflows: int | None
    """Connections that met a full accept queue."""
    refused: int
    """Connections that were dropped at the listening sockets, for whatever reason, and packets at full backlogs."""
    interface_errors: int
    """Errors and drops."""


class PressureRate(NamedTuple):
    """Shares of the time in which some task was held up."""

    cpu: float | None
    memory: float | None
    io: float | None
    cpu_full: float | None = None
    """In which all of them were, as the next two."""
    memory_full: float | None = None
    io_full: float | None = None


def grown(before: int | None, after: int | None) -> int | None:
    """Return by how much a counter grew; None where it is absent or went backwards."""
    return after - before if before is not None and after is not None and after >= before else None


def part(some: float, whole: float) -> float:
    """Return a share, 0..1; 0 of nothing."""
    return min(max(some / whole, 0.0), 1.0) if whole > 0 else 0.0


def per_second(count: int | None, passed_ns: int) -> float | None:
    """Return a count per second; None where it is absent or no time passed."""
    return count * 1e9 / passed_ns if count is not None and passed_ns > 0 else None


def spent_part(spent_ns: int | None, passed_ns: int) -> float | None:
    """Return how much of a stretch was spent, 1.0 for one CPU all along; None where absent or no time passed."""
    return spent_ns / passed_ns if spent_ns is not None and passed_ns > 0 else None


def cpu_rate(before: CpuSample, after: CpuSample) -> CpuRate | None:
    """Return how busy the CPUs were; `iowait` is idle time, which the kernel may also count backwards."""
    shares = [_times(old, new) for old, new in zip(before.cpus, after.cpus, strict=False)]
    total = sum(whole for _, _, whole in shares)
    if total <= 0:
        return None
    busy, steal = sum(one[0] for one in shares), sum(one[1] for one in shares)
    return CpuRate(part(busy, total), part(steal, total), max(part(used, whole) for used, _, whole in shares))


def cpu_uses(before: CpuSample, after: CpuSample) -> tuple[CpuUse, ...]:
    """Return what each CPU did; one whose clock stood still was idle."""
    return tuple(_use(old, new) for old, new in zip(before.cpus[:_MAX_CPUS], after.cpus[:_MAX_CPUS], strict=False))


def _use(before: CpuTimes, after: CpuTimes) -> CpuUse:
    _, steal, whole = _times(before, after)
    user = _or_0(before.user_ns, after.user_ns) + _or_0(before.nice_ns, after.nice_ns)
    system = (
        _or_0(before.system_ns, after.system_ns)
        + _or_0(before.irq_ns, after.irq_ns)
        + _or_0(before.softirq_ns, after.softirq_ns)
    )
    iowait = _or_0(before.iowait_ns, after.iowait_ns)
    return CpuUse(part(user, whole), part(system, whole), part(steal, whole), part(iowait, whole))


def _times(before: CpuTimes, after: CpuTimes) -> tuple[int, int, int]:
    """Busy, stolen and all time of one CPU."""
    steal = _or_0(before.steal_ns, after.steal_ns)
    busy = steal + sum(
        (
            _or_0(before.user_ns, after.user_ns),
            _or_0(before.nice_ns, after.nice_ns),
            _or_0(before.system_ns, after.system_ns),
            _or_0(before.irq_ns, after.irq_ns),
            _or_0(before.softirq_ns, after.softirq_ns),
        )
    )
    idle = _or_0(before.idle_ns, after.idle_ns) + _or_0(before.iowait_ns, after.iowait_ns)
    return busy, steal, busy + idle


def disk_rate(before: DiskSample, after: DiskSample) -> DiskRate | None:
    """Return how busy a device was, as `iostat -x` defines it."""
    passed_ns = after.at_ns - before.at_ns
    if passed_ns <= 0:
        return None
    reads, writes = _or_0(before.reads, after.reads), _or_0(before.writes, after.writes)
    read_ns, write_ns = _or_0(before.read_ns, after.read_ns), _or_0(before.write_ns, after.write_ns)
    return DiskRate(
        busy=part(_or_0(before.busy_ns, after.busy_ns), passed_ns),
        depth=_or_0(before.queue_ns, after.queue_ns) / passed_ns,
        await_ms=_each_ms(read_ns + write_ns, reads + writes),
        read_bytes_s=_or_0(before.read_bytes, after.read_bytes) * 1e9 / passed_ns,
        written_bytes_s=_or_0(before.written_bytes, after.written_bytes) * 1e9 / passed_ns,
        reads_s=reads * 1e9 / passed_ns,
        writes_s=writes * 1e9 / passed_ns,
        read_ms=_each_ms(read_ns, reads),
        write_ms=_each_ms(write_ns, writes),
    )


def latency_p99_ms(before: DiskLatency, after: DiskLatency) -> float | None:
    """Return the upper bound of the bucket that holds the 99th percentile; None without a request."""
    reads, writes = _steps(before.reads, after.reads), _steps(before.writes, after.writes)
    both = [sum(pair) for pair in zip(reads, writes, strict=True)]
    total, passed = sum(both), 0
    for step, count in enumerate(both):
        passed += count
        if count and passed * 100 >= total * 99:
            return 2.0 ** (step + 1) / 1e3
    return None


def _steps(before: Sequence[int], after: Sequence[int]) -> list[int]:
    old, new = ((*counts[:_STEPS], *(0,) * (_STEPS - len(counts))) for counts in (before, after))
    return [max(here - there, 0) for there, here in zip(old, new, strict=True)]


def cgroup_rate(before: CgroupSample, after: CgroupSample) -> CgroupRate:
    """Return what a cgroup used, and what it was denied."""
    passed_ns = after.at_ns - before.at_ns
    periods = grown(before.periods, after.periods)
    throttled = grown(before.throttled_periods, after.throttled_periods)
    return CgroupRate(
        used_cpus=spent_part(grown(before.cpu_ns, after.cpu_ns), passed_ns),
        throttled=part(throttled, periods) if periods is not None and throttled is not None else None,
        throttled_s=spent_part(grown(before.throttled_ns, after.throttled_ns), passed_ns),
        limit_hits=grown(before.limit_hits, after.limit_hits),
        oom_kills=grown(before.oom_kills, after.oom_kills),
    )


def memory_rate(before: MemorySample, after: MemorySample) -> MemoryRate:
    """Return how often memory had to be found first."""
    passed_ns = after.at_ns - before.at_ns
    return MemoryRate(
        major_faults_s=per_second(grown(before.major_faults, after.major_faults), passed_ns),
        direct_reclaims_s=per_second(grown(before.direct_reclaims, after.direct_reclaims), passed_ns),
        swapped_in_bytes_s=per_second(grown(before.swapped_in_bytes, after.swapped_in_bytes), passed_ns),
        oom_kills=grown(before.oom_kills, after.oom_kills),
    )


def network_rate(before: NetworkSample, after: NetworkSample) -> NetworkRate | None:
    """Return what a network carried, and what it lost. Links carry both directions at once: the fuller one counts."""
    passed_ns = after.at_ns - before.at_ns
    if passed_ns <= 0:
        return None
    received = _or_0(before.received_bytes, after.received_bytes) * 1e9 / passed_ns
    sent = _or_0(before.sent_bytes, after.sent_bytes) * 1e9 / passed_ns
    segments = _or_0(before.sent_segments, after.sent_segments)
    again = _or_0(before.retransmitted_segments, after.retransmitted_segments)
    overflows = grown(before.listen_overflows, after.listen_overflows)
    drops = grown(before.listen_drops, after.listen_drops)  # the kernel counts overflows among them
    return NetworkRate(
        received_bytes_s=received,
        sent_bytes_s=sent,
        utilisation=part(8 * max(received, sent), after.speed_bits) if after.speed_bits else None,
        retransmitted=part(again, segments) if segments else None,
        overflows=overflows,
        refused=max(drops or 0, overflows or 0) + (grown(before.backlog_drops, after.backlog_drops) or 0),
        interface_errors=_or_0(before.interface_errors, after.interface_errors)
        + _or_0(before.interface_drops, after.interface_drops),
    )


def pressure_rate(before: PressureSample, after: PressureSample) -> PressureRate:
    """Return the shares of time in which some task was held up."""
    passed_ns = after.at_ns - before.at_ns

    def held_up(old: int | None, new: int | None) -> float | None:
        more = grown(old, new)
        return None if more is None else part(more, passed_ns)

    return PressureRate(
        cpu=held_up(before.cpu_some_ns, after.cpu_some_ns),
        memory=held_up(before.memory_some_ns, after.memory_some_ns),
        io=held_up(before.io_some_ns, after.io_some_ns),
        cpu_full=held_up(before.cpu_full_ns, after.cpu_full_ns),
        memory_full=held_up(before.memory_full_ns, after.memory_full_ns),
        io_full=held_up(before.io_full_ns, after.io_full_ns),
    )


def _or_0(before: int, after: int) -> int:
    """Growth of a counter that every kernel keeps; one that went back a little counts as still."""
    return max(after - before, 0)


def _each_ms(spent_ns: int, count: int) -> float | None:
    return spent_ns / count / 1e6 if count else None
