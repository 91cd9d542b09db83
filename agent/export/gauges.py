"""How things stand, as single figures: queues, saturation, perfwatch itself; the same for OTLP and for Prometheus.

No figure is told apart by what there may be many of: of devices, listeners and interpreters it is the fullest one's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import View


class Gauge(NamedTuple):
    """One figure; one that is not known is not told."""

    name: str
    """In OpenTelemetry's manner, with dots."""
    unit: str
    """By UCUM: `By`, `1` for a ratio, `{thread}`."""
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def gauges(view: View) -> Iterator[Gauge]:
    """Yield all that are known, those of one name together."""
    yield Gauge("perfwatch.target.up", "{target}", "Whether the server lives, 0 or 1.", float(view.target_gone is None))
    yield Gauge("perfwatch.requests.in_flight", "{request}", "Requests that have not ended.", view.in_flight_count)
    if view.workers is not None:
        yield Gauge("perfwatch.workers", "{process}", "Processes of the server besides the first.", view.workers)
    yield from _queues(view)
    yield from _saturation(view)
    yield from _interpreters(view)
    if view.own_cpu is not None:
        yield Gauge("perfwatch.own.cpu.utilization", "1", "What perfwatch uses of one CPU.", view.own_cpu)


def _queues(view: View) -> Iterator[Gauge]:
    if view.listeners:
        _, length, limit = max(view.listeners, key=lambda one: one[1])
        yield Gauge("perfwatch.accept_queue.length", "{connection}", "Connections that nobody accepted yet.", length)
        yield Gauge("perfwatch.accept_queue.limit", "{connection}", "How many such connections fit.", limit)
    queues = view.queues
    if queues.run_queue is not None:
        waiting = queues.run_queue.waiting_mean
        yield Gauge("perfwatch.run_queue.length", "{thread}", "Threads that could run and had no CPU, mean.", waiting)
    if queues.disks:
        deepest = max(one.depth for one in queues.disks)
        yield Gauge("perfwatch.disk_queue.length", "{request}", "Requests under way at one disk, the deepest.", deepest)
    about = "Bytes that stand in the sockets of the server."
    if queues.sockets:
        connected = [one for one in queues.sockets if one.role != "listening"]
        for direction, total in (
            ("receive", sum(one.recv_q for one in connected)),
            ("send", sum(one.send_q for one in connected)),
        ):
            yield Gauge("perfwatch.socket_queue.size", "By", about, total, (("direction", direction),))


def _saturation(view: View) -> Iterator[Gauge]:
    known = [(one.resource, one.utilisation) for one in view.saturation if one.utilisation is not None]
    for resource, used in known:
        about = "How much of a resource was used over the last 10 s, 0 to 1."
        yield Gauge("perfwatch.resource.utilization", "1", about, used, (("resource", resource),))
    full = [(one.resource, one.saturation) for one in view.saturation if one.saturation is not None]
    for resource, waited in full:
        about = "How much of the last 10 s somebody waited for a resource, 0 to 1."
        yield Gauge("perfwatch.resource.saturation", "1", about, waited, (("resource", resource),))


def _interpreters(view: View) -> Iterator[Gauge]:
    held = [one.gil_held for one in view.queues.interpreters if one.gil_held is not None]
    if held:
        about = "How often the most contended interpreter lock was found held, 0 to 1."
        yield Gauge("perfwatch.gil.held", "1", about, max(held))
    collected = [one.gc_share for one in view.queues.interpreters if one.gc_share is not None]
    if collected:
        about = "How much of the time the busiest garbage collector ran, 0 to 1."
        yield Gauge("perfwatch.gc.utilization", "1", about, max(collected))
