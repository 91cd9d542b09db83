"""The first line: what is watched, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from perfwatch.agent.report_sentences import binary
from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit, fit_path, minor, percent, port_of, program
from perfwatch.tui.notices import is_over_budget
from perfwatch.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame

_PORTS = 2
_PIDS = 4
_DOTS = {
    "live": ("●", palette.ALARM),
    "following": ("●", palette.ALARM),
    "paused": ("‖", palette.WARN),
    "ended": ("■", palette.QUIET),
}


class Header(Panel):
    """Target at the left, the state of the stream at the right; the program takes what is left over."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Lay the line out from both ends."""
        right = _state(frame, width)
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
    pids = "+".join(str(target.pid) for target in info.targets[:_PIDS]) or info.pid
    pid = f"pid {pids}" + (f" +{workers} worker{'s' if workers > 1 else ''}" if workers else "")
    ports = [port_of(address) for address in info.listeners]
    more = f" +{len(ports) - _PORTS}" if len(ports) > _PORTS else ""
    python = f"py{minor(info.python)}" if info.python else ""
    server = clean(info.server) if info.server and info.server not in info.command else ""
    container = f"in {clean(info.container.short)}" if info.container and not info.targets else ""
    facts = [pid, ", ".join(ports[:_PORTS]) + more, container, server, python]
    return [fact for fact in facts if fact]


def _state(frame: Frame, width: int) -> Text:
    """Say how the stream stands, how it is measured, and what that costs; what matters least gives way first."""
    text = Text.assemble(_label(frame), _fidelity(frame))
    cost, slowed = _cost(frame), _slowed(frame.view)
    memory = "" if frame.view.own_cost is None else f" {binary(frame.view.own_cost.rss_bytes)}"
    for further in ((cost, memory, slowed), (cost, "", slowed), (cost, "", ""), ("", "", "")):
        used = Text.assemble(*(part if isinstance(part, Text) else (part, palette.QUIET) for part in further))
        if text.cell_len + used.cell_len <= width // 2:
            return text.append_text(used)
    return text


def _label(frame: Frame) -> Text:
    label = "broken" if frame.error is not None else clean(frame.position.label)
    dot, colour = _DOTS.get(label, ("▶", palette.ACCENT))
    if frame.error is not None or frame.view.target_gone is not None:
        dot, colour = "■", palette.QUIET
    return Text(f"{dot} {label}", style=f"bold {colour}")


def _fidelity(frame: Frame) -> Text:
    fidelity = frame.info.fidelity
    return Text(f"  {fidelity}", style=palette.QUIET if fidelity == "exact" else palette.WARN)


def _cost(frame: Frame) -> Text:
    view = frame.view
    cpu = view.own_cpu if view.own_cost is None else view.own_cost.cpu
    if cpu is None:
        return Text()
    return Text(f"  collector {percent(cpu, digits=1)}", style=palette.WARN if is_over_budget(view) else palette.QUIET)


def _slowed(view: View) -> Text:
    """Name the first probe that does less than it would, and how often it is read."""
    if not view.slowed_probes:
        return Text()
    probe, period_s, _ = view.slowed_probes[0]
    more = f" +{len(view.slowed_probes) - 1}" if len(view.slowed_probes) > 1 else ""
    what = "a sample" if period_s is None else f"every {period_s:g} s"
    return Text(f"  {fit(clean(probe), 10).rstrip()} {what}{more}", style=palette.WARN)
