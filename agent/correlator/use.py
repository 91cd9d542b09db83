"""Each resource in the USE manner: how much of it is used, who had to wait for it, what went wrong.

One line for each resource that something is known of. `saturation` is, in the words of the line: for the CPU the share
of readings in which a thread waited; for memory the share of time in which a task was held up (pressure; without it,
the share of intervals with direct reclaim or swap-in); for the disk the share of requests that were behind another;
for the network the share of segments that were sent again; for threads how many of the target's waited for a CPU on
average, at most 1: a share of the time that they wanted one says little of threads that want it for moments only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import counted
from perfwatch.agent.correlator.wording import percent, size
from perfwatch.agent.model_queues import Saturation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.correlator.surroundings import Surroundings

_NOTABLE: Final = 0.005


def saturations(around: Surroundings, span: Span) -> tuple[Saturation, ...]:
    """Return the lines of the resources, in a fixed order; those that nothing is known of are left out."""
    made = (_cpu, _memory, _disk, _network, _threads, _files)
    return tuple(line for one in made for line in one(around, span))


def _cpu(around: Surroundings, span: Span) -> Iterator[Saturation]:
    rate, queue = around.cpus.rate(span), around.cpus.run_queue(span)
    if rate is None:
        host = around.host
        busy = host.cpu_use_mean if span.from_ns is None else host.cpu_use
        if busy is not None:
            yield Saturation("cpu", busy, None, None, f"{percent(busy)} busy")
        return
    words = [f"{percent(rate.busy)} busy"]
    if queue is not None:
        words.append(f"{queue.waiting_mean:.1f} threads waited")
    if rate.steal >= _NOTABLE:
        words.append(f"steal {percent(rate.steal)}")
    limit = around.cgroups.throttled(span)
    if limit is not None and limit.quota_cpus is not None and limit.throttled:
        words.append(f"quota of {limit.quota_cpus:.2g} CPUs used up in {percent(limit.throttled)} of its periods")
    words += _pressure(around.pressures.host(span).cpu)
    yield Saturation("cpu", rate.busy, around.cpus.crowded(span), None, ", ".join(words))


def _memory(around: Surroundings, span: Span) -> Iterator[Saturation]:
    room, rate = around.memory.available(span.until_ns), around.memory.rate(span)
    if room is None:
        used = around.host.memory_use
        if used is not None:
            used = min(max(used, 0.0), 1.0)
            yield Saturation("memory", used, None, None, f"{percent(used)} used")
        return
    available, total = room
    words = [f"{percent(1 - available / total)} used, {size(available)} available"]
    pressure = around.pressures.host(span).memory
    if rate is not None and rate.direct_reclaims_s:
        words.append(f"{rate.direct_reclaims_s:.1f} direct reclaims/s")
    if rate is not None and rate.swapped_in_bytes_s:
        words.append(f"{size(rate.swapped_in_bytes_s)}/s read back from swap")
    errors = None if rate is None else rate.oom_kills
    if errors:
        words.append(f"{counted(errors, 'time')} a process was killed for want of it")
    words += _limits_met(around, span)
    words += _pressure(pressure)
    saturation = around.memory.stalled(span) if pressure is None else pressure
    yield Saturation("memory", 1 - available / total, saturation, errors, ", ".join(words))


def _limits_met(around: Surroundings, span: Span) -> Iterator[str]:
    for one in around.cgroups.limits(span):
        if one.limit_hits:
            limit = "" if one.memory_limit_bytes is None else f" of {size(one.memory_limit_bytes)}"
            yield f"limit{limit} of {one.memory_path or one.path} met {counted(one.limit_hits, 'time')}"


def _disk(around: Surroundings, span: Span) -> Iterator[Saturation]:
    devices = around.disks.queues(span)
    if not devices:
        return
    busiest = devices[0]
    words = [f"{busiest.device} {percent(busiest.utilisation)} busy", f"{busiest.depth:.1f} requests under way"]
    if busiest.await_ms is not None:
        words.append(f"{busiest.await_ms:.1f} ms each")
    words += _pressure(around.pressures.host(span).io)
    behind = 1 - 1 / busiest.depth if busiest.depth > 1 else 0.0
    yield Saturation("disk", busiest.utilisation, behind, None, ", ".join(words))


def _network(around: Surroundings, span: Span) -> Iterator[Saturation]:
    rate = around.sockets.rate(span)
    if rate is None:
        return
    words = [f"{size(rate.received_bytes_s)}/s in, {size(rate.sent_bytes_s)}/s out (without loopback)"]
    if rate.utilisation is not None:
        words.append(f"{percent(rate.utilisation)} of its interfaces' speed")
    if rate.retransmitted is not None:
        words.append(f"{rate.retransmitted * 100:.1f} % of segments sent again")
    if rate.refused:
        words.append(f"{rate.refused} dropped at full queues")
    if rate.interface_errors:
        words.append(f"{rate.interface_errors} lost or damaged at interfaces")
    errors = rate.refused + rate.interface_errors
    yield Saturation("network", rate.utilisation, rate.retransmitted, errors, ", ".join(words))


def _threads(around: Surroundings, span: Span) -> Iterator[Saturation]:
    count, waiting = around.threads.count(span.until_ns), around.threads.waiting(span)
    tasks = around.cgroups.tasks(span)
    words = [] if count is None else [counted(count, "thread")]
    if waiting is not None:
        words.append(f"{waiting:.1f} waited for a CPU on average")
    used = None
    if tasks is not None:
        name, pids, limit = tasks
        used = min(pids / limit, 1.0)
        words.append(f"{pids} of {limit} tasks allowed in {name}")
    if words:
        yield Saturation("threads", used, None if waiting is None else min(waiting, 1.0), None, ", ".join(words))


def _files(around: Surroundings, span: Span) -> Iterator[Saturation]:
    fullest = around.host.files(span.until_ns)
    if fullest is None:
        return
    pid, count, limit = fullest
    text = f"{counted(count, 'descriptor')} open in process {pid}"
    if limit is None:
        yield Saturation("files", None, None, None, text)
        return
    yield Saturation("files", min(count / limit, 1.0), None, None, f"{text}, of {limit}")


def _pressure(share: float | None) -> list[str]:
    return [] if share is None else [f"pressure {share * 100:.1f} %"]
