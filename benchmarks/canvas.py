"""What a chart costs: the canvas of braille, beside Textual's Sparkline, and beside the same dots set one by one.

A frame is 120 by 30 cells: an area and a line over it, of 240 values each, rendered to the segments that a terminal
gets. The Sparkline draws bars of 120 values in as many cells.

    python benchmarks/canvas.py --quick
    python benchmarks/canvas.py --write
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rounds import in_rounds, machine
from rounds import run as run_benchmark
from textual.renderables.sparkline import Sparkline

from perfwatch.tui.canvas import ACROSS, DOWN, Canvas, Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.segment import Segment

WIDTH, HEIGHT = 120, 30
FRAMES_A_SECOND: Final = 100
CONSOLE: Final = Console(width=WIDTH, height=HEIGHT, color_system="truecolor", legacy_windows=False)


def values(frame: int) -> list[float]:
    """A latency that goes up and down, with peaks."""
    return [60 + 50 * math.sin((place + frame) / 7) * math.cos(place * 0.4) for place in range(WIDTH * ACROSS)]


def canvas(frame: int) -> list[Segment]:
    scale = Scale.up_to(120.0, HEIGHT)
    points = [(place, scale(value)) for place, value in enumerate(values(frame))]
    drawn = Canvas(WIDTH, HEIGHT)
    drawn.area([(x, y / 2) for x, y in points], "blue")
    drawn.line(points, "cyan")
    return [segment for line in drawn.lines() for segment in line.render(CONSOLE)]


def one_by_one(frame: int) -> list[Segment]:
    """The same picture, without what makes the canvas fast: each dot is a point of its own."""
    scale = Scale.up_to(120.0, HEIGHT)
    points = [(place, scale(value)) for place, value in enumerate(values(frame))]
    drawn = Canvas(WIDTH, HEIGHT)
    for x, y in points:
        for row in range(round(y / 2) + 1):
            drawn.line([(x, row)], "blue")
    for (x, y), (right, then) in pairwise(points):
        steps = max(abs(round(then) - round(y)), 1)
        for step in range(steps + 1):
            drawn.line([(x if 2 * step < steps else right, y + (then - y) * step / steps)], "cyan")
    return [segment for line in drawn.lines() for segment in line.render(CONSOLE)]


def sparkline(frame: int) -> list[Segment]:
    return list(CONSOLE.render(Sparkline(values(frame)[:WIDTH], width=WIDTH, height=HEIGHT)))


PAINTERS: Final[dict[str, Callable[[int], list[Segment]]]] = {
    "canvas": canvas,
    "dots one by one": one_by_one,
    "Textual's Sparkline": sparkline,
}


@dataclass(frozen=True, slots=True)
class Cost:
    round: int
    observer: str
    frame_s: float
    """CPU time of one frame, the median."""


def section(rounds: int, seconds: float) -> list[str]:
    frames = round(seconds * FRAMES_A_SECOND)

    def measure(number: int, name: str) -> Cost:
        spent = []
        for frame in range(frames):
            begun = time.process_time()
            PAINTERS[name](frame)
            spent.append(time.process_time() - begun)
        return Cost(number, name, statistics.median(spent))

    measured = in_rounds(rounds, list(PAINTERS), measure)
    return [
        "## What a chart costs",
        "",
        f"{rounds} rounds of {frames} frames of {WIDTH}x{HEIGHT} cells, {WIDTH * ACROSS}x{HEIGHT * DOWN} dots:",
        f"an area and a line over it, down to the segments that are written to the terminal. CPU time. {machine()}",
        "The ratio is to Textual's Sparkline in the same round, with the least and the greatest in brackets.",
        "",
        "| drawn by | a frame | ratio |",
        "|---|---|---|",
        *(f"| {name} | {_median_ms(measured, name):.1f} ms | {_ratio(measured, name)} |" for name in PAINTERS),
        "",
    ]


def _median_ms(measured: Sequence[Cost], name: str) -> float:
    return 1e3 * statistics.median(one.frame_s for one in measured if one.observer == name)


def _ratio(measured: Sequence[Cost], name: str) -> str:
    base = {one.round: one.frame_s for one in measured if one.observer == "Textual's Sparkline"}
    found = [one.frame_s / base[one.round] for one in measured if one.observer == name]
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "canvas", section, (5, 2.0)))
