import math

import pytest

from perfwatch.tui import palette
from perfwatch.tui.canvas import Canvas, Scale, with_axis


def plain(canvas):
    return [line.plain for line in canvas.lines()]


def dots(canvas):
    """Which dots are set, read back from the characters: (x, y) from the bottom left."""
    at = {0: (0, 3), 1: (0, 2), 2: (0, 1), 3: (1, 3), 4: (1, 2), 5: (1, 1), 6: (0, 0), 7: (1, 0)}
    lines = plain(canvas)
    return {
        (2 * column + at[bit][0], 4 * (len(lines) - 1 - row) + at[bit][1])
        for row, line in enumerate(lines)
        for column, char in enumerate(line)
        for bit in range(8)
        if char != " " and ord(char) - 0x2800 & 1 << bit
    }


def test_a_diagonal_is_drawn_dot_by_dot():
    canvas = Canvas(4, 2)
    canvas.line([(0, 0), (7, 7)], "red")
    assert plain(canvas) == ["  ⡠⠊", "⡠⠊  "]
    assert dots(canvas) == {(step, step) for step in range(8)}


def test_a_sine_is_drawn_where_it_lies():
    canvas = Canvas(30, 8)
    points = [(x, 15.5 + 15 * math.sin(x / 9)) for x in range(60)]
    canvas.line(points, "red")
    drawn = dots(canvas)
    assert {(x, round(y)) for x, y in points} <= drawn
    slope = math.ceil(15 / 9)
    assert all(abs(y - points[x][1]) <= slope for x, y in drawn)


def test_a_leap_is_a_stroke_without_a_hole_that_both_columns_share():
    canvas = Canvas(1, 4)
    canvas.line([(0, 0), (1, 15)], "red")
    assert dots(canvas) == {(0, y) for y in range(8)} | {(1, y) for y in range(8, 16)}
    canvas = Canvas(1, 4)
    canvas.line([(0, 15), (1, 0)], "red")
    assert dots(canvas) == {(1, y) for y in range(8)} | {(0, y) for y in range(8, 16)}


def test_several_points_of_one_column_are_joined_there():
    canvas = Canvas(1, 2)
    canvas.line([(0, 1), (0, 6), (0, 3)], "red")
    assert dots(canvas) == {(0, y) for y in range(1, 7)}


def test_an_area_is_full_down_to_the_bottom():
    canvas = Canvas(2, 2)
    canvas.area([(0, 0), (1, 3), (2, 4), (3, 7)], "red")
    assert plain(canvas) == [" ⣸", "⣸⣿"]


def test_a_gap_is_left_open():
    canvas = Canvas(3, 1)
    canvas.line([(0, 0), (1, 0), None, (4, 3), (5, 3)], "red")
    canvas.area([None, None], "red")
    assert plain(canvas) == ["⣀ ⠉"]


def test_what_lies_outside_is_drawn_at_the_edge_however_far_away_it_is():
    canvas = Canvas(2, 1)
    canvas.line([(-1e300, -5), (1e300, 1e300)], "red")
    assert {(0, 0), (3, 3)} <= dots(canvas)
    assert {x for x, _ in dots(canvas)} == {0, 1, 2, 3}


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, -1)])
def test_no_room_is_no_error(size):
    canvas = Canvas(*size)
    canvas.line([(0, 0), (3, 3)], "red")
    canvas.area([(0, 0), (3, 3)], "red")
    canvas.mark(0, 0, "▲", "red")
    canvas.write(0, 0, "x", "red")
    assert "".join(plain(canvas)) == ""


def test_cells_of_one_colour_are_one_piece_and_the_last_colour_stays():
    canvas = Canvas(4, 1)
    canvas.area([(0, 3), (7, 3)], "red")
    canvas.line([(4, 0), (7, 0)], "blue")
    canvas.mark(0, 0, "▲", "green")
    [line] = canvas.lines()
    assert line.plain == "▲⣿⣿⣿"
    assert [(span.start, span.end, span.style) for span in line.spans] == [
        (0, 1, "green"),
        (1, 2, "red"),
        (2, 4, "blue"),
    ]


def test_words_are_cut_at_the_edge():
    canvas = Canvas(4, 2)
    canvas.write(2, 1, "word", "red")
    canvas.write(0, 7, "far", "red")
    assert plain(canvas) == ["    ", "  wo"]


@pytest.mark.parametrize(
    ("largest", "top"),
    [
        (480.0, 500.0),
        (500.0, 500.0),
        (501.0, 600.0),
        (0.033, 0.04),
        (7, 8),
        (9, 10),
        (22, 25),
        (None, 1),
        (0, 1),
        (math.nan, 1),
    ],
)
def test_a_scale_ends_at_a_round_figure(largest, top):
    assert Scale.up_to(largest, 4).top == pytest.approx(top)


def test_a_scale_goes_from_nothing_to_its_top_and_shows_what_is_little():
    scale = Scale.up_to(100.0, 4)
    assert [scale(value) for value in (0.0, 0.01, 100.0)] == [0.0, 1.0, 15.0]
    assert scale(50.0) == pytest.approx(7.5)


def test_an_axis_stands_left_of_all_lines_alike():
    lines = with_axis(Canvas(3, 3).lines(), "500 ms", "0")
    assert [line.plain for line in lines] == ["500 ms ┤   ", "       │   ", "     0 ┤   "]
    assert with_axis(Canvas(1, 1).lines(), "9", "0", width=5)[0].plain == "  9 ┤ "
    assert lines[0].spans[0].style == palette.QUIET
