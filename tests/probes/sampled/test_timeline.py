"""Timelines and ledgers of them: what adds up, and to whom the time of an interval goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timelines import MS, RUNNING, call, gil, lock, nap, pool, timeline

from perfwatch.probes.records import BUCKETS
from perfwatch.probes.sampled.booking import Book, common
from perfwatch.probes.sampled.states import NOT_THERE, UNKNOWN, State
from perfwatch.probes.sampled.timeline import FEWEST_INTERVALS, Timeline


def booked(made, start_ms, end_ms, rests=()):
    """A ledger in ms, without the empty buckets."""
    book = Book(lambda state: any(state is rest for rest in rests))
    book.add(made, round(start_ms * MS), round(end_ms * MS))
    ledger = book.balance()
    return {bucket: ns / MS for bucket, ns in zip(BUCKETS, ledger.booked_ns, strict=True) if ns}, ledger


def test_a_thread_sleeps_on_where_it_was_seen_until_it_has_run():
    rest = pool()
    made = timeline(rest, (110, 1, lock()), (210, 2, rest))
    ledger, waits = booked(made, 103, 208, (rest,))
    assert ledger == {"on_cpu": 3, "lock": 102}
    (wait,) = waits.waits
    assert (wait.bucket, wait.blocked_ns, wait.detail) == ("lock", 102 * MS, "0x2000")


def test_a_wait_for_a_cpu_is_taken_from_the_sleep_before_it():
    made = Timeline(0, lock())
    made.change(100 * MS, 110 * MS, 4 * MS, 46 * MS, nap())
    assert booked(made, 0, 110)[0] == {"lock": 60, "on_cpu": 4, "run_queue": 46}


def test_time_on_a_cpu_that_is_counted_late_goes_to_the_interval_before():
    made = Timeline(0, RUNNING)
    made.change(0, 10 * MS, 8 * MS, 0, RUNNING)
    made.change(10 * MS, 20 * MS, 12 * MS, 0, RUNNING)
    assert booked(made, 0, 20)[0] == {"on_cpu": 20}


def test_a_wait_that_is_counted_when_it_is_over_goes_to_all_readings_that_it_spans():
    made = Timeline(0, lock())
    made.change(0, 10 * MS, 2 * MS, 0, RUNNING)
    for at in range(20, 80, 10):
        made.change((at - 10) * MS, at * MS, 0, 0, RUNNING)
    made.change(70 * MS, 80 * MS, 3 * MS, 70 * MS, nap())
    assert booked(made, 0, 80)[0] == {"lock": 5, "on_cpu": 5, "run_queue": 70}


def test_a_wait_is_not_booked_to_a_sleep_that_was_seen_before_it():
    made = Timeline(0, RUNNING)
    made.change(0, 10 * MS, 2 * MS, 0, RUNNING)
    made.change(10 * MS, 20 * MS, 2 * MS, 0, nap())
    made.change(20 * MS, 30 * MS, 1 * MS, 0, RUNNING)
    made.change(30 * MS, 40 * MS, 0, 40 * MS, RUNNING)
    ledger = booked(made, 0, 40)[0]
    assert ledger["run_queue"] == 10 + 9
    assert sum(ledger.values()) <= 40


def test_sleep_between_two_sightings_of_a_running_thread_is_nobodys():
    made = timeline(RUNNING, (10, 3, RUNNING))
    assert booked(made, 0, 10)[0] == {"on_cpu": 3}


def test_between_two_different_sleeps_each_gets_half():
    made = timeline(lock(), (10, 2, nap()))
    assert booked(made, 0, 10)[0] == {"lock": 4, "on_cpu": 2, "sleep": 4}


def test_calls_are_added_up_by_peer():
    made = timeline(call(), (100, 1, call("10.0.0.6:80")), (150, 1, call()), (200, 1, RUNNING))
    _, ledger = booked(made, 0, 200)
    by_address = {peer.address: (peer.wait_ns, peer.waits) for peer in ledger.peers}
    assert set(by_address) == {"10.0.0.5:5432", "10.0.0.6:80"}
    assert by_address["10.0.0.5:5432"][1] == 2
    assert sum(ns for ns, _ in by_address.values()) == 197 * MS


def test_a_wait_that_readings_cut_up_is_one_wait():
    made = timeline(gil(), (10, 1, gil()), (20, 1, gil()), (30, 1, gil()))
    _, ledger = booked(made, 0, 30)
    assert [(wait.bucket, wait.blocked_ns) for wait in ledger.waits] == [("gil", 27 * MS)]


def test_what_a_thread_did_before_its_birth_and_after_its_death_is_not_booked():
    made = Timeline(0, NOT_THERE)
    made.change(10 * MS, 20 * MS, MS, 0, nap())
    made.end(90 * MS, 100 * MS)
    # Of the 9 ms in which it was born and slept, half are taken as its life; of its last 10 nothing is known.
    assert booked(made, 0, 200, (NOT_THERE,))[0] == {"on_cpu": 1, "sleep": 74.5}


def test_the_past_is_bounded_and_says_so():
    made = Timeline(0, RUNNING)
    made.keep(0)
    for at in range(1, 5 * FEWEST_INTERVALS):
        made.change((at - 1) * 10 * MS, at * 10 * MS, 10 * MS, 0, RUNNING)
    assert len(made.intervals) < 2 * FEWEST_INTERVALS
    assert made.forgotten_ns == made.intervals[0].start_ns
    assert made.asleep_at(made.forgotten_ns - 1) is None
    assert list(made.between(0, made.forgotten_ns)) == []


def test_what_ledgers_have_in_common_is_the_least_of_each():
    one = booked(timeline(lock(), (110, 10, lock())), 0, 110)[1]
    other = booked(timeline(lock(), (110, 30, lock())), 0, 110)[1]
    alike = common([one, other])
    assert dict(zip(BUCKETS, alike.booked_ns, strict=True))["lock"] == min(
        dict(zip(BUCKETS, each.booked_ns, strict=True))["lock"] for each in (one, other)
    )
    assert sum(alike.booked_ns) <= min(sum(one.booked_ns), sum(other.booked_ns))


STATES = st.sampled_from([RUNNING, UNKNOWN, pool(), lock(), nap(), gil(), call(), State("other", detail="pipe_read")])
CHANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60), st.integers(0, 60), STATES), max_size=30)


@given(STATES, CHANGES, st.integers(0, 300), st.integers(0, 300), st.sets(st.integers(0, 5)))
def test_no_time_is_ever_booked_twice(first, changes, start_ms, length_ms, rests):
    made, at_ms = Timeline(0, first), 0
    for step_ms, run_ms, wait_ms, state in changes:
        read_ms, at_ms = at_ms, at_ms + step_ms
        made.change(read_ms * MS, at_ms * MS, run_ms * MS, wait_ms * MS, state)
    edges = [interval.start_ns for interval in made.intervals] + [interval.end_ns for interval in made.intervals]
    assert all(interval.slept_ns >= 0 for interval in made.intervals)
    assert sorted(edges) == [edge for interval in made.intervals for edge in (interval.start_ns, interval.end_ns)]
    known = [each for place, each in enumerate((first, *(change[3] for change in changes))) if place in rests]
    ledger, balance = booked(made, start_ms, start_ms + length_ms, known)
    assert sum(ledger.values()) <= length_ms + 1e-6
    assert all(ns >= 0 for ns in balance.booked_ns)
    assert sum(wait.blocked_ns for wait in balance.waits) <= sum(balance.booked_ns)


@pytest.mark.parametrize("at_ms", [0, 55, 99])
def test_where_a_thread_was_asleep_is_known_and_where_it_ran_is_not(at_ms):
    made = timeline(pool(), (110, 1, lock()))
    assert made.asleep_at(at_ms * MS).detail == "0x1000"
    assert made.asleep_at(105 * MS) is None
    assert made.asleep_at(111 * MS).detail == "0x2000"
    assert made.ran_at(105 * MS)
    assert not made.ran_at(at_ms * MS)
