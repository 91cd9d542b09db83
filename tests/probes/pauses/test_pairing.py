"""Writes to the flag become pauses, thread by thread; what is nested or missing makes none too long."""

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.pauses.pairing import Pairing, Pause


def pauses(*writes):
    """Take in (time, what, thread or 1); return the pauses."""
    pairing = Pairing()
    made = (pairing.write(at, tid, what) for at, what, tid in (one if len(one) == 3 else (*one, 1) for one in writes))
    return [pause for pause in made if pause]


def test_a_set_flag_is_a_pause_until_it_is_cleared():
    assert pauses((10, "set"), (30, "clear"), (50, "set"), (51, "clear")) == [Pause(1, 10, 30), Pause(1, 50, 51)]


def test_writes_that_are_not_understood_alternate():
    assert pauses((10, None), (30, None), (50, None), (51, None)) == [Pause(1, 10, 30), Pause(1, 50, 51)]


def test_threads_are_told_apart():
    writes = [(10, "set", 1), (20, "set", 2), (30, "clear", 1), (50, "clear", 2)]
    assert pauses(*writes) == [Pause(1, 10, 30), Pause(2, 20, 50)]


def test_what_began_before_anybody_looked_is_no_pause():
    assert pauses((10, "clear"), (30, "set"), (35, "clear")) == [Pause(1, 30, 35)]


def test_a_collection_within_another_is_told_once():
    """3.12: both clear the flag; what follows the inner one's end is the rest of the outer."""
    nested = [(10, "set"), (20, "set"), (25, "clear"), (40, "clear")]
    assert pauses(*nested) == [Pause(1, 10, 25), Pause(1, 25, 40)]
    assert pauses(*nested, (90, "set"), (95, "clear"))[-1] == Pause(1, 90, 95)


def test_an_attempt_within_a_collection_changes_nothing():
    """3.13: the flag is set already, and cleared once."""
    tried = [(10, "set"), (20, "set"), (25, "clear")]
    assert pauses(*tried, (90, "set"), (95, "clear")) == [Pause(1, 10, 25), Pause(1, 90, 95)]


def test_a_thread_that_ends_in_a_pause_ends_it():
    pairing = Pairing()
    pairing.write(10, 1, "set")
    pairing.write(10, 2, "set")
    assert sorted(pairing.running()) == [1, 2]
    assert pairing.end(15, 1) == Pause(1, 10, 15, is_whole=False)
    assert pairing.end(16, 1) is None
    assert pairing.running() == [2]


def test_nothing_reaches_over_what_was_lost():
    pairing = Pairing()
    pairing.write(10, 1, "set")
    pairing.forget(20)
    assert pairing.write(30, 1, "clear") is None


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["set", "clear", None]), st.integers(1, 3)), max_size=60))
def test_no_time_of_a_thread_is_told_twice(steps):
    at, writes = 0, []
    for gap, what, tid in steps:
        at += gap
        writes.append((at, what, tid))
    ends = {}
    for pause in pauses(*writes):
        assert ends.get(pause.tid, 0) <= pause.started_ns < pause.ended_ns
        ends[pause.tid] = pause.ended_ns
