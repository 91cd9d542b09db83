"""The verdict on the whole session, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import clean, clock, count, duration, fit, percent, span
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from perfwatch.agent.model import Verdict
    from perfwatch.tui.messages import Frame


class VerdictBox(Panel):
    """Two lines: what is wrong, and what to do about it."""

    BORDER_TITLE = "verdict"

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say the verdict, or why there is none yet."""
        view = frame.view
        if view.count == 0 and not view.verdict.evidence:
            return joined(_waiting(frame, width))
        return joined(_lines(view.verdict, _second_line(frame), width))


def _waiting(frame: Frame, width: int) -> list[Text]:
    """Say what is watched, and since when."""
    view, info = frame.view, frame.info
    ports = ", ".join(clean(address) for address in info.listeners[:3]) or "no listening socket yet"
    since = clock(info.unix_s(frame.position.first_ns))
    told = f"Watching {ports} since {since}: no request has ended yet."
    then = "Requests show as soon as they end; those that hang show in flight."
    if view.in_flight_count:
        then = f"{count(view.in_flight_count)} in flight: see the list below."
    return [
        Text(fit(f"·  {told}", width), style=palette.STRONG),
        Text(fit(f"   {then}", width), style=palette.QUIET),
    ]


def _lines(verdict: Verdict, second: str, width: int) -> list[Text]:
    """Wrap the summary to two lines; the advice takes the second where the summary leaves it free."""
    room = max(1, width - 3)
    letter, colour = palette.LETTER[verdict.principle], palette.COLOUR[verdict.principle]
    words = _wrap(clean(verdict.summary), room)
    lines = [Text.assemble((f"{letter}  ", f"bold {colour}"), (fit(words[0], room), palette.STRONG))]
    if len(words) > 1:
        lines.append(Text("   " + fit(" ".join(words[1:]), room), style=palette.STRONG))
    else:
        lines.append(Text("   " + fit(second, room), style=palette.QUIET))
    return lines


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _second_line(frame: Frame) -> str:
    """Return the first advice; of a healthy target, over what that was found."""
    view = frame.view
    if view.verdict.advice:
        return f"→ {clean(view.verdict.advice[0])}"
    passed = span(max(0, view.now_ns - view.first_ns) / 1e9)
    slowest = f", slowest {duration(view.latency_ms.max)}" if view.latency_ms else ""
    slow = f"{count(view.slow_count)} slow ({percent(view.slow_count / max(1, view.count))})"
    return f"{count(view.count)} requests in {passed}, {slow}{slowest}"
