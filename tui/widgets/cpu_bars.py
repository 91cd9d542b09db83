"""Each CPU as a bar of what it did: one a line with its figures, or several beside each other where there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.report_sentences import counted
from perfwatch.tui import palette
from perfwatch.tui.format import percent
from perfwatch.tui.gauges import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model_lately import CpuUse

_FEW: Final = 8
"""So many have a line each."""
_MOST_LINES: Final = 32
_BAR: Final = 20
_SMALL_BAR: Final = 10
_ROOMY: Final = 84
_SMALL: Final = 24
"""Cells of one CPU beside others: number, bar, share, gap."""
_PARTS: Final = (("█", "user"), ("▓", "system"), ("▒", "steal"), ("-", "iowait"))
_COLOURS: Final = (palette.LINE, palette.ACCENT, palette.ALARM, palette.FAINT)


def cpu_words(cpus: Sequence[CpuUse]) -> str:
    """Say what the bars are drawn with, and how many are full."""
    full = sum(one.busy >= FULL for one in cpus)
    return "  ".join((*(f"{glyph} {name}" for glyph, name in _PARTS), f"  {full} of {counted(len(cpus), 'CPU')} full"))


def cpu_lines(cpus: Sequence[CpuUse], width: int) -> list[Text]:
    """Draw them in the order of their numbers; of very many only as many as fit."""
    if len(cpus) <= _FEW:
        bar = _BAR if width >= _ROOMY else _SMALL_BAR
        return [_line(number, one, bar) for number, one in enumerate(cpus)]
    columns = max(1, (width + 2) // _SMALL)
    lines = -(-len(cpus) // columns)
    shown = min(lines, _MOST_LINES)
    numbered = list(enumerate(cpus))
    drawn = [_beside(numbered[line * columns : (line + 1) * columns]) for line in range(shown)]
    left = len(cpus) - shown * columns
    return [*drawn, *([Text(f"and {left} more", style=palette.QUIET)] if left > 0 else [])]


def _line(number: int, one: CpuUse, bar: int) -> Text:
    shares = (one.user, one.system, one.steal, one.iowait)
    told = ", ".join(f"{percent(share)} {name}" for share, (_, name) in zip(shares, _PARTS, strict=True) if share > 0)
    return Text.assemble(
        (f"{number:>3} ", palette.QUIET),
        _bar(one, bar),
        (f"{percent(one.busy):>7}", palette.ALARM if one.busy >= FULL else palette.STRONG),
        (f"  {told}", palette.QUIET),
    )


def _beside(cpus: Sequence[tuple[int, CpuUse]]) -> Text:
    return Text("  ").join(
        Text.assemble(
            (f"{number:>3} ", palette.QUIET),
            _bar(one, _SMALL_BAR),
            (f"{percent(one.busy):>8}", palette.ALARM if one.busy >= FULL else palette.TEXT),
        )
        for number, one in cpus
    )


def _bar(one: CpuUse, width: int) -> Text:
    """Draw the parts one after the other; each ends where the sum up to it does."""
    text, drawn, passed = Text(), 0, 0.0
    for share, (glyph, _), colour in zip((one.user, one.system, one.steal, one.iowait), _PARTS, _COLOURS, strict=True):
        passed += share
        end = min(round(passed * width), width)
        text.append(glyph * (end - drawn), colour)
        drawn = max(drawn, end)
    return text.append("░" * (width - drawn), palette.FAINT)
