"""The first line: what is watched, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit_path, minor, percent, port_of, program
from perfwatch.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from perfwatch.tui.messages import Frame

_PORTS = 2
_DOTS = {"live": ("●", palette.ALARM), "paused": ("‖", palette.WARN), "ended": ("■", palette.QUIET)}


class Header(Panel):
    """Target at the left, the state of the stream at the right; the program takes what is left over."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Lay the line out from both ends."""
        right = _state(frame)
        facts = _facts(frame)
        room = width - right.cell_len - 3
        while len(facts) > 1 and sum(cell_len(fact) + 2 for fact in facts) > room - 28:
            facts.pop()
        tail = "".join(f"  {fact}" for fact in facts)
        name = " perfwatch  "
        command = fit_path(program(frame.info.command), max(0, room - len(name) - cell_len(tail))).rstrip()
        left = Text.assemble((name, f"bold {palette.ACCENT}"), (command, palette.STRONG), (tail, palette.QUIET))
        left.append(" " * max(1, width - left.cell_len - right.cell_len - 1))
        return Text.assemble(left, right, no_wrap=True, overflow="crop")


def _facts(frame: Frame) -> list[str]:
    """Return the facts of the target; the last ones are dropped first where the line is short."""
    info, workers = frame.info, frame.view.workers
    pid = f"pid {info.pid}" + (f" +{workers} worker{'s' if workers > 1 else ''}" if workers else "")
    ports = [port_of(address) for address in info.listeners]
    more = f" +{len(ports) - _PORTS}" if len(ports) > _PORTS else ""
    python = f"py{minor(info.python)}" if info.python else ""
    server = clean(info.server) if info.server and info.server not in info.command else ""
    facts = [pid, ", ".join(ports[:_PORTS]) + more, server, python]
    return [fact for fact in facts if fact]


def _state(frame: Frame) -> Text:
    label = "broken" if frame.error is not None else clean(frame.position.label)
    dot, colour = _DOTS.get(label, ("▶", palette.ACCENT))
    if frame.error is not None or frame.view.target_gone is not None:
        dot, colour = "■", palette.QUIET
    text = Text.assemble((f"{dot} {label}", f"bold {colour}"), (f"  {frame.info.fidelity}", palette.QUIET))
    if frame.view.own_cpu is not None:
        text.append(f"  collector {percent(frame.view.own_cpu, digits=1)}", palette.QUIET)
    return text
