import pytest
from fakes import SECOND

from perfwatch.tui.axis import Axis


@pytest.mark.parametrize("seconds", [0, 1, 9, 59, 600, 86_400, 10_000_000])
@pytest.mark.parametrize("width", [1, 58, 158])
def test_the_whole_stream_fits_and_its_end_is_in_the_last_cell(seconds, width):
    first = 12_345 * SECOND + 678
    axis = Axis.spanning(first, first + seconds * SECOND, width)
    assert axis.cell(first) is not None or width == 1
    assert axis.cell(axis.last_ns) == width - 1
    assert 0 <= axis.begin < width


def test_a_cell_leads_back_to_a_moment_in_it():
    axis = Axis.spanning(0, 600 * SECOND, 100)
    for cell in range(axis.begin, 100):
        assert axis.cell(axis.at(cell)) == cell


def test_marks_keep_their_distance_while_the_stream_grows():
    marks = [100 * SECOND, 101 * SECOND, 130 * SECOND]
    distances = set()
    for end in range(140, 160):
        axis = Axis.spanning(90 * SECOND, end * SECOND, 100)
        cells = [axis.cell(mark) for mark in marks]
        distances.add((cells[1] - cells[0], cells[2] - cells[1]))
    assert len(distances) == 1


def test_what_is_outside_has_no_cell():
    axis = Axis.spanning(10 * SECOND, 20 * SECOND, 100)
    assert axis.cell(9 * SECOND) is None
    assert axis.cell(21 * SECOND) is None
    assert axis.at(0) == 10 * SECOND
