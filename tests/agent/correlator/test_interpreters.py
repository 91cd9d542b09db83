"""Who held the interpreter lock, and what the collector did: per process, of the last seconds and of all."""

import coding as c
import making as m
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import view_in_order as view

from perfwatch.agent.correlator.code import Code
from perfwatch.agent.correlator.recent import RecentLists
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model_queues import GilShare
from perfwatch.probes.frames import Generation


def test_shares_of_the_lock_are_shares_of_readings():
    before = c.python(0, readings=1000, free=500, held=((4321, 400), (4313, 100)), handoffs=50)
    after = c.python(2000, readings=1100, free=520, held=((4321, 460), (4313, 118), (4400, 2)), handoffs=250)
    [one] = view(before, after).queues.interpreters
    assert (one.pid, one.version, one.gil_held, one.gil_handoffs_s) == (4313, "3.11.7", 0.8, 100.0)
    assert one.holders == (
        GilShare(4321, "refresher", 0.6),
        GilShare(4313, None, 0.18),
        GilShare(4400, None, 0.02),
    )


def test_the_lock_that_was_held_most_comes_first():
    records = [c.python(n * 1000, readings=n * 100, free=n * pid, pid=pid) for n in (0, 1) for pid in (7, 3, 5)]
    assert [one.pid for one in view(*records).queues.interpreters] == [3, 5, 7]


def test_lately_is_the_last_ten_seconds_and_overall_is_all():
    records = [c.python(n * 1000, readings=n * 10, free=n * 10 if n < 20 else 200) for n in range(31)]
    seen = view(*records)
    assert seen.queues.interpreters[0].gil_held == 1.0
    assert seen.queues_overall.interpreters[0].gil_held == pytest.approx(1 / 3)


def test_the_collector_is_told_by_its_counters_and_its_longest_pause():
    pauses = [c.pause(200, 30, generation=0), c.pause(900, 210), c.pause(15_000, 40), c.pause(16_000, 60, tid=4321)]
    readings = [c.python(n * 1000, collections=(n * 3, n, n // 2), collected=n * 10) for n in range(21)]
    seen = view(*pauses, *readings)
    [lately], [ever] = seen.queues.interpreters, seen.queues_overall.interpreters
    assert (lately.gc_longest_ms, ever.gc_longest_ms) == (60.0, 210.0)
    assert (lately.gc_share, ever.gc_share) == (pytest.approx(0.01), pytest.approx(0.017))
    assert ever.gc_collections == (60, 20, 10)
    assert ever.gc_pauses_s == pytest.approx(4.5)
    assert ever.gc_collected == 200
    assert ever.gc_thresholds == (700, 10, 10)


def test_what_was_not_measured_is_not_known():
    blind = [msgspec.structs.replace(c.python(n * 1000, handoffs=None), generations=()) for n in range(2)]
    [one] = view(*blind).queues.interpreters
    assert (one.gil_held, one.gil_handoffs_s, one.gc_pauses_s, one.gc_longest_ms, one.gc_share) == (None,) * 5
    assert one.gc_thresholds == one.gc_collections == ()


def test_runs_that_were_counted_and_not_seen_have_no_length():
    [one] = view(c.python(0), c.python(1000, collections=(9, 1, 0))).queues.interpreters
    assert (one.gc_pauses_s, one.gc_longest_ms, one.gc_share) == (10.0, None, None)
    [none] = view(c.python(0), c.python(1000)).queues.interpreters
    assert (none.gc_pauses_s, none.gc_longest_ms, none.gc_share) == (0.0, 0.0, 0.0)


def test_a_threshold_that_is_not_known_leaves_all_open():
    some = (Generation(700, 0, 0, 0, 0), Generation(None, 0, 0, 0, 0))
    records = [msgspec.structs.replace(c.python(n * 1000), generations=some) for n in range(2)]
    assert view(*records).queues.interpreters[0].gc_thresholds == ()


def test_an_interpreter_that_was_executed_anew_starts_anew():
    records = [c.python(0, readings=500, handoffs=90), c.python(1000, readings=600, handoffs=99)]
    assert view(*records, c.python(2000, readings=10)).queues.interpreters == ()


def test_pauses_and_stacks_are_found_by_process_thread_and_time():
    code = Code()
    for n in range(100):
        code.take(c.pause(n * 10, 5, tid=4313 + n % 2))
        code.take(c.pause(n * 10, 5, pid=99))
        code.take(c.sighted(n * 10, (n * 10, 4313, 0, n % 4 == 0), (n * 10, 4321, 0, False), stacks=m.stacks(c.GET)))
    span = Span(c.at(203), c.at(250))
    assert [(one.started_ns - m.START) // m.MS for one in code.pauses(4313, span)] == [200, 210, 220, 230, 240]
    assert [(one.at_ns - m.START) // m.MS for one in code.sightings(4321, span)] == [210, 220, 230, 240, 250]
    assert [(one.at_ns - m.START) // m.MS for one in code.holders(4313, span)] == [240]
    assert code.sightings(5, span) == code.pauses(5, span) == code.holders(5, span) == []


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers()), max_size=80), st.integers(1, 12))
def test_lists_forget_the_oldest_of_all(added, size):
    kept = RecentLists(size)
    for key, value in added:
        kept.add(key, value)
    assert len(kept) <= 2 * size
    for key in range(4):
        mine = [value for k, value in added if k == key]
        newest = list(kept.newest(key))
        assert newest == mine[::-1][: len(newest)]
        assert len(newest) >= sum(k == key for k, _ in added[-size:])
