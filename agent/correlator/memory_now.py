"""The memory of the target and of its host, of all that is known of it: for the view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model_memory import HostMemory, MemoryState, ProcessMemoryUse, Room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.surroundings import Surroundings
    from perfwatch.agent.model_memory import Growth
    from perfwatch.agent.model_queues import CgroupLimit


def memory_now(around: Surroundings, span: Span) -> MemoryState:
    """Return how things stand at the end of `span`; rates are of that stretch."""
    past, memory = around.memory.past, around.memory
    uses = []
    for kept in past.processes():
        latest = kept.latest
        minor, major = memory.faults(latest.pid, span)
        uses.append(
            ProcessMemoryUse(
                pid=latest.pid,
                rss_bytes=max(latest.rss_bytes, 0),
                pss_bytes=kept.pss_bytes,
                uss_bytes=kept.uss_bytes,
                swap_bytes=latest.swap_bytes,
                virtual_bytes=latest.virtual_bytes,
                minor_faults_s=minor,
                major_faults_s=major,
                growth=kept.growth,
                past=kept.past.points,
            )
        )
    uses.sort(key=lambda one: (-one.rss_bytes, one.pid))
    host, growth = _host(around, span), past.total.growth
    limits = around.cgroups.limits(span)
    return MemoryState(tuple(uses), past.total.past.points, growth, host, _room(limits, host, growth))


def _host(around: Surroundings, span: Span) -> HostMemory | None:
    latest, rate, first = around.memory.latest, around.memory.rate(span), around.memory.rate(Span(None, span.until_ns))
    if latest is None:
        return None
    return HostMemory(
        total_bytes=latest.total_bytes,
        available_bytes=min(max(latest.available_bytes, 0), latest.total_bytes),
        swap_total_bytes=latest.swap_total_bytes,
        swap_free_bytes=latest.swap_free_bytes,
        swapped_in_bytes_s=None if rate is None else rate.swapped_in_bytes_s,
        major_faults_s=None if rate is None else rate.major_faults_s,
        direct_reclaims_s=None if rate is None else rate.direct_reclaims_s,
        oom_kills=None if first is None else first.oom_kills,
    )


def _room(limits: tuple[CgroupLimit, ...], host: HostMemory | None, growth: Growth | None) -> Room | None:
    """Return what is full first."""
    found = list(_rooms(limits))
    if host is not None:
        found.append(("host", host.available_bytes, host.total_bytes))
    if not found:
        return None
    of, free, limit = min(found, key=lambda one: one[1])
    return Room(of, free, limit, None if growth is None else free / growth.bytes_min * 60)


def _rooms(limits: tuple[CgroupLimit, ...]) -> Iterator[tuple[str, int, int]]:
    for one in limits:
        if one.memory_limit_bytes is not None and one.memory_bytes is not None:
            free = max(one.memory_limit_bytes - one.memory_bytes, 0)
            yield one.memory_path or one.path, free, one.memory_limit_bytes
