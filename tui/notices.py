"""The states that are easy to forget, as lines: what is missing, lost or over; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from perfwatch.agent import report_sentences as said
from perfwatch.agent.correlator.because import ring
from perfwatch.tui.format import clean, count, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.tui.messages import Frame

_OWN_CPU_BUDGET: Final = 0.10
"""Where a session does not say."""


class Notice(NamedTuple):
    """One line, and how bad it is."""

    level: Literal["broken", "warning", "note"]
    text: str


def notices(frame: Frame) -> tuple[Notice, ...]:
    """Return what has to be said of this frame, the worst first."""
    return (*_ends(frame), *_gaps(frame))


def _ends(frame: Frame) -> Iterator[Notice]:
    view = frame.view
    for deadlock in view.deadlocks:
        yield Notice("broken", clean(ring(deadlock.members)))
    if frame.error is not None:
        yield Notice("broken", clean(frame.error))
    if view.target_gone is not None:
        yield Notice("warning", f"target gone: {clean(view.target_gone)}")
    if frame.ended is not None and frame.view.target_gone is None:
        yield Notice("note", clean(frame.ended))


def _gaps(frame: Frame) -> Iterator[Notice]:
    view, info = frame.view, frame.info
    if view.lost:
        plural = "event was" if view.lost == 1 else "events were"
        yield Notice("warning", f"{count(view.lost)} {plural} lost: some requests or waits are missing")
    if frame.position.note:
        yield Notice("note", clean(frame.position.note))
    if is_over_budget(view):
        cpu, budget = _use(view)
        yield Notice(
            "warning", f"perfwatch itself uses {percent(cpu or 0.0)} of a core; its budget is {percent(budget)}"
        )
    if info.fidelity == "sampled":
        yield Notice("note", _sampled(info))
    for slowed in view.slowed_probes:
        yield Notice("note", clean(said.slowed(*slowed)))
    for status in info.probes:
        if status.status == "unavailable" and not (status.name == "ledger" and info.fidelity == "sampled"):
            yield Notice("note", f"no {clean(status.name)}: {clean(status.reason or 'unavailable')}")


def is_over_budget(view: View) -> bool:
    """Tell whether perfwatch uses more of a core than it may."""
    cpu, budget = _use(view)
    return cpu is not None and cpu > budget


def _use(view: View) -> tuple[float | None, float]:
    """Return the part of a core that perfwatch uses, and the part that it may use."""
    if view.own_cost is None:
        return view.own_cpu, _OWN_CPU_BUDGET
    return view.own_cost.cpu, view.own_cost.budget


def _sampled(info: SessionInfo) -> str:
    """Say what is lost without the ledger, and which command would give it."""
    ledger = next((probe for probe in info.probes if probe.name == "ledger"), None)
    why = f": {clean(ledger.reason)}" if ledger and ledger.reason else ": short waits are missed"
    lost = clean(ledger.lost) if ledger and ledger.lost else "more"
    if ledger and ledger.remedy:
        return f"sampled, not exact{why}; `{clean(ledger.remedy)}` gives {lost}"
    return f"sampled, not exact{why}; `perfwatch doctor` tells what would give {lost}"
