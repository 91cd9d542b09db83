"""The files of a v1 cgroup, in an open directory (Documentation/admin-guide/cgroup-v1, scheduler/sched-bwc.rst).

cpu (times in us, but `throttled_time` in ns; a quota of -1 is none), cpuacct (ns), memory (a limit close to 2**63 is
none), pids, and blkio (a line `8:0 Read 4096` per device and operation; where no device was ever counted, nothing is
known: newer kernels count only under a throttling policy):

    cpu.cfs_quota_us 20000     cpu.cfs_period_us 100000     cpu.stat: nr_periods 41 / nr_throttled 39 / throttled_time 3
    cpuacct.usage 81234567     memory.oom_control: oom_kill_disable 0 / under_oom 0 / oom_kill 0
"""

from __future__ import annotations

from perfwatch.probes.readers.cgroup_files import (
    MICROSECOND_NS,
    CpuFigures,
    IoFigures,
    MemoryFigures,
    PidFigures,
    content,
    is_count,
    keyed,
    number,
    scaled,
)


def read_cpu(directory: int) -> CpuFigures:
    """Read quota and throttling; what was used is in another hierarchy, see `read_usage_ns`."""
    quota = number(directory, "cpu.cfs_quota_us")
    stat = keyed(directory, "cpu.stat")
    return CpuFigures(
        quota_ns=quota * MICROSECOND_NS if quota is not None and quota >= 0 else None,
        period_ns=scaled(number(directory, "cpu.cfs_period_us"), MICROSECOND_NS),
        periods=stat.get(b"nr_periods"),
        throttled_periods=stat.get(b"nr_throttled"),
        throttled_ns=stat.get(b"throttled_time"),
    )


def read_usage_ns(directory: int) -> int | None:
    """Read the CPU time used, of a cgroup of the cpuacct controller."""
    return number(directory, "cpuacct.usage")


def read_memory(directory: int) -> MemoryFigures:
    """Read use, limit and what happened at the limit."""
    return MemoryFigures(
        used_bytes=number(directory, "memory.usage_in_bytes"),
        limit_bytes=number(directory, "memory.limit_in_bytes"),
        limit_hits=number(directory, "memory.failcnt"),
        oom_kills=keyed(directory, "memory.oom_control").get(b"oom_kill"),
    )


def read_io(directory: int) -> IoFigures:
    """Read the bytes of the cgroup and those below it (before Linux 5.5: of itself)."""
    raw = content(directory, "blkio.throttle.io_service_bytes_recursive")
    if raw is None:
        raw = content(directory, "blkio.throttle.io_service_bytes")
    return parse_io(raw or b"")


def parse_io(raw: bytes) -> IoFigures:
    """Add up a file of `8:0 Read 4096` lines."""
    sums: dict[bytes, int] = {}
    for line in raw.splitlines():
        match line.split():
            case [_, operation, count] if is_count(count):
                sums[operation] = sums.get(operation, 0) + int(count)
            case _:  # the grand total has two words
                pass
    return IoFigures(sums.get(b"Read"), sums.get(b"Write"))


def read_pids(directory: int) -> PidFigures:
    """Read how many threads there are, and may be."""
    return PidFigures(number(directory, "pids.current"), number(directory, "pids.max"))
