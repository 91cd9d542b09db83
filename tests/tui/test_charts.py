import pytest

from perfwatch.agent.model import BUCKETS
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge, spark, stacked

INKS = list(palette.INKS.values())


def test_every_bucket_has_a_glyph_of_its_own_and_one_cell():
    assert tuple(palette.INKS) == BUCKETS
    glyphs = [ink.glyph for ink in (*INKS, palette.UNACCOUNTED)]
    assert len(set(glyphs)) == len(glyphs)
    assert all(len(glyph) == 1 for glyph in glyphs)


@pytest.mark.parametrize("width", [1, 7, 40])
@pytest.mark.parametrize("amounts", [(1,), (1, 1, 1), (1, 10**9), (3, 5, 7, 11, 13)])
def test_a_stacked_bar_is_exactly_full(amounts, width):
    bar = stacked(list(zip(INKS, amounts, strict=False)), width)
    assert len(bar.plain) == width
    assert " " not in bar.plain


def test_a_stacked_bar_is_in_proportion():
    bar = stacked([(INKS[1], 750), (INKS[3], 250)], 40).plain
    assert bar == INKS[1].glyph * 30 + INKS[3].glyph * 10


@pytest.mark.parametrize("parts", [[], [(INKS[0], 0)], [(INKS[0], -5)]])
def test_a_bar_of_nothing_is_empty(parts):
    assert stacked(parts, 5).plain == "     "


def test_ledger_figures_get_their_inks_and_what_is_open_is_shown():
    parts = palette.inks((5, 0, 7), 3)
    assert [(ink.name, ns) for ink, ns in parts] == [("queue", 5), ("gil", 7), ("unaccounted", 3)]


def test_spark_stands_at_the_right_and_keeps_gaps():
    assert spark([1.0, None, 4.0, 0.0], 6, "red").plain == "··▃·█▁"
    assert spark([1.0] * 9, 3, "red").plain == "███"
    assert spark([], 0, "red").plain == ""


@pytest.mark.parametrize(("share", "bar"), [(None, "░░░░"), (0.5, "██░░"), (7.0, "████"), (-1.0, "░░░░")])
def test_gauge(share, bar):
    assert gauge(share, 4, "red").plain == bar
