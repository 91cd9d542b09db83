"""Charts of the last seconds: their cells, labels and marks; which of them the overview shows where."""

import msgspec
import pytest
import queued
from fakes import generate, session_info
from judging import view_of
from rich.text import Text

from perfwatch.agent.model import Latency, WhatIf
from perfwatch.agent.source import Position
from perfwatch.tui import palette
from perfwatch.tui.charting import Chart, condensed, drawn, mean, peak
from perfwatch.tui.format import duration
from perfwatch.tui.messages import Frame
from perfwatch.tui.widgets import timeline
from perfwatch.tui.widgets.signals import charted, tiled
from perfwatch.tui.widgets.verdict import VerdictBox

FIGURES = [Text("p50 12 ms  p95 480 ms"), Text("p95 480 ms")]


def chart(*area, **options):
    return Chart("latency", FIGURES, duration, area, **options)


def plain(lines):
    return [line.plain for line in lines]


def test_the_newest_second_stands_at_the_right_and_what_is_unknown_is_open():
    lines = drawn(chart(100.0, None, 50.0, 0.0, 100.0, marks=[False] * 4 + [True]), 13, 6)
    assert plain(lines) == [
        "latency p95 …",
        "100 ms ┤⢸   ⢸",
        "       │⢸ ⢀ ⢸",
        "       │⢸ ⢸ ⢸",
        "     0 ┤⢸ ⢸⣀⣸",
        "  -5 s └────▲",
    ]
    nothing = [span for span in lines[4].spans if span.style == palette.FAINT]
    assert [lines[4].plain[span.start : span.end] for span in nothing] == ["⣀"]


def test_where_there_are_few_seconds_each_is_wider_and_a_line_lies_over_the_area():
    lines = drawn(chart(*range(10), line=range(9, -1, -1), marks=[True] + [False] * 9), 19, 5)
    assert plain(lines) == [
        "latency  p95 480 ms",
        " 10 ms ┤ ⠐⠢⢄⡀   ⢀⣠⣴",
        "       │    ⠈⢑⣴⣾⣿⣿⣿",
        "     0 ┤ ⢀⣠⣴⣾⣿⣿⣿⣿⣿⣿",
        " -11 s └─▲─────────",
    ]


def test_a_window_is_drawn_as_a_whole_however_many_its_seconds_are():
    many = [0.0] * 300 + [100.0] + [0.0] * 299
    lines = plain(drawn(chart(*many, marks=[value > 0 for value in many], is_whole=True), 13, 6))
    assert lines[1:] == [
        "100 ms ┤  ⢸  ",
        "       │  ⢸  ",
        "       │  ⢸  ",
        "     0 ┤⣀⣀⣸⣀⣀",
        "-600 s └──▲──",
    ]
    few = plain(drawn(chart(100.0, 0.0, is_whole=True), 27, 4))
    assert few[1].startswith("100 ms ┤⡇")
    assert few[-1].startswith("  -2 s ")


def test_several_seconds_are_told_by_their_peak_or_their_mean():
    assert condensed([1, 2, 3, 4, 5, None], 3, peak) == [2, 4, 5]
    assert condensed([1, 2, 3, 4, 5, None], 3, mean) == [1.5, 3.5, 5]
    assert condensed([None, None], 1, peak) == condensed([None, None], 1, mean) == [None]
    assert condensed([1, 2], 3, peak) == [1, 2]


@pytest.mark.parametrize("size", [(12, 4), (30, 5), (57, 9), (120, 12)])
@pytest.mark.parametrize("seconds", [0, 1, 20, 300])
def test_a_chart_is_as_large_as_it_is_wanted(size, seconds):
    lines = drawn(chart(*range(seconds), marks=[True] * seconds), *size)
    assert len(lines) == size[1]
    assert {line.cell_len for line in lines[1:]} == {size[0]}
    assert lines[0].cell_len <= size[0]


VIEW = queued.crowded(view_of(generate(30), session_info()))


@pytest.mark.parametrize(
    ("width", "height", "titles"),
    [
        (98, 5, [["latency", "throughput", "errors", "saturation"]]),
        (240, 9, [["latency", "throughput", "errors", "saturation", "in flight"]]),
        (118, 18, [["latency", "throughput"], ["errors", "saturation"]]),
        (118, 44, [["latency", "throughput"], ["errors", "saturation"]]),
        (118, 50, [["latency"], ["throughput"], ["errors"], ["saturation"], ["in flight"]]),
    ],
)
def test_charts_stand_in_rows_and_columns_by_the_room_that_there_is(width, height, titles):
    lines = plain(charted(VIEW, width, height))
    names = {name for row in titles for name in row}
    shown = [
        [word for word in ("latency", "throughput", "errors", "saturation", "in flight") if word in line]
        for line in lines
    ]
    assert [row for row in shown if row] == titles
    assert len(lines) <= height
    assert max(map(len, lines)) <= width + 1
    assert names >= {"latency", "throughput", "errors", "saturation"}


def test_the_seconds_that_are_marked_are_those_of_slow_and_failed_requests():
    latency, _, errors, *_ = plain(charted(VIEW, 240, 9))[-1].split("└")[1:]
    seconds = VIEW.timeline[:-1]  # each is a cell wide
    slow = "".join("▲" if one.slow else "─" for one in seconds)
    assert slow.count("▲") > 1
    assert slow in latency.partition(" ")[0]
    failed = "".join("F" if one.errors else "─" for one in seconds)
    assert failed.count("F") > 1
    assert failed in errors.partition(" ")[0].replace(timeline._MARKS["error"][0], "F")


def test_tiles_and_charts_tell_the_same_figures():
    told = " ".join(plain(tiled(VIEW, 160)))
    charts = " ".join(plain(charted(VIEW, 240, 9)))
    assert VIEW.latency_ms is not None
    for figure in (duration(VIEW.latency_ms.p50), duration(VIEW.latency_ms.p95), "20/s", "1.0 %"):
        assert figure in told
        assert figure in charts
    assert "disk 93 %  cpu 71 %" in charts or "files 93 %  cpu 71 %" in charts


def box(view, width=100):
    frame = Frame(view, Position("live", 0, 0, 0, paused=False, seekable=False), session_info())
    return VerdictBox().compose_text(frame, width).plain.splitlines()


def test_the_verdict_says_what_it_would_bring_and_which_other_causes_there_are():
    first = VIEW.endpoints[0]
    gain = (WhatIf("lock", 90.0, 140.0), WhatIf("dependency", 400.0, 430.0))
    told = msgspec.structs.replace(
        VIEW,
        endpoints=(
            msgspec.structs.replace(first, what_if=gain, latency_ms=Latency(430.0, 470.0, 480.0, 490.0, 500.0)),
        ),
    )
    lines = box(told)
    assert lines[0].startswith("C  POST /order/{} always takes long")
    assert "   without it: p95 480 ms → 140 ms (p50 430 ms → 90 ms)   also chatty 9 %, dependency 6 %" in lines
    assert lines[-1].startswith("   → ")


def test_a_long_verdict_takes_three_lines_and_then_is_cut():
    long = msgspec.structs.replace(VIEW.verdict, summary="word " * 90)
    lines = box(msgspec.structs.replace(VIEW, verdict=long), 80)
    assert [len(line) <= 80 for line in lines] == [True] * len(lines)
    assert lines[2].endswith("…")
    assert lines[3].startswith("   also ") or lines[3].startswith("   → ")
