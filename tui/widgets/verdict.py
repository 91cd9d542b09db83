"""The verdict on the whole session, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.correlator.because import also
from perfwatch.agent.report_gains import gain_of_all
from perfwatch.tui import palette
from perfwatch.tui.format import clean, clock, count, duration, fit, percent, span
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame

_SENTENCE: Final = 3
"""Lines of the longest."""


class VerdictBox(Panel):
    """What is wrong, what it would be like without that, what else there is, and what to do about it."""

    BORDER_TITLE = "verdict"

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say the verdict, or why there is none yet."""
        view = frame.view
        if view.count == 0 and not view.verdict.evidence:
            return joined(_waiting(frame, width))
        return joined(_lines(frame, width))


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


def _lines(frame: Frame, width: int) -> list[Text]:
    """Wrap the sentence; below it stands what else there is, the most telling first: what has no room is cut."""
    verdict, room = frame.view.verdict, max(1, width - 3)
    words = _wrap(clean(verdict.summary), room)
    told = [*words[: _SENTENCE - 1], " ".join(words[_SENTENCE - 1 :])]
    lines = [Text(fit(line, room), style=palette.STRONG) for line in told if line]
    lines += [line for line in (_gain(frame.view, room),) if line]
    lines.append(Text(fit(_last_line(frame), room), style=palette.QUIET))
    letter = Text(f"{palette.LETTER[verdict.principle]}  ", style=f"bold {palette.COLOUR[verdict.principle]}")
    return [letter.append_text(lines[0]), *(Text("   ").append_text(line) for line in lines[1:])]


def _gain(view: View, width: int) -> Text:
    """Say what would be gained, and which other causes there are; empty where neither is known."""
    gain, others = gain_of_all(view), also(view.verdict.causes, view.verdict.mechanism)
    told = f"also {others}" if others else ""
    text = Text.assemble((gain or "", palette.GAIN), "   " if gain and told else "", (told, palette.TEXT))
    text.truncate(width, overflow="ellipsis")
    return text


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _last_line(frame: Frame) -> str:
    """Return the first advice; of a healthy target, over what that was found."""
    view = frame.view
    if view.verdict.advice:
        return f"→ {clean(view.verdict.advice[0])}"
    passed = span(max(0, view.now_ns - view.first_ns) / 1e9)
    slowest = f", slowest {duration(view.latency_ms.max)}" if view.latency_ms else ""
    slow = f"{count(view.slow_count)} slow ({percent(view.slow_count / max(1, view.count))})"
    return f"{count(view.count)} requests in {passed}, {slow}{slowest}"
