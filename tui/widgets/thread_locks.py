"""Who holds what the threads wait for: the interpreter lock of each process, and rings that wait for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.correlator.because import ring
from perfwatch.tui import palette
from perfwatch.tui.format import clean, duration_ns, percent, span
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import TargetThread, View
    from perfwatch.agent.model_queues import Interpreter
    from perfwatch.tui.messages import Frame

_MOST: Final = 4
_NAMED: Final = 3
_LEAST: Final = 0.05
"""A lock that is held less, and wanted by nobody, is not told of."""


class ThreadLocks(Panel):
    """One line for each process whose lock is held, one for each further deadlock."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Set the lines below each other."""
        lines = list(_lines(frame))[:_MOST]
        for line in lines:
            line.truncate(max(1, width - 3), overflow="ellipsis")
        return joined([Text.assemble("   ", line) for line in lines])


def _lines(frame: Frame) -> Iterator[Text]:
    view = frame.view
    for one in view.deadlocks[1:]:  # the first is told at the top of the screen
        age_s = max(view.now_ns - one.since_ns, 0) / 1e9
        yield Text.assemble(
            (clean(ring(one.members)), f"bold {palette.ALARM}"),
            (f", for {span(age_s)}", palette.TEXT),
        )
    if why := not_read(frame):
        yield Text(why, style=palette.WARN)
    yield Text.assemble(*_states(view.threads, "now" if frame.position.window is None else "at its end"))
    if keepers := sorted((one for one in view.threads if one.kept[0]), key=lambda one: -one.kept[1])[:_NAMED]:
        told = ", ".join(f"{clean(one.name)} {duration_ns(one.kept[1])} ({one.kept[0]}x)" for one in keepers)
        yield Text.assemble(
            ("locks  ", palette.QUIET), (f"in {frame.lately('minute')} others waited for {told}", palette.TEXT)
        )
    for interpreter in view.queues.interpreters:
        threads = [one for one in view.threads if one.pid == interpreter.pid]
        wanted = [one for one in threads if one.doing == "gil"]
        if interpreter.gil_held is not None and (interpreter.gil_held >= _LEAST or wanted):
            yield _gil(interpreter, threads, wanted, many=_has_many(view))


def not_read(frame: Frame) -> str:
    """Say why stacks are not known, where they are not; else nothing."""
    probe = next((one for one in frame.info.probes if one.name == "stacks"), None)
    if probe is None or probe.status == "running":
        return "" if probe is not None or any(one.stack for one in frame.view.threads) else "stacks are not read"
    remedy = f" ({clean(probe.remedy)})" if probe.remedy else ""
    return f"stacks are not {'all ' if probe.status == 'limited' else ''}read: {clean(probe.reason or '')}{remedy}"


def _states(threads: Sequence[TargetThread], when: str) -> Iterator[tuple[str, str]]:
    """Count what they do at present."""
    yield f"{when}  ", palette.QUIET
    counts: dict[str, int] = {}
    for one in threads:
        ink = palette.ink_for(one.doing)
        counts[f"{ink.glyph} {ink.name}"] = counts.get(f"{ink.glyph} {ink.name}", 0) + 1
    colours = {f"{ink.glyph} {ink.name}": ink.colour for ink in (palette.ink_for(one.doing) for one in threads)}
    for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        yield f"{count} ", palette.STRONG
        yield f"{name}  ", colours[name]


def _gil(
    interpreter: Interpreter, threads: Sequence[TargetThread], wanted: Sequence[TargetThread], *, many: bool
) -> Text:
    holder = next((one for one in threads if one.holds_gil), None)
    whose = f" of {interpreter.pid}" if many else ""
    most = ", ".join(f"{clean(one.name or str(one.tid))} {percent(one.share)}" for one in interpreter.holders[:_NAMED])
    return Text.assemble(
        (f"gil{whose}  ", palette.QUIET),
        (f"held {percent(interpreter.gil_held or 0.0)}", palette.STRONG),
        (f" ({most})" if most else "", palette.TEXT),
        (f"   ◆ {clean(holder.name)} has it" if holder else "", palette.ALARM),
        (f"   {len(wanted)} waiting: {_names(wanted)}" if wanted else "", palette.INKS["gil"].colour),
    )


def _names(threads: Sequence[TargetThread]) -> str:
    named = ", ".join(clean(one.name) for one in threads[:_NAMED])
    return f"{named}, …" if len(threads) > _NAMED else named


def _has_many(view: View) -> bool:
    return len({one.pid for one in view.threads}) > 1
