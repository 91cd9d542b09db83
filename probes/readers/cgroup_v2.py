"""The files of a v2 cgroup, in an open directory (Documentation/admin-guide/cgroup-v2.rst; times in us).

A file is there if its controller is; the root has no limits. `cpu.stat` is always there, with `usage_usec` at least:

    cpu.max: 20000 100000         cpu.stat: usage_usec 5385 / ... / nr_periods 41 / nr_throttled 39 / throttled_usec 3
    memory.events: low 0 / high 0 / max 17 / oom 1 / oom_kill 1
    io.stat: 8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
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
    parse_number,
    scaled,
)


def read_cpu(directory: int) -> CpuFigures:
    """Read quota and throttling."""
    quota_ns, period_ns = parse_cpu_max(content(directory, "cpu.max") or b"")
    stat = keyed(directory, "cpu.stat")
    return CpuFigures(
        quota_ns=quota_ns,
        period_ns=period_ns,
        periods=stat.get(b"nr_periods"),
        throttled_periods=stat.get(b"nr_throttled"),
        throttled_ns=scaled(stat.get(b"throttled_usec"), MICROSECOND_NS),
    )


def read_usage_ns(directory: int) -> int | None:
    """Read the CPU time used; known also where the controller is not there."""
    return scaled(keyed(directory, "cpu.stat").get(b"usage_usec"), MICROSECOND_NS)


def parse_cpu_max(raw: bytes) -> tuple[int | None, int | None]:
    """Return quota and period in ns; `max 100000` has no quota."""
    quota, _, period = raw.strip().partition(b" ")
    if not period:
        return None, None
    return scaled(parse_number(quota), MICROSECOND_NS), scaled(parse_number(period), MICROSECOND_NS)


def read_memory(directory: int) -> MemoryFigures:
    """Read use, limit and what happened at the limit, in the cgroup and those below it."""
    events = keyed(directory, "memory.events")
    return MemoryFigures(
        used_bytes=number(directory, "memory.current"),
        limit_bytes=number(directory, "memory.max"),
        limit_hits=events.get(b"max"),
        oom_kills=events.get(b"oom_kill"),
    )


def read_io(directory: int) -> IoFigures:
    """Read the bytes of the cgroup and those below it."""
    raw = content(directory, "io.stat")
    return IoFigures() if raw is None else parse_io(raw)


def parse_io(raw: bytes) -> IoFigures:
    """Add up `io.stat`; a cgroup that did nothing has no line."""
    pairs = [pair.partition(b"=") for line in raw.splitlines() for pair in line.split()]
    read = sum(int(value) for key, _, value in pairs if key == b"rbytes" and is_count(value))
    written = sum(int(value) for key, _, value in pairs if key == b"wbytes" and is_count(value))
    return IoFigures(read, written)


def read_pids(directory: int) -> PidFigures:
    """Read how many threads there are, and may be."""
    return PidFigures(number(directory, "pids.current"), number(directory, "pids.max"))
