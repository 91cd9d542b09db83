"""Who has the host, and what holds the target up: the run queue with the neighbours, pressure, cgroups, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, fit, percent
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import CgroupLimit, CpuShare, Pressure, Queues, RunQueue
    from perfwatch.tui.messages import Frame

_BAR: Final = 10


class HostShare(SectionPanel):
    """Over the last seconds of the view."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield who wants the CPUs, how long all wait, and what the target may use."""
        queues = frame.view.queues
        yield _run_queue(queues.run_queue)
        yield pressure(queues)
        told = [line for one in queues.cgroups for line in _cgroup(one, width)]
        yield Section("cgroups", "those that hold the target", told)
        states = dict(queues.threads)
        threads = [said.threads(states)] if states else []
        yield Section("threads", f"{sum(states.values())} of the target", sentences(threads, width))


def pressure(queues: Queues) -> Section:
    """Say how long tasks of the host and of the target's cgroups were held up."""
    known = [one for one in queues.pressure if (one.cpu, one.memory, one.io) != (None, None, None)]
    head = f"{'cpu':>6}{'memory':>14}{'io':>14}   some/all tasks waited"
    return Section("pressure", head, [_held_up(one) for one in known])


def _held_up(one: Pressure) -> Text:
    pairs = ((one.cpu, one.cpu_full), (one.memory, one.memory_full), (one.io, one.io_full))
    text = Text()
    for place, (some, full) in enumerate(pairs):
        told = NONE if some is None else percent(some) + ("" if full is None else f"/{percent(full)}")
        text.append(f"{told:>{14 + 2 * (place == 0)}}", palette.ALARM if (full or 0.0) >= 0.1 else palette.TEXT)  # noqa: PLR2004
    return text.append(f"   {clean(one.scope)}", palette.QUIET)


def _run_queue(queue: RunQueue | None) -> Section:
    if queue is None:
        return Section("run queue", "", [])
    told = f"{queue.waiting_mean:.1f} threads waited, median {queue.waiting_median:g}, at most {queue.waiting_max}"
    users = [_cpu_user(user, queue.cpus) for user in said.notable(queue.top)]
    return Section("run queue", f"{told}; {said.counted(queue.cpus, 'CPU')}", users or [Text("nobody used a CPU")])


def _cpu_user(user: CpuShare, cpus: int) -> Text:
    share = user.cpus / max(cpus, 1)
    return Text.assemble(
        (f"{user.pid:>8}  ", palette.QUIET),
        (f"{fit(clean(user.name), 16)} ", palette.STRONG if user.is_target else palette.TEXT),
        gauge(share, _BAR, palette.LINE),
        (f" {user.cpus:5.2f} CPUs", palette.TEXT),
        ("  the target" if user.is_target else "", palette.ACCENT),
    )


def _cgroup(one: CgroupLimit, width: int) -> list[Text]:
    """Say what a cgroup may use, and draw how far it does."""
    lines = sentences([said.cgroup(one)], width)
    quota = None if one.quota_cpus is None or one.used_cpus is None else one.used_cpus / one.quota_cpus
    memory = None
    if one.memory_bytes is not None and one.memory_limit_bytes:
        memory = one.memory_bytes / one.memory_limit_bytes
    throttled = None if one.quota_cpus is None else one.throttled
    parts = (("of its CPUs", quota), ("of its periods throttled", throttled), ("of its memory", memory))
    bars = [
        Text.assemble(gauge(share, _BAR, heat(share)), (f" {percent(share)} {what}", palette.TEXT))
        for what, share in parts
        if share is not None
    ]
    together = Text.assemble("  ", Text("   ").join(bars))
    if together.cell_len > width:
        return [*lines, *(Text.assemble("  ", bar) for bar in bars)]
    return [*lines, together] if bars else lines
