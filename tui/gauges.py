"""Where something queues, as gauges: a name, a figure, and how full that is where there is a limit; pure.

What is not known is left out. An accept queue that was deeper than it is tells that too; of buffers the fullest one of
any connection is told.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.permits import awaited
from perfwatch.agent.report_sentences import binary
from perfwatch.tui import palette
from perfwatch.tui.format import clean, count, percent, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Bucket, OpenRequest, View
    from perfwatch.agent.model_queues import Interpreter, SocketState

FULL: Final = 0.9
"""A resource that is used so far has no room for a burst."""
_COLLECTING: Final = 0.1
_LEAST: Final = 0.01
_CONNECTION: Final = "a connection of "
_LISTENERS: Final = 2
_PEERS: Final = 4
_ALL_SOCKETS: Final = 64
"""Where so many are listed, there may be more."""
_QUEUEING: Final[tuple[Bucket, ...]] = ("gil", "lock", "loop", "run_queue", "disk", "fault", "calls")


class Gauge(NamedTuple):
    """One queue."""

    name: str
    figure: str
    share: float | None = None
    """0..1; None where nothing limits it."""
    alarming: bool = False
    colour: str = palette.QUIET
    """Of its name."""


def queue_gauges(view: View) -> Iterator[Gauge]:
    """Return the queues, the most telling first."""
    queues = view.queues
    if queues.run_queue is not None:
        mean, cpus = queues.run_queue.waiting_mean, queues.run_queue.cpus
        yield Gauge("run", f"{mean:.1f}", mean / max(cpus, 1), mean > cpus)
    yield from _accept(view)
    if queues.disks:
        yield Gauge("disk", f"{(disk := queues.disks[0]).depth:.1f}", disk.utilisation, disk.utilisation > FULL)
    throttled = max((limit.throttled or 0.0 for limit in queues.cgroups), default=0.0)
    if throttled > 0:
        yield Gauge("throttled", percent(throttled), throttled, alarming=True)
    yield from _python(queues.interpreters)
    yield from _held_up(view.in_flight)
    yield from _buffers(queues.sockets)
    yield from _peers(view)


def _accept(view: View) -> Iterator[Gauge]:
    waiting = {one.local: one.recv_q for one in view.queues.sockets if one.role == "listening"}
    for address, deepest, limit in view.listeners[:_LISTENERS]:
        where = f" {port_of(address)}" if len(view.listeners) > 1 else ""
        now = waiting.get(address, deepest)
        most = f" max {count(deepest)}" if deepest > now else ""
        share = now / limit if limit > 0 else None
        yield Gauge(f"accept{where}", f"{count(now)}/{count(limit)}{most}", share, now >= limit > 0)


def _python(interpreters: tuple[Interpreter, ...]) -> Iterator[Gauge]:
    """Tell the interpreter lock that is held most, and the collector that runs most, of all processes."""
    held = max((one.gil_held for one in interpreters if one.gil_held is not None), default=None)
    if held is not None:
        yield Gauge("gil held", percent(held), held, held > FULL)
    collecting = max((one.gc_share for one in interpreters if one.gc_share is not None), default=0.0)
    if collecting >= _LEAST:
        yield Gauge("gc", percent(collecting), collecting, collecting > _COLLECTING)


def _held_up(in_flight: Sequence[OpenRequest]) -> Iterator[Gauge]:
    """Count the requests in flight by what they wait for: a pool by its name, all else by its bucket."""
    pools = [_pool_of(one) for one in in_flight]
    states = Counter(one.state for one, pool in zip(in_flight, pools, strict=True) if pool is None)
    for bucket in _QUEUEING:
        if states[bucket]:
            ink = palette.INKS[bucket]
            yield Gauge(
                f"{ink.glyph} {ink.name}", str(states[bucket]), states[bucket] / len(in_flight), colour=ink.colour
            )
    for pool, number in Counter(pool for pool in pools if pool is not None).most_common():
        yield Gauge(f"pool {clean(pool)}", str(number), number / len(in_flight), colour=palette.INKS["lock"].colour)


def _pool_of(request: OpenRequest) -> str | None:
    waits_for = awaited(request.stack) if request.stack else None
    if waits_for is None or waits_for.kind != "pool":
        return None
    return waits_for.what.removeprefix(_CONNECTION)


def _buffers(sockets: tuple[SocketState, ...]) -> Iterator[Gauge]:
    open_ = [one for one in sockets if one.role != "listening"]
    for name, fullest in (
        ("recv", max((one.recv_q for one in open_), default=0)),
        ("send", max((one.send_q for one in open_), default=0)),
    ):
        if fullest > 0:
            yield Gauge(name, binary(fullest))


def _peers(view: View) -> Iterator[Gauge]:
    """Tell for each peer how many requests in flight wait for it, of how many connections to it."""
    sockets = view.queues.sockets
    open_ = (
        Counter(one.peer for one in sockets if one.role == "connected") if len(sockets) < _ALL_SOCKETS else Counter()
    )
    waiting = Counter(one.peer for one in view.in_flight if one.peer is not None and one.state == "calls")
    names = {one.address: one.name for one in view.peers}
    for peer in list(dict.fromkeys(chain((peer for peer, _ in waiting.most_common()), open_)))[:_PEERS]:
        if peer is not None:
            number, of = waiting[peer], open_[peer]
            named = clean(f"{names[peer]} {peer}" if peer in names else peer)
            yield Gauge(named, f"{number} of {of}" if of else str(number), number / of if of else None)
