"""Fills what a report says of memory and collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent import report_contract_memory as contract
from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.agent.model_memory import GcRun, Growth, ProcessMemoryUse, Room


def build_memory(info: SessionInfo, view: View) -> contract.Memory:
    """Say what the target held, whether it grew, and which collections took longest."""
    memory = view.memory
    return contract.Memory(
        processes=[_process(one) for one in memory.processes],
        course=[contract.Resident(at=info.unix_s(at_ns), rss_bytes=rss) for at_ns, rss in memory.total],
        growth=_growth(memory.growth),
        room=_room(memory.room),
        gc_longest=[_run(info, one) for one in view.gc_runs.longest],
    )


def _process(one: ProcessMemoryUse) -> contract.ProcessMemory:
    return contract.ProcessMemory(
        pid=one.pid,
        rss_bytes=one.rss_bytes,
        pss_bytes=one.pss_bytes,
        uss_bytes=one.uss_bytes,
        swap_bytes=one.swap_bytes,
        growth=_growth(one.growth),
    )


def _growth(one: Growth | None) -> contract.Growth | None:
    if one is None:
        return None
    return contract.Growth(bytes_min=one.bytes_min, low=one.low, high=one.high, over_s=one.over_ns / 1e9)


def _room(one: Room | None) -> contract.Room | None:
    if one is None:
        return None
    return contract.Room(
        of=encodable(one.of), free_bytes=one.free_bytes, limit_bytes=one.limit_bytes, full_in_s=one.full_in_s
    )


def _run(info: SessionInfo, one: GcRun) -> contract.GcRun:
    return contract.GcRun(
        at=info.unix_s(one.started_ns),
        paused_ms=round(one.paused_ns / 1e6, 6),
        pid=one.pid,
        generation=one.generation,
        collected=one.collected,
        request=one.request,
        serves=encodable(one.serves),
    )
