"""What changed between two views: checked against what was put into their records."""

import making as m
import pytest
from click.testing import CliRunner
from fake_records import SECOND, generate, session_info
from fakes import FakeSource

from perfwatch.agent import saving
from perfwatch.agent.cli import cli
from perfwatch.agent.compare_text import lines
from perfwatch.agent.comparing import compare, viewed
from perfwatch.agent.playing import Window


def stretch(begin, **spent):
    """Ten seconds of ten requests each, and of one to another endpoint."""
    for number in range(100):
        yield m.served(begin * 100 + number, begin * 1000 + number * 100, target="/order", **spent)
    yield m.served(begin * 100 + 200, begin * 1000 + 10_000, target=f"/only/in/{begin}x", on_cpu=5)


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
    assert (moved.p50_ms.before, moved.p50_ms.after) == pytest.approx((30, 120), rel=0.02)
    assert (moved.rate_rps.before, moved.rate_rps.after) == pytest.approx((10, 10), rel=0.02)
    assert [(shift.name, round(shift.more_ms)) for shift in moved.buckets] == [("lock", 90)]
    assert moved.causes[1] == "lock"


def test_what_is_new_or_gone_is_told_without_a_figure_for_the_other_side(comparison):
    others = {moved.name: moved for moved in comparison.endpoints[1:]}
    assert len(others) == 2
    assert {(moved.p95_ms.before is None, moved.p95_ms.after is None) for moved in others.values()} == {
        (True, False),
        (False, True),
    }
    text = "\n".join(lines(comparison))
    assert "   new" in text
    assert "   gone" in text
    assert "lock +90 ms" in text


def test_the_same_twice_has_not_changed():
    records = generate(10)
    view = viewed(FakeSource(records), window_of(records))
    for moved in compare(view, view).endpoints:
        assert moved.p95_ms.before == moved.p95_ms.after
        assert moved.causes[0] == moved.causes[1]
        assert not moved.buckets
        assert not moved.code


def test_two_recordings_are_compared_by_a_command(tmp_path):
    tmp_path.chmod(0o700)
    records, files = generate(20), [tmp_path / "before", tmp_path / "after"]
    source, first = FakeSource(records, info=session_info()), records[0].at_ns
    saving.save(source, Window(first, first + 8 * SECOND), files[0])
    saving.save(source, Window(first + 9 * SECOND, first + 20 * SECOND), files[1])
    result = CliRunner().invoke(cli, ["compare", *map(str, files)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "POST /order/{}" in result.output
    assert " → " in result.output
