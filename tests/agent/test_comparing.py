"""What changed between two views: checked against what was put into their records."""

import re

import making as m
import msgspec
import pytest
from click.testing import CliRunner
from fake_records import SECOND, generate, session_info
from fakes import FakeSource

from perfwatch.agent import saving
from perfwatch.agent.cli import cli
from perfwatch.agent.compare_text import lines
from perfwatch.agent.comparing import Pair, Part, compare, viewed
from perfwatch.agent.playing import Window


def stretch(begin, **spent):
    """Ten seconds of ten requests each, and of one to another endpoint."""
    for number in range(100):
        yield m.served(begin * 100 + number, begin * 1000 + number * 100, target="/order", **spent)
    yield m.served(begin * 100 + 200, begin * 1000 + 10_000, target=f"/only/in/{begin}x", on_cpu=5)


def plain(comparison, width):
    made = lines(comparison, ("before", "after"), width)
    return "\n".join("".join(piece.text for piece in line).rstrip() for line in made)


def window_of(records):
    return Window(min(record.at_ns for record in records), max(record.at_ns for record in records))


@pytest.fixture
def comparison():
    before, after = list(stretch(10, on_cpu=10, calls=20)), list(stretch(30, on_cpu=10, calls=20, lock=90))
    source = FakeSource([*before, *after], info=m.info())
    return compare(viewed(source, window_of(before)), viewed(source, window_of(after)))


def test_it_tells_what_became_slower_and_why(comparison):
    moved = comparison.endpoints[0]
    assert moved.name == "GET /order"
    assert (moved.figures.p50_ms.before, moved.figures.p50_ms.after) == pytest.approx((30, 120), rel=0.02)
    assert (moved.figures.rate_rps.before, moved.figures.rate_rps.after) == pytest.approx((10, 10), rel=0.02)
    assert [(part.name, round(part.more_ms)) for part in moved.buckets] == [("lock", 90), ("calls", 0), ("on_cpu", 0)]
    assert moved.causes == ("dependency 67 %", "lock 75 %")


def test_what_is_new_or_gone_is_told_without_a_figure_for_the_other_side(comparison):
    others = {moved.name: moved for moved in comparison.endpoints[1:]}
    assert [*others] == ["GET /only/in/10x", "GET /only/in/30x"]
    assert {(moved.figures.p95_ms.before is None, moved.figures.p95_ms.after is None) for moved in others.values()} == {
        (True, False),
        (False, True),
    }
    text = plain(comparison, 100)
    assert re.search(r"\nGET /only/in/30x +new in B\n +throughput +- +0.1/s\n", text)
    assert re.search(r"\nGET /only/in/10x +gone in B\n +throughput +0.1/s +-\n", text)


def test_both_have_a_column_where_there_is_room_else_one_stands_below_the_other(comparison):
    wide, narrow = plain(comparison, 100), plain(comparison, 74)
    assert re.search(r"\n +A +B +change\nall requests\n", wide)
    assert re.search(r"\n   p95 +30 ms +120 ms +\+300 %\n", wide)
    assert re.search(r"\n   cause +dependency 67 % +lock 75 %\n   time  lock +0.0 ms +90 ms +\+90 ms\n", wide)
    assert re.search(
        r"\n  A +10/s +30 ms +30 ms +0 %  dependency 67 %\n  B +10/s +120 ms +120 ms +0 %  lock 75 %\n", narrow
    )
    assert re.search(r"\n  change +\+0 % +\+300 % +\+300 % +\+0.0 pts\n", narrow)
    assert re.search(r"\n  time  lock +0.0 ms → 90 ms +\+90 ms\n", narrow)
    for text, width in ((wide, 100), (narrow, 74)):
        assert max(map(len, text.splitlines())) <= width


def test_what_came_from_outside_is_harmless_and_a_long_name_has_a_line_of_its_own(comparison):
    place = Part("\x1b[2J" * 30, Pair(1.0, 5.0))
    evil = msgspec.structs.replace(comparison.endpoints[0], name="GET /\x1b[2J\u202e", code=(place,))
    told = msgspec.structs.replace(comparison, endpoints=(evil,))
    for width in (60, 74, 100, 200):
        text = plain(told, width)
        assert "\x1b" not in text
        assert "GET /\\x1b[2J\\u202e" in text
        assert re.search(r"1.0 ms( → | +)5.0 ms +\+4.0 ms", text)


def test_the_same_twice_has_not_changed():
    records = generate(10)
    view = viewed(FakeSource(records), window_of(records))
    for moved in compare(view, view).endpoints:
        assert moved.figures.p95_ms.before == moved.figures.p95_ms.after
        assert moved.causes[0] == moved.causes[1]
        assert not any(part.more_ms for part in moved.buckets)
        assert not moved.code


def test_two_recordings_are_compared_by_a_command(tmp_path):
    tmp_path.chmod(0o700)
    records, files = generate(20), [tmp_path / "before", tmp_path / "after"]
    source, first = FakeSource(records, info=session_info()), records[0].at_ns
    saving.save(source, Window(first, first + 8 * SECOND), files[0])
    saving.save(source, Window(first + 9 * SECOND, first + 20 * SECOND), files[1])
    result = CliRunner().invoke(cli, ["compare", *map(str, files)], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"A  {files[0]}   " in result.output
    assert re.search(r"(?m)^POST /order/\{\} +p95 times ", result.output)
    assert "\x1b" not in result.output
