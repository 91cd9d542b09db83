"""Fills the report's queues, resources and own cost from the overall figures of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from perfwatch.agent import report_contract_queues as contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.agent.model_queues import OwnCost, RunQueue, SocketState

_HOST = "host"
"""The scope of a `Pressure` that is the whole machine's."""


def build_queues(info: SessionInfo, view: View) -> contract.Queues:
    """Say where something waited, over the whole session."""
    queues = view.queues_overall
    return contract.Queues(
        run_queue=_run_queue(info, view.runnable_mean, queues.run_queue),
        sockets=_sockets(view.listeners, queues.sockets),
        disks=list(queues.disks),
        threads=dict(queues.threads) or None,
        socket_count=queues.socket_count,
        disk_users=list(queues.disk_users),
        cgroups=list(queues.cgroups),
        pressure=list(queues.pressure),
        connections=list(queues.connections),
        interpreters=list(queues.interpreters),
    )


def build_saturation(view: View) -> contract.Saturation:
    """Say how much of each resource was used; cpu and memory are also known without a probe of their own."""
    resources = view.saturation_overall
    used = {one.resource: one.utilisation for one in resources}
    pressure = next((one for one in view.queues_overall.pressure if one.scope == _HOST), None)
    return contract.Saturation(
        cpu=used.get("cpu") if view.cpu_use_mean is None else view.cpu_use_mean,
        memory=used.get("memory") if view.memory_use is None else view.memory_use,
        disk=used.get("disk"),
        network=used.get("network"),
        psi=None if pressure is None else contract.Psi(cpu=pressure.cpu, memory=pressure.memory, io=pressure.io),
        resources=list(resources),
        scalability=view.scalability,
    )


def build_cost(cost: OwnCost | None) -> contract.Cost | None:
    """Say what perfwatch cost; None where that was not recorded."""
    if cost is None:
        return None
    return contract.Cost(
        cpu=cost.cpu,
        cpu_mean=cost.cpu_mean,
        rss_bytes=cost.rss_bytes,
        budget=cost.budget,
        probes=[contract.ProbeCost(name=name, cpu=cpu, period_s=period_s) for name, cpu, period_s in cost.probes],
    )


def build_slowed(slowed: Iterable[tuple[str, float | None, str]]) -> list[contract.Slowed]:
    """Say which probes were read less often than they would be."""
    return [contract.Slowed(probe=probe, period_s=period_s, reason=reason) for probe, period_s, reason in slowed]


@overload
def encodable(text: str) -> str: ...
@overload
def encodable(text: None) -> None: ...
def encodable(text: str | None) -> str | None:
    """Replace lone surrogates, which names from the operating system may have and JSON cannot."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _run_queue(info: SessionInfo, runnable_mean: float | None, queue: RunQueue | None) -> contract.RunQueue:
    if queue is None:
        return contract.RunQueue(runnable_mean=runnable_mean, cpus=info.cpus)
    return contract.RunQueue(
        runnable_mean=runnable_mean,
        cpus=queue.cpus,
        waiting_mean=queue.waiting_mean,
        waiting_median=queue.waiting_median,
        waiting_max=queue.waiting_max,
        top=list(queue.top),
    )


def _sockets(listeners: Iterable[tuple[str, int, int]], sockets: Iterable[SocketState]) -> list[contract.Socket]:
    """Join what is known of listening addresses (deepest queues) and of sockets (as of the last reading)."""
    deepest = {address: (backlog, limit) for address, backlog, limit in listeners}
    read = [_socket(one, deepest.get(one.local)) for one in sockets]
    told = {one.local for one in read if one.backlog is not None}
    unread = [
        contract.Socket(local=address, peer=None, recv_q=None, send_q=None, backlog=backlog, backlog_max=limit)
        for address, (backlog, limit) in deepest.items()
        if address not in told
    ]
    return unread + read


def _socket(one: SocketState, deepest: tuple[int, int] | None) -> contract.Socket:
    listening = one.role == "listening"
    backlog, limit = deepest or (0, 0)
    return contract.Socket(
        local=one.local,
        peer=one.peer,
        recv_q=None if listening else one.recv_q,
        send_q=None if listening else one.send_q,
        backlog=max(backlog, one.recv_q) if listening else None,
        backlog_max=max(limit, one.send_q) if listening else None,
        role=one.role,
        state=one.state,
        pid=one.pid,
        backlog_now=one.recv_q if listening else None,
        rtt_ms=_ms(one.rtt_ns),
        retransmits=one.retransmits,
        busy_ms=_ms(one.busy_ns),
        rwnd_limited_ms=_ms(one.rwnd_limited_ns),
        sndbuf_limited_ms=_ms(one.sndbuf_limited_ns),
        sent_bytes=one.sent_bytes,
        received_bytes=one.received_bytes,
        drops=one.drops,
    )


def _ms(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else round(duration_ns / 1e6, 6)
