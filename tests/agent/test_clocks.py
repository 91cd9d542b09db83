"""Times of day over steps of the wall clock and over suspends: readings as they would come, and this host's own."""

from __future__ import annotations

import time

import making as m
import msgspec
import pytest

from perfwatch.agent import moments
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.report import build, correlate
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.source import Position
from perfwatch.probes.clocks import Clocks, Times, read_times

S = m.SECOND
NIGHT_S = 8 * 3600
UNIX = m.info().started_unix_ns
BOOT = 77 * S
"""The host slept that long before the recording."""


def times(at_s: float, *, suspended_s: float = 0, set_s: float = 0) -> Times:
    """So long after the start by the monotonic clock; what it slept since, and by what its clock was set."""
    at_ns = round(at_s * S)
    return Times(
        m.START + at_ns,
        UNIX + at_ns + round((suspended_s + set_s) * S),
        m.START + at_ns + BOOT + round(suspended_s * S),
    )


def readings(*looks: Times):
    """What is told at these looks, 0.05 s or more apart."""
    left = iter(looks)
    clocks = Clocks(lambda: next(left))
    return [reading for _ in looks for reading in clocks.read()]


def told(*looks: Times):
    return m.info().with_clocks(readings(*looks))


SUSPENDED = (times(0), times(0.05), times(9.95), times(10, suspended_s=NIGHT_S), times(10.05, suspended_s=NIGHT_S))
SET_BACK = (times(0), times(9.95), times(10, set_s=-30), times(10.05, set_s=-30))
SET_FORWARD = (times(0), times(9.95), times(10, set_s=3600), times(10.05, set_s=3600))


def test_clocks_that_run_on_are_told_once():
    assert len(readings(*(times(0.05 * n, set_s=0.000_1 * n) for n in range(50)))) == 1


def test_a_clock_that_is_slewed_is_told_before_it_is_wrong_by_more_than_10_ms():
    looks = [times(n, set_s=n * 500e-6) for n in range(200)]  # as fast as adjtimex(2) lets it
    info = told(*looks)
    assert 5 <= len(info.clocks) <= 12
    for look in looks:
        assert abs(info.unix_s(look.monotonic_ns) * 1e9 - look.unix_ns) <= 11 * m.MS


@pytest.mark.parametrize("looks", [SUSPENDED, SET_BACK, SET_FORWARD])
def test_what_comes_after_a_jump_has_the_new_time_and_what_was_before_the_old(looks):
    info = told(*looks)
    for look in looks:
        assert info.unix_s(look.monotonic_ns - 1) == pytest.approx(look.unix_ns / 1e9, abs=0.001) or look is looks[-2]
        if looks is not SET_BACK:
            assert info.at_ns(look.unix_ns / 1e9) == pytest.approx(look.monotonic_ns, abs=0.051 * S)


def test_a_moment_in_a_suspend_is_when_it_ended():
    info = told(*SUSPENDED)
    assert info.at_ns((UNIX + 3600 * S) / 1e9) == pytest.approx(m.START + 9.95 * S, abs=m.MS)


def test_a_time_that_came_twice_is_the_later_one():
    info = told(*SET_BACK)
    assert info.at_ns((UNIX + 5 * S) / 1e9) == pytest.approx(m.START + 35 * S, abs=m.MS)


def session(path, looks):
    """A request a second, and the readings at their times."""
    records = [m.served(n, 1000 * n, ms=5) for n in range(1, 20)]
    with SessionWriter(path, m.info()) as writer:
        for record in sorted([*records, *readings(*looks)], key=lambda one: one.at_ns):
            writer.write(record)
            writer.commit()
        writer.close("the time was over")
    return path


@pytest.mark.parametrize(
    ("looks", "later_s", "event"),
    [
        (SUSPENDED, NIGHT_S, "the host was suspended for 8 h 0 min"),
        (SET_BACK, -30, "the wall clock was set back by 30.0 s"),
        (SET_FORWARD, 3600, "the wall clock was set forward by 1 h 0 min"),
    ],
)
def test_a_recording_over_a_jump_shows_right_times(tmp_path, looks, later_s, event):
    with SessionReader(session(tmp_path / "s", looks)) as reader:
        assert len(reader.info.clocks) == 2
        view, judged = correlate(reader.info, reader.records())
        report = build(reader.info, view, judged)
        shown = {record.id: reader.info.unix_s(record.at_ns) for record in reader.records() if hasattr(record, "id")}
        position = Position("", reader.last_ns, reader.first_ns, reader.last_ns, paused=True, seekable=True)
        wanted = time.strftime("%H:%M:%S", time.gmtime(shown[15]))
        assert abs(moments.parse(wanted, position, reader.info, is_utc=True) - m.START - 15 * S) < S
    assert [shown[n] - UNIX / 1e9 for n in (5, 15)] == [5, pytest.approx(15 + later_s, abs=0.001)]
    assert event in [one.text for one in report.events]
    assert view.now_ns - view.first_ns == 19 * S  # no time passed while it slept


def test_clocks_of_a_damaged_second_are_not_believed(tmp_path):
    import sqlite3

    db = sqlite3.connect(session(tmp_path / "s", SUSPENDED))
    db.execute("UPDATE seconds SET clocks = '[[1000000000000,1,2]]' WHERE clocks IS NOT NULL AND number > 1")
    db.commit()
    db.close()
    with SessionReader(tmp_path / "s") as reader:
        assert [clock.suspended_ns for clock in reader.info.clocks] == [BOOT]


def test_very_many_readings_are_bounded():
    info = m.info().with_clocks(readings(*(times(n, set_s=n * n) for n in range(12_000))))
    assert len(info.clocks) == 10_000
    assert info.unix_s(m.START + 20 * S) > 0


def test_this_host_tells_its_clocks_once():
    before = time.time_ns()
    clocks = Clocks()
    (reading,) = clocks.read()
    assert clocks.read() == ()
    assert before <= reading.unix_ns <= time.time_ns()
    assert reading.suspended_ns == pytest.approx(
        time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns(), abs=m.SECOND
    )
    assert read_times().monotonic_ns <= time.monotonic_ns()


def test_events_of_a_clock_are_told_once_each():
    correlator = Correlator(m.info())
    for reading in readings(*SUSPENDED, times(11, suspended_s=NIGHT_S, set_s=2)):
        correlator.feed(msgspec.structs.replace(reading))
    texts = [text for _, text in correlator.view().events]
    assert texts == ["the host was suspended for 8 h 0 min", "the wall clock was set forward by 2.0 s"]
