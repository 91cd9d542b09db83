"""How much memory the target holds, over time and by process; what it is limited to; what its collectors do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.agent.report_places import collector
from perfwatch.tui import palette
from perfwatch.tui.canvas import ACROSS, DOWN, Canvas, with_axis
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, clock, percent, span
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import View
    from perfwatch.agent.model_memory import Growth, HostMemory, MemoryState, ProcessMemoryUse, Room
    from perfwatch.tui.messages import Frame

_NS: Final = 1e9
_MOST: Final = 12
"""Processes and interpreters that are shown."""
_FLAT: Final = 0.1
"""What changes by less than this part of the whole is drawn on that part: its noise is not made a mountain range."""
_LOW, _HIGH = 5, 9
"""Cells that the chart is high; the higher one where the terminal is."""
_TALL: Final = 36
_ROOMY: Final = 86
_BAR: Final = 10
_NEAR_S: Final = 86_400
"""What would be full later than this is not foretold."""
_HEAP: Final = (
    "not known from outside: RSS is what the process has in memory, heap and all. What allocates is told by "
    "`memray attach PID`, or by tracemalloc in the program."
)


class MemoryUse(SectionPanel):
    """Of the newest view; rates are over its last 10 s."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the chart, then what stands behind it."""
        view = frame.view
        memory, high = view.memory, _HIGH if self.app.size.height >= _TALL else _LOW
        if not memory.processes:
            yield Section("memory", "", [Text(_why_not(frame), style=palette.WARN)])
        else:
            grown = wrapped(Text(), grows(memory.growth), width, palette.WARN if memory.growth else palette.QUIET)
            yield Section("resident memory", _sum(memory), [*_chart(frame, width, high), *grown])
        yield Section("processes", _heading(width), [_process(one, width) for one in memory.processes[:_MOST]])
        yield _collectors(view, frame.lately(), width)
        yield Section("limits", "", list(_limits(view, width)))
        yield Section("heap", "", sentences([_HEAP], width))


def _why_not(frame: Frame) -> str:
    probe = next((one for one in frame.info.probes if one.name == "memory"), None)
    if probe is None or probe.status == "running":
        return "the memory of the target was not read yet"
    return f"not read: {clean(probe.reason or '')} {clean(probe.remedy or '')}".rstrip()


def _sum(memory: MemoryState) -> str:
    total = memory.total[-1][1] if memory.total else sum(one.rss_bytes for one in memory.processes)
    count = len(memory.processes)
    shared = "; pages that they share count in each" if count > 1 else ""
    return f"{said.binary(total)} in {_processes(count)}{shared}"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def grows(growth: Growth | None) -> str:
    """Say by how much something grows: `grows by 12 MiB a minute (10 to 14), over 5m 00s`."""
    if growth is None:
        return "no growth that could be told from its scatter"
    rate, low, high = (said.binary(max(value, 0)) for value in (growth.bytes_min, growth.low, growth.high))
    return f"grows by {rate} a minute ({low} to {high}), over {span(growth.over_ns / _NS)}"


def _chart(frame: Frame, width: int, height: int) -> list[Text]:
    """Draw what it held since the first reading; the axis begins at 0 only where it came near."""
    points = frame.view.memory.total
    if len(points) < 2:  # noqa: PLR2004 - a line
        return []
    low, high = _range([value for _, value in points])
    labels = said.binary(high), said.binary(low)
    room = max(8, width - max(map(len, labels)) - 2)
    canvas, first_ns = Canvas(room, height), points[0][0]
    across = (room * ACROSS - 1) / max(points[-1][0] - first_ns, 1)
    up = (height * DOWN - 1) / max(high - low, 1)
    canvas.area([((at_ns - first_ns) * across, (value - low) * up) for at_ns, value in points], palette.LINE)
    began, ended = _ends(frame)
    times = Text(" " * (width - room) + began + ended.rjust(max(room - len(began), 0)), style=palette.QUIET)
    return [*with_axis(canvas.lines(), *labels), times]


def _ends(frame: Frame) -> tuple[str, str]:
    """Say of when both ends of the chart are."""
    first_ns, last_ns = (at_ns for at_ns, _ in (frame.view.memory.total[0], frame.view.memory.total[-1]))
    if frame.position.window is None:
        return f"{span((last_ns - first_ns) / _NS)} ago", "now"
    return clock(frame.info.unix_s(first_ns)), clock(frame.info.unix_s(last_ns))


def _range(values: Sequence[int]) -> tuple[float, float]:
    low, high = float(min(values)), float(max(values))
    if low < high / 2:
        return 0.0, high or 1.0
    spread = max((high - low) * 1.1, high * _FLAT)
    return max(high - spread, 0.0), high


def _heading(width: int) -> str:
    pss = f"{'PSS':>9}" if width >= _ROOMY else ""
    return f"{'RSS':>9}{pss}{'USS':>9}{'swap':>9}  {'faults/s':>8}  {'from disk/s':>11}"


def _process(one: ProcessMemoryUse, width: int) -> Text:
    pss = (one.pss_bytes,) if width >= _ROOMY else ()
    sizes = (NONE if size is None else said.binary(size) for size in (*pss, one.uss_bytes, one.swap_bytes))
    text = Text.assemble((f"{one.pid:>9}  ", palette.QUIET), (f"{said.binary(one.rss_bytes):>9}", palette.STRONG))
    for size in sizes:
        text.append(f"{size:>9}", palette.TEXT)
    text.append(f"  {_rate(one.minor_faults_s):>8}", palette.TEXT)
    text.append(f"  {_rate(one.major_faults_s):>11}", palette.WARN if (one.major_faults_s or 0) >= 1 else palette.TEXT)
    return text.append(f" +{said.binary(one.growth.bytes_min)}/min" if one.growth else "", palette.WARN)


def _rate(rate: float | None) -> str:
    return NONE if rate is None else f"{rate:.1f}" if rate < 99.5 else f"{rate:.0f}"  # noqa: PLR2004


# --- limits


def _limits(view: View, width: int) -> Iterator[Text]:
    memory = view.memory
    if memory.room is not None:
        yield from _room(memory.room, width)
    for one in view.queues.cgroups:
        if one.memory_bytes is not None:
            yield from sentences([said.cgroup(one)], width)
    if memory.host is not None:
        yield from sentences(_of_host(memory.host), width)
    held_up = [one for one in view.queues.pressure if one.memory is not None]
    told = ", ".join(f"{percent(one.memory or 0.0)} ({one.scope})" for one in held_up)
    if told:
        yield from sentences([f"pressure: some task waited for memory in {told} of the time"], width)


def _room(room: Room, width: int) -> Iterator[Text]:
    """Say what is full first, and when, were the growth to go on."""
    used = 1 - room.free_bytes / room.limit_bytes if room.limit_bytes else None
    lead = Text.assemble(
        gauge(used, _BAR, heat(used)), (f" {NONE if used is None else percent(used)}  ", palette.STRONG)
    )
    of = "the host's memory" if room.of == "host" else f"the limit of {room.of}"
    is_near = room.full_in_s is not None and room.full_in_s < _NEAR_S
    full = f"; at its growth that is full in {span(room.full_in_s or 0)}" if is_near else ""
    text = f"{said.binary(room.free_bytes)} of {said.binary(room.limit_bytes)} left: {of} is met first{full}"
    yield from wrapped(lead, text, width, palette.WARN if full else palette.TEXT)


def _of_host(host: HostMemory) -> Iterator[str]:
    words = [f"host: {said.binary(host.available_bytes)} of {said.binary(host.total_bytes)} available"]
    if host.swap_total_bytes:
        used = max(host.swap_total_bytes - host.swap_free_bytes, 0)
        words.append(f"{said.binary(used)} of {said.binary(host.swap_total_bytes)} swap used")
    else:
        words.append("no swap")
    if host.swapped_in_bytes_s:
        words.append(f"{said.octets(host.swapped_in_bytes_s)}/s read back from swap")
    if host.direct_reclaims_s:
        words.append(f"{host.direct_reclaims_s:.1f} direct reclaims/s")
    if host.major_faults_s is not None:
        words.append(f"{host.major_faults_s:.1f} faults/s from disk")
    yield ", ".join(words)
    if host.oom_kills:
        yield f"{_processes(host.oom_kills)} killed for want of memory since attaching"


# --- collectors


def _collectors(view: View, since: str, width: int) -> Section:
    """Tell of the last 10 s and, below, of all; a pause that nobody saw has no length."""
    ever = {one.pid: one for one in view.queues_overall.interpreters}
    told = []
    for one in view.queues.interpreters[:_MOST]:
        lately, overall = collector(one), collector(ever[one.pid]) if one.pid in ever else ""
        told.append(lately or f"process {one.pid}: its runs are not counted")
        if one.gc_share is None and any(one.gc_collections):
            told.append("  they are counted, but not seen one by one: how long they took is not known")
        if overall:
            told.append(f"  since attaching: {overall.partition(': ')[2].partition('; thresholds')[0]}")
    return Section("garbage collectors", f"over {since}", sentences(told, width))
