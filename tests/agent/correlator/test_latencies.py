from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent.correlator.latencies import Latencies, middle_of, step_of
from perfwatch.agent.correlator.recent import Recent

NS = st.integers(0, 2**45)


def filled(durations):
    latencies = Latencies()
    for duration in durations:
        latencies.add(duration)
    return latencies


@given(NS)
def test_the_middle_of_a_step_is_within_half_a_percent(duration):
    assert abs(middle_of(step_of(duration)) - duration) <= duration * 0.004


@given(NS, NS)
def test_steps_are_in_order(one, other):
    assert (step_of(one) <= step_of(other)) == (one <= other) or step_of(one) == step_of(other)


@settings(max_examples=30)
@given(st.lists(NS, min_size=1, max_size=400))
def test_quantiles_are_nearest_ranks(durations):
    summary = filled(durations).summary()
    ordered = sorted(durations)
    exact = len(durations) <= 256
    for found, quantile in ((summary.p50, 0.5), (summary.p90, 0.9), (summary.p95, 0.95), (summary.p99, 0.99)):
        expected = ordered[ceil(quantile * len(ordered)) - 1] / 1e6
        assert found == pytest.approx(expected, rel=0 if exact else 0.004, abs=1e-6)
    assert summary.max == pytest.approx(ordered[-1] / 1e6)


@settings(max_examples=30)
@given(st.lists(NS, min_size=1, max_size=300), st.data())
def test_what_is_removed_was_never_there(durations, data):
    kept = data.draw(st.lists(st.booleans(), min_size=len(durations), max_size=len(durations)))
    latencies = filled(durations)
    for duration, keep in zip(durations, kept, strict=True):
        if not keep:
            latencies.remove(duration)
    rest = sorted(duration for duration, keep in zip(durations, kept, strict=True) if keep)
    assert latencies.count == len(rest)
    assert latencies.total_ns == sum(rest)
    assert latencies.max_ns == pytest.approx(max(rest, default=0), rel=0.004)
    if not rest:
        assert latencies.summary() is None


def test_the_median_forgets_what_is_older_than_256_durations():
    latencies = filled([1_000] * 1000 + [9_000] * 256)
    assert latencies.median_ns() == 9_000
    assert latencies.count == 1256


@pytest.mark.parametrize(("durations", "median"), [([], 0), ([4], 4), ([4, 8], 6), ([1, 9, 5], 5)])
def test_median(durations, median):
    assert filled(durations).median_ns() == median


def test_recent_keeps_the_last_entries_and_bounds_itself():
    recent = Recent(100)
    for number in range(1000):
        recent.put(number, str(number))
        assert recent.get(max(number - 99, 0)) is not None
        assert len(recent) <= 200
    assert recent.get(0) is None
    assert recent.pop(999) == "999"
    assert recent.get(999) is recent.pop(999) is None
