"""What limits the target on its host: the resources, the run queue with the neighbours, pressure, cgroups, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.agent.report_gains import scaling
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, fit, percent
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import CpuShare, Pressure, Queues, RunQueue, Saturation
    from perfwatch.tui.messages import Frame

_ROOMY: Final = 90
_BAR: Final = 10
_SHORT_BAR: Final = 5
_READABLE: Final = 24
"""In fewer cells, words go to a line of their own."""


class HostLoad(SectionPanel):
    """Over the last seconds of the view."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the resources in the USE manner, then what stands behind them."""
        view = frame.view
        bar = _BAR if width >= _ROOMY else _SHORT_BAR
        head = f"{'used':>{bar + 4}}  {'saturated':>9}  {'errors':>6}"
        yield Section("resources", head, [line for one in view.saturation for line in _resource(one, bar, width)])
        law = [] if view.scalability is None else sentences(scaling(view.scalability), width)
        yield Section("scalability", "over the session", law)
        yield _run_queue(view.queues.run_queue)
        yield _pressure(view.queues)
        yield Section("cgroups", "", sentences(map(said.cgroup, view.queues.cgroups), width))
        states = dict(view.queues.threads)
        told = [said.threads(states)] if states else []
        yield Section("threads", f"{sum(states.values())} of the target", sentences(told, width))


def _resource(one: Saturation, bar: int, width: int) -> list[Text]:
    used, saturated = (NONE if part is None else percent(part) for part in (one.utilisation, one.saturation))
    lead = Text.assemble(
        (f"{one.resource:<9}", palette.TEXT),
        gauge(one.utilisation, bar, heat(one.utilisation)),
        (f"{used:>6}", palette.STRONG),
        (f"  {saturated:>9}", palette.ALARM if (one.saturation or 0.0) > 0.5 else palette.TEXT),  # noqa: PLR2004
        (f"  {NONE if one.errors is None else one.errors:>6}", palette.ALARM if one.errors else palette.TEXT),
        "  ",
    )
    if width - lead.cell_len >= _READABLE:
        return wrapped(lead, one.text, width, palette.QUIET)
    return [lead, *wrapped(Text("  "), one.text, width, palette.QUIET)]


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


def _pressure(queues: Queues) -> Section:
    known = [one for one in queues.pressure if (one.cpu, one.memory, one.io) != (None, None, None)]
    head = f"{'cpu':>6}{'memory':>9}{'io':>8}   of the time some task waited"
    return Section("pressure", head, [_held_up(one) for one in known])


def _held_up(one: Pressure) -> Text:
    figures = (NONE if share is None else percent(share) for share in (one.cpu, one.memory, one.io))
    cpu, memory, io = figures
    return Text.assemble((f"{cpu:>16}{memory:>9}{io:>8}", palette.TEXT), (f"   {clean(one.scope)}", palette.QUIET))
