"""Rates of two records, and the histories that the two are taken from."""

import around as a
import making as m
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator import rates
from perfwatch.agent.correlator.series import KEPT, Named, Series, Span
from perfwatch.agent.correlator.tally import Tally


def series(*seconds):
    made = Series(lambda before, after: after.busy_ns >= before.busy_ns)
    for second in seconds:
        made.add(a.disk(second * 1000, busy_ms=second * 100))
    return made


def span(from_s, until_s):
    return Span(None if from_s is None else a.at(from_s * 1000), a.at(until_s * 1000))


def seconds(pair):
    return None if pair is None else tuple((one.at_ns - m.START) / m.SECOND for one in pair)


@pytest.mark.parametrize(
    ("kept", "asked", "found"),
    [
        pytest.param((0, 1, 2, 3), (1.2, 1.7), (1, 2), id="the two around it"),
        pytest.param((0, 1, 2, 3), (1, 2), (1, 2), id="bounds that meet records"),
        pytest.param((0, 1, 2, 3), (0.5, 2.5), (0, 3), id="several seconds"),
        pytest.param((0, 1, 2, 3), (3.2, 3.4), (2, 3), id="newer than all: the last two"),
        pytest.param((0, 1, 2, 3), (-5, 0.5), (0, 1), id="it began before all"),
        pytest.param((0, 1, 2, 3), (-5, -4), None, id="it ended before all"),
        pytest.param((0, 1, 2, 3), (7, 8), None, id="long after all"),
        pytest.param((0, 30), (50, 55), (0, 30), id="not so long for a slow probe"),
        pytest.param((0, 1, 2, 3), (None, 3), (0, 3), id="since the first"),
        pytest.param((5,), (4, 6), None, id="one record makes no rate"),
        pytest.param((), (None, 6), None, id="none"),
        pytest.param((3, 1, 2), (None, 6), (1, 2), id="a clock that went back starts anew"),
        pytest.param(tuple(range(200)), (None, 200), (0, 199), id="the first is kept"),
        pytest.param(tuple(range(200)), (100.5, 200), (200 - KEPT, 199), id="the rest is forgotten"),
    ],
)
def test_which_two_records_stand_for_a_stretch(kept, asked, found):
    assert seconds(series(*kept).around(span(*asked))) == found


def test_what_counts_since_the_last_record_lies_after_the_first_of_the_two():
    assert seconds(series(0, 1, 2, 3).within(span(0.5, 1.5))) == (1, 2)
    assert series(0).within(span(0, 1)) == ()


@given(st.lists(st.integers(-10, 10), max_size=30), st.none() | st.integers(-12, 12), st.integers(-12, 12))
def test_a_pair_is_always_in_order(kept, from_s, until_s):
    pair = series(*kept).around(span(from_s, until_s))
    assert pair is None or pair[0].at_ns < pair[1].at_ns


def test_names_that_were_not_heard_of_for_longest_are_forgotten():
    named = Named(lambda before, after: True)
    for number in range(100):
        named.add("always", a.disk(number))
        named.add(f"vd{number}", a.disk(number))
    assert len(named) == 64
    assert named.of("always") is not None
    assert named.of("vd0") is None


def test_a_tally_keeps_the_largest():
    tally = Tally()
    for number in range(5000):
        tally.add("hog", 10)
        tally.add(number, 1)
    assert tally.largest(1) == [("hog", (50_000, 0))]
    assert len(tally) <= 512


def test_cpu_time_that_went_back_counts_as_still():
    before, after = a.cpu(0, (500, 0)), a.cpu(1000, (1400, 0))
    rate = rates.cpu_rate(before, after)
    assert (rate.busy, rate.busiest, rate.steal) == (pytest.approx(0.45), pytest.approx(0.9), 0)
    assert rates.cpu_rate(after, before) is None


def test_an_absent_counter_has_no_rate():
    rate = rates.cgroup_rate(a.cgroup(0), a.cgroup(1000, cpu_ns=5, limit_hits=3))
    assert rate == rates.CgroupRate(None, None, None, None, None)
    assert rates.pressure_rate(a.pressure(0, cpu=5), a.pressure(1000, cpu=4)).cpu is None
    assert rates.memory_rate(a.memory(0), a.memory(1000)).direct_reclaims_s is None


def test_no_time_has_no_rate():
    assert rates.disk_rate(a.disk(0), a.disk(0)) is None
    assert rates.network_rate(a.network(5), a.network(0)) is None
    assert rates.per_second(5, 0) is None
    assert rates.latency_p99_ms(a.latency(0, reads=(5, 5)), a.latency(1, reads=(5, 5))) is None
