"""Charts: what is drawn is where it belongs, gaps stay gaps, and the words say the same."""

import re

from perfwatch.agent.report_html.charts import Chart, Times, chart
from perfwatch.agent.report_html.curves import Line

TIMES = Times(1_790_000_000.0, 1.0, 4)


def drawn(*lines, **fields):
    made = {"title": "Latency", "figure": "p95 8", "shown": "{:g} ms".format} | fields
    return chart(Chart(lines=lines, **made), TIMES)


def test_an_area_goes_down_to_the_axis_and_a_line_does_not():
    html = drawn(Line("p50", "area", [0, 5, 10, 10]), Line("p95", "line", [10, 10, 10, 0]))
    assert (
        '<path class="area" d="M0.0 120L0.0 120.0H150.0L150.0 60.0H300.0L300.0 0.0H450.0L450.0 0.0H600.0V120Z">' in html
    )
    assert '<path class="line" d="M0.0 0.0H150.0L150.0 0.0H300.0L300.0 0.0H450.0L450.0 120.0H600.0">' in html


def test_where_nothing_was_measured_nothing_is_drawn():
    html = drawn(Line("p95", "line", [10, None, None, 5]))
    assert re.search(r'class="line" d="([^"]*)"', html)[1] == "M0.0 0.0H150.0M450.0 60.0H600.0"
    assert 'class="line"' not in drawn(Line("p95", "line", [None] * 4))


def test_the_scale_ends_at_a_round_number_or_where_it_is_told_to():
    assert "<span>10 ms</span><span>5 ms</span><span>0</span>" in drawn(Line("p95", "line", [7, 0, 0, 0]))
    assert "<span>250 ms</span><span>125 ms</span>" in drawn(Line("p95", "line", [201, 0, 0, 0]))
    assert "<span>1 ms</span><span>0.5 ms</span>" in drawn(Line("use", "area", [0.2] * 4), top=1.0)


def test_marks_are_triangles_in_their_stretches_and_are_counted_in_words():
    html = drawn(Line("p95", "line", [1, 2, 3, 4]), marks=[("slow requests", [False, True, False, True])])
    assert re.findall(r'x="([\d.]+)%" overflow', html) == ["37.50", "87.50"]
    assert "▲ slow requests" in html
    assert "slow requests in 2 of 4 stretches" in html
    assert "▲" not in drawn(Line("p95", "line", [1]), marks=[("slow requests", [False] * 4)])


def test_the_words_say_what_the_eye_sees():
    html = drawn(Line("p95", "line", [1, 8, None, 4]))
    desc = re.search(r"<desc>(.*?)</desc>", html)[1]
    assert desc == "p95 8, from 14:13:20 to 14:13:24; p95: from 1 ms to 8 ms, most at 14:13:21"


def test_each_place_tells_its_figures():
    html = drawn(Line("p50", "area", [1, 2, 3, 4]), marks=[("slow requests", [True, False, False, False])])
    assert "<title>14:13:20\np50 1 ms\nslow requests</title>" in html
    assert html.count('class="point"') == 4
