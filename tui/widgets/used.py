"""Two lines of the overview: where something queues at this moment, and how used the host is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.report_sentences import binary
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, count, percent, port_of
from perfwatch.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model import Bucket, View
    from perfwatch.agent.model_queues import Interpreter, SocketState
    from perfwatch.tui.messages import Frame

FULL: Final = 0.9
"""A resource that is used so far has no room for a burst."""
_COLLECTING: Final = 0.1
_LEAST: Final = 0.01
_GAP: Final = "  "
_BARS: Final = ((120, 10), (96, 8), (80, 5), (0, 3))
"""(from this width on, cells of a bar)"""
_QUEUEING: Final[tuple[Bucket, ...]] = ("gil", "lock", "loop", "run_queue", "disk", "fault", "calls")
_SHORT: Final = {"memory": "mem", "network": "net"}


class QueueLine(Panel):
    """Threads that wait for a CPU, accept queues, requests at the disk, interpreter locks, requests held up, buffers.

    An accept queue that was deeper than it is tells that too. Of buffers the fullest one of any connection is told.
    What is not known is left out.
    """

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say as much as there is room for, the most telling first."""
        line = _filled(Text(" queues ", style=palette.QUIET, no_wrap=True, overflow="crop"), _queues(frame.view), width)
        if (left := width - line.cell_len) > len(load := f"concurrency {frame.view.concurrency:.1f}"):
            line.append(load.rjust(left - 1), palette.QUIET)
        return line


class Used(Panel):
    """A bar for each resource of the host, and how long its tasks were held up."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say what is known; cpu and memory stand there also where they are not."""
        bar = next(cells for least, cells in _BARS if width >= least)
        line = Text(" used   ", style=palette.QUIET, no_wrap=True, overflow="crop")
        return _filled(line, _resources(frame.view, bar), width)


def _filled(line: Text, pieces: Iterable[Text], width: int) -> Text:
    for piece in pieces:
        if line.cell_len + len(_GAP) + piece.cell_len <= width:
            line.append(_GAP).append_text(piece)
    return line


def _queues(view: View) -> Iterator[Text]:
    queues = view.queues
    if queues.run_queue is not None:
        mean = queues.run_queue.waiting_mean
        yield _figure("run", f"{mean:.1f}", alarming=mean > queues.run_queue.cpus)
    waiting = {one.local: one.recv_q for one in queues.sockets if one.role == "listening"}
    for address, deepest, limit in view.listeners[:2]:
        where = f" {port_of(address)}" if len(view.listeners) > 1 else ""
        now = waiting.get(address, deepest)
        most = f" max {count(deepest)}" if deepest > now else ""
        yield _figure(f"accept{where}", f"{count(now)}/{count(limit)}{most}", alarming=now >= limit > 0)
    if queues.disks:
        yield _figure("disk", f"{queues.disks[0].depth:.1f}", alarming=queues.disks[0].utilisation > FULL)
    throttled = max((limit.throttled or 0.0 for limit in queues.cgroups), default=0.0)
    if throttled > 0:
        yield _figure("throttled", percent(throttled), alarming=True)
    yield from _python(queues.interpreters)
    yield from _held_up(view)
    yield from _buffers(queues.sockets)


def _python(interpreters: tuple[Interpreter, ...]) -> Iterator[Text]:
    """Tell the interpreter lock that is held most, and the collector that runs most, of all processes."""
    held = max((one.gil_held for one in interpreters if one.gil_held is not None), default=None)
    if held is not None:
        yield _figure("gil held", percent(held), alarming=held > FULL)
    collecting = max((one.gc_share for one in interpreters if one.gc_share is not None), default=0.0)
    if collecting >= _LEAST:
        yield _figure("gc", percent(collecting), alarming=collecting > _COLLECTING)


def _held_up(view: View) -> Iterator[Text]:
    """Count the requests in flight by what they wait for."""
    states = Counter(request.state for request in view.in_flight)
    for bucket in _QUEUEING:
        if states[bucket]:
            ink = palette.INKS[bucket]
            yield Text.assemble((f"{ink.glyph} {ink.name} ", ink.colour), (str(states[bucket]), palette.TEXT))


def _buffers(sockets: tuple[SocketState, ...]) -> Iterator[Text]:
    open_ = [one for one in sockets if one.role != "listening"]
    for name, fullest in (
        ("recv", max((one.recv_q for one in open_), default=0)),
        ("send", max((one.send_q for one in open_), default=0)),
    ):
        if fullest > 0:
            yield _figure(name, binary(fullest), alarming=False)


def _resources(view: View, bar: int) -> Iterator[Text]:
    shares = {one.resource: one.utilisation for one in view.saturation}
    yield _bar("cpu", shares.get("cpu", view.cpu_use), bar)
    yield _bar("memory", shares.get("memory", view.memory_use), bar)
    for name in ("disk", "network"):
        if shares.get(name) is not None:
            yield _bar(name, shares[name], bar)
    host = next((one for one in view.queues.pressure if one.scope == "host"), None)
    told = {} if host is None else {"cpu": host.cpu, "mem": host.memory, "io": host.io}
    held = [(share, name) for name, share in told.items() if share is not None]
    if held:
        share, name = max(held)
        yield _figure(f"psi {name}" if share else "psi", percent(share), alarming=False)


def _bar(name: str, share: float | None, cells: int) -> Text:
    figure = NONE if share is None else percent(share)
    return Text.assemble(
        (f"{_SHORT.get(name, name)} ", palette.QUIET), gauge(share, cells, heat(share)), f" {figure:<5}"
    )


def _figure(name: str, figure: str, *, alarming: bool) -> Text:
    return Text.assemble((f"{name} ", palette.QUIET), (figure, palette.ALARM if alarming else palette.TEXT))


def heat(share: float | None) -> str:
    """Return the colour of a bar."""
    if share is None:
        return palette.FAINT
    return palette.ALARM if share > FULL else palette.LINE
