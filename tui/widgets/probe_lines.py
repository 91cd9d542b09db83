"""The probes: which run, what each costs, how often it is read, and what is not known for want of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.model import ProbeStatus
from perfwatch.tui import palette
from perfwatch.tui.format import NONE, clean, count, fit, percent
from perfwatch.tui.widgets.sections import Section, SectionPanel, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.agent.model_queues import OwnCost
    from perfwatch.tui.messages import Frame

_CORE: Final = 27
_RANK: Final = {"unavailable": 0, "limited": 1, "running": 2}
_COLOURS: Final = {"running": palette.QUIET, "limited": palette.WARN, "unavailable": palette.ALARM}


class ProbeLines(SectionPanel):
    """One line for each probe, and where it does not run as it should, why and what would help."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the probes: those that do not run as they should, then the dearest."""
        view, info = frame.view, frame.info
        lines = [line for probe in _probes(info, view.own_cost) for line in _lines(probe, view, width)]
        yield Section("probes", f"{'of a core':>{_CORE}}   how often it is read", lines)


def _probes(info: SessionInfo, cost: OwnCost | None) -> list[ProbeStatus]:
    """Return the probes of the session, and those that only their cost tells of."""
    costs = {name: cpu for name, cpu, _ in cost.probes} if cost else {}
    known = {probe.name for probe in info.probes}
    found = [*info.probes, *(ProbeStatus(name, "running") for name in costs if name not in known)]
    return sorted(found, key=lambda one: (_RANK[one.status], -costs.get(one.name, 0.0)))


def _lines(probe: ProbeStatus, view: View, width: int) -> Iterator[Text]:
    costs = {name: (cpu, period_s) for name, cpu, period_s in view.own_cost.probes} if view.own_cost else {}
    cpu, period_s = costs.get(probe.name, (None, probe.period_s))
    lost = dict(view.losses).get(probe.name, 0)
    slowed = {name: why for name, _, why in view.slowed_probes}.get(probe.name)
    read = "" if period_s is None else f"   every {period_s:g} s"
    yield Text.assemble(
        (fit(clean(probe.name), 15), palette.TEXT),
        (f"{probe.status:<12}", _COLOURS[probe.status]),
        (f"{NONE if cpu is None else percent(cpu, digits=1):>7}", palette.TEXT),
        (f"{read:<16}", palette.WARN if slowed else palette.TEXT),
        (f"  {count(lost)} events lost" if lost else "", palette.WARN),
    )
    for label, text in _gaps(probe, slowed):
        yield from wrapped(Text(f"  {label} ", style=palette.QUIET), text, width, palette.QUIET)


def _gaps(probe: ProbeStatus, slowed: str | None) -> Iterator[tuple[str, str]]:
    if slowed:
        usual = f" (usually every {probe.period_s:g} s)" if probe.period_s else ""
        yield "slowed:", f"{slowed}{usual}"
    if probe.status == "running":
        return
    yield "why:", probe.reason or "no reason given"
    if probe.lost:
        yield "not known:", probe.lost
    if probe.remedy:
        yield "do:", probe.remedy
