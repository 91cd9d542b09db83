"""The queues and the resources of a text report, one paragraph each, and what perfwatch itself cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent import report_sentences as said
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_gains import scaling
from perfwatch.agent.report_layout import block, rule
from perfwatch.agent.report_places import collector, interpreter_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model_queues import Saturation
    from perfwatch.agent.report_contract import Report
    from perfwatch.agent.report_contract_queues import Queues

NONE: Final = "-"
_NAMED: Final = 14
_LISTENERS: Final = 4
_CONNECTIONS: Final = 5
_DISKS: Final = 4
_CGROUPS: Final = 4
_INTERPRETERS: Final = 4


def queue_section(report: Report, width: int) -> list[str]:
    """Say where something waited; queues that were not measured are left out."""
    lines = [line for name, text in queue_words(report.queues) for line in block(name.ljust(_NAMED), text, width)]
    return [rule("queues", width), *lines] if lines else []


def resource_section(report: Report, width: int) -> list[str]:
    """List the resources in the USE manner: how far used, how far saturated, how many errors; then how it scales."""
    resources, scalability = report.saturation.resources, report.saturation.scalability
    told = [] if scalability is None else list(_each("scalability", scaling(scalability)))
    scales = [line for name, text in told for line in block(name.ljust(_NAMED), text, width)]
    if not resources:
        return [rule("resources", width), *scales] if scales else []
    head = " " * _NAMED + f"{'used':>5}  {'saturated':>9}  {'errors':>6}"
    lines = [line for one in resources for line in _resource(one, width)]
    return [rule("resources", width), head, *lines, *scales]


def cost_notes(report: Report) -> list[str]:
    """Say what perfwatch cost, and which probes it read less often to keep its budget."""
    session = report.session
    return [
        *([said.cost(session.cost)] if session.cost else []),
        *(said.slowed(one.probe, one.period_s, one.reason) for one in session.slowed),
    ]


def queue_words(queues: Queues) -> Iterator[tuple[str, str]]:
    """Yield each paragraph, with its name where it is the first of its kind; untrusted."""
    listening = [one for one in queues.sockets if one.role == "listening"]
    telling = [one for one in queues.sockets if said.is_telling(one)]
    yield from _cpu(queues)
    yield from _each("accept queue", map(said.accept_queue, listening[:_LISTENERS]))
    if queues.socket_count is not None:
        yield "sockets", said.sockets(queues.socket_count, len(telling))
    yield from _each("", map(said.connection, telling[:_CONNECTIONS]))
    yield from _each("connections", map(said.connections, queues.connections))
    used = [one for one in queues.disks if one.depth > 0 or one.file_systems]
    yield from _each("disk", map(said.disk, used[:_DISKS]))
    if movers := said.disk_users(queues.disk_users):
        yield "", f"most bytes: {movers}"
    yield from _each("cgroup", map(said.cgroup, queues.cgroups[:_CGROUPS]))
    yield from _each("pressure", filter(None, map(said.pressure, queues.pressure)))
    if queues.threads:
        yield "threads", said.threads(queues.threads)
    yield from _each("gil", filter(None, map(interpreter_lock, queues.interpreters[:_INTERPRETERS])))
    yield from _each("gc", filter(None, map(collector, queues.interpreters[:_INTERPRETERS])))


def _cpu(queues: Queues) -> Iterator[tuple[str, str]]:
    queue = queues.run_queue
    if queue.waiting_mean is not None or queue.runnable_mean is not None:
        yield "run queue", said.run_queue(queue)
    if users := said.cpu_users(queue.top):
        yield "", f"most CPU: {users}"


def _each(name: str, sentences: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, sentence in enumerate(sentences):
        yield "" if number else name, sentence


def _resource(one: Saturation, width: int) -> list[str]:
    used, saturated = (NONE if part is None else percent(part) for part in (one.utilisation, one.saturation))
    errors = NONE if one.errors is None else str(one.errors)
    lead = f"{one.resource:<{_NAMED}}{used:>5}  {saturated:>9}  {errors:>6}  "
    return block(lead, one.text, width)
