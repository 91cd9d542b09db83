"""Why a request had no CPU: the neighbours by name, whom it queued behind, and how full the host was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, amount, counted, milliseconds, share, span_of
from perfwatch.agent.correlator.starvation import starved, throttled_of, unread_ns
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request
    from perfwatch.agent.model_queues import RunQueue

_CROWDED_ADVICE: Final = (
    "Move the busy neighbours off this host, or lower their CPU weight (cgroup cpu.weight, nice).",
    "Give the server CPUs of its own (cpuset, taskset).",
    "Add CPUs if all of this work is wanted.",
)
_OWN_CROWD_ADVICE: Final = (
    "The server itself fills the CPUs: add CPUs or hosts, or make its requests cheaper.",
    "Run no more CPU-bound workers than there are CPUs.",
)
_PINNED_ADVICE: Final = (
    "Other CPUs were idle: look for pinning (taskset, cpuset) and for a CPU quota (cgroup cpu.max).",
    "Spread the threads over more CPUs, or raise the quota.",
)
_STOLEN_ADVICE: Final = "The hypervisor gave CPU time to other guests: ask for dedicated CPUs, or move this guest."
_IDLE: Final = 0.7
_STOLEN: Final = 0.05
_NAMED: Final = 3
_NOTABLE_CPUS: Final = 0.05


def explain_run_queue(request: Request, context: Context) -> Explanation:
    """Say how full the host was, who had its CPUs, and whom the request queued behind."""
    span = span_of(request)
    around, host = context.around, context.host
    rate, queue = around.cpus.rate(span), around.cpus.run_queue(span)
    busy = host.cpu_use if rate is None else rate.busy
    evidence = [*_waited(request, context)]
    if busy is not None:
        evidence.append(share("cpu_use", busy, "the host's CPUs were {} busy"))
    if rate is not None and busy is not None and busy < _IDLE:
        evidence.append(share("busiest_cpu", rate.busiest, "the busiest CPU alone {}"))
    if queue is not None:
        text = f"{queue.waiting_mean:.1f} threads waited for one of its {queue.cpus} CPUs on average"
        evidence.append(Evidence("waiting_threads", round(queue.waiting_mean, 1), text))
    elif host.runnable is not None:
        text = f"{counted(host.runnable, 'thread')} wanted a CPU, of which there are {host.cpus}"
        evidence.append(Evidence("runnable", host.runnable, text))
    evidence += behind(request, context)
    if queue is not None:
        evidence += _neighbours(queue)
    used = _used(queue, context)
    others = None if used is None or busy is None else max(busy * host.cpus - used, 0.0)
    if others is not None:
        text = f"others used {others:.1f} CPUs, the server {used:.1f}"
        evidence.append(Evidence("others_cpus", round(others, 1), text))
    steal = host.steal if rate is None else rate.steal
    stolen = steal is not None and steal > _STOLEN
    if stolen and steal is not None:
        evidence.append(share("steal", steal, "the hypervisor took {} of the CPU time"))
    advice = _advice(busy, used, others)
    return Explanation(tuple(evidence), (_STOLEN_ADVICE, *advice[:2]) if stolen else advice)


def behind(request: Request, context: Context) -> Iterator[Evidence]:
    """Name whose threads had the CPU through most of the waits of 1 ms or more, as the scheduler saw it."""
    by_name: dict[tuple[str, int], int] = {}
    for wait in request.record.waits:
        if wait.ahead is not None and wait.runnable_ns > 0:
            key = (wait.ahead.name, wait.ahead.pid)
            by_name[key] = by_name.get(key, 0) + wait.runnable_ns
    if not by_name:
        return
    name, pid = max(by_name, key=lambda key: by_name[key])
    whose = "its own process" if pid == request.record.pid else "another process"
    if pid != request.record.pid and context.host.is_target(pid):
        whose = "another process of the server"
    spent = f"{milliseconds(by_name[name, pid]):.1f} ms"
    yield Evidence("ahead", name, f"{spent} of it behind {name} (pid {pid}), {whose}, which had the CPU until then")


def _waited(request: Request, context: Context) -> Iterator[Evidence]:
    own_ns = request.ledger["run_queue"] - throttled_of(request, context)
    yield amount("run_queue", own_ns, "its thread was ready to run, but had no CPU, for {}")
    starved_ns = starved(request, context).queued_ns
    if starved_ns:
        yield amount("starved_gil", starved_ns, "it waited {} for the GIL while its holders waited for a CPU")
    left_ns = unread_ns(request, context)
    if left_ns:
        yield amount("unread", left_ns, "before that it was not read for {}, though its process served nobody")


def _neighbours(queue: RunQueue) -> Iterator[Evidence]:
    """Name the programs that are not the target's, by what they used; processes of one name together."""
    used: dict[str, list[float]] = {}
    for one in queue.top:
        if not one.is_target and one.cpus >= _NOTABLE_CPUS:
            used.setdefault(one.name, []).append(one.cpus)
    for name, each in sorted(used.items(), key=lambda one: -sum(one[1]))[:_NAMED]:
        total = sum(each)
        part = percent(min(total / queue.cpus, 1.0))
        text = f"neighbour {name} used {total:.1f} CPUs, {part} of the host"
        if len(each) > 1:
            text = f"at least {len(each)} neighbours named {name} used {total:.1f} CPUs or more, {part} of the host"
        yield Evidence("neighbour", name, text)


def _used(queue: RunQueue | None, context: Context) -> float | None:
    """Return the CPUs that the target used; of the largest users only, where its processes were not sampled."""
    used = context.host.used_by("target", context.now_ns)
    if used is not None or queue is None or not queue.top:
        return used
    return sum(one.cpus for one in queue.top if one.is_target)


def _advice(busy: float | None, used: float | None, others: float | None) -> tuple[str, ...]:
    if busy is not None and busy < _IDLE:
        return _PINNED_ADVICE
    if used is not None and others is not None and others < used:
        return _OWN_CROWD_ADVICE
    return _CROWDED_ADVICE
