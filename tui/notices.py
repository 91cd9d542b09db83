"""The states that are easy to forget, as lines: what is missing, lost or over; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from perfwatch.tui.format import clean, count, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.tui.messages import Frame

_OWN_CPU_BUDGET: Final = 0.10


class Notice(NamedTuple):
    """One line, and how bad it is."""

    level: Literal["broken", "warning", "note"]
    text: str


def notices(frame: Frame) -> tuple[Notice, ...]:
    """Return what has to be said of this frame, the worst first."""
    return (*_ends(frame), *_gaps(frame))


def _ends(frame: Frame) -> Iterator[Notice]:
    view = frame.view
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
    if view.own_cpu is not None and view.own_cpu > _OWN_CPU_BUDGET:
        yield Notice("warning", f"perfwatch itself uses {percent(view.own_cpu)} of a core")
    if info.fidelity == "sampled":
        yield Notice("note", "sampled, not exact: short waits are missed; `perfwatch doctor` tells what would help")
    for probe in info.probes:
        if probe.status == "unavailable":
            yield Notice("note", f"no {clean(probe.name)}: {clean(probe.reason or 'unavailable')}")
