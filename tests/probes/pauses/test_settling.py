"""Pauses are told with their generation, or without, but each once; what was counted and not seen is missed."""

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.pauses.counting import Counts
from perfwatch.probes.pauses.pairing import Pause
from perfwatch.probes.pauses.settling import MAX_PENDING, Settling, Steady, Told


def steady(at_ns, young=0, middle=0, old=0, counts=(0, 0, 0)):
    return Steady(at_ns, Counts(False, (young, middle, old), (700, 10, 10), counts))


def settling(*pauses, before=None):
    made = Settling(before or steady(0))
    for pause in pauses:
        made.add(pause)
    return made


ONE, OTHER, LONG = Pause(1, 10, 20), Pause(2, 30, 33), Pause(1, 40, 90)


def test_each_has_its_generation():
    assert settling(ONE, OTHER).settle(steady(50, 1, 1)) == [Told(ONE, 0), Told(OTHER, 1)]
    assert settling(OTHER, ONE).settle(steady(50, 2)) == [Told(ONE, 0), Told(OTHER, 0)]


def test_a_pause_that_ended_later_waits_for_the_next_moment():
    made = settling(ONE, LONG)
    assert made.settle(steady(50, 1)) == [Told(ONE, 0)]
    assert made.settle(steady(99, 1, 0, 1)) == [Told(LONG, 2)]
    assert made.missed == 0


def test_while_it_runs_nothing_is_told():
    made = settling(ONE)
    assert [made.settle(None) for _ in range(50)] == [[]] * 50
    assert made.settle(None) == [Told(ONE, None)]


def test_more_than_can_wait_are_told():
    made = settling(*[ONE] * (MAX_PENDING + 1))
    assert made.settle(None) == [Told(ONE, None)] * (MAX_PENDING + 1)


def test_a_write_may_be_told_a_little_later_than_its_count():
    made = settling(ONE)
    assert made.settle(steady(35, 2)) == []
    made.add(OTHER)
    assert made.settle(steady(50, 2)) == [Told(ONE, 0), Told(OTHER, 0)]
    assert made.missed == 0


def test_what_is_never_seen_is_missed():
    made = settling(ONE)
    assert made.settle(steady(50, 2, 1)) == made.settle(steady(60, 2, 1)) == []
    assert made.settle(steady(70, 2, 1)) == [Told(ONE, None)]
    assert made.missed == 2
    made.add(LONG)
    assert made.settle(steady(99, 3, 1)) == [Told(LONG, 0)]


def test_what_was_missed_of_one_kind_leaves_no_doubt_of_the_rest():
    made = settling(ONE)
    told = [made.settle(steady(at, 5)) for at in (50, 60, 70)]
    assert told[-1] == [Told(ONE, 0)]


def test_the_shortest_that_was_not_counted_is_none():
    """3.12: the collector was called, and nothing was due any more."""
    assert settling(ONE, OTHER, LONG).settle(steady(99, 2)) == [Told(ONE, 0), Told(LONG, 0)]


def test_a_pause_that_its_thread_did_not_survive_is_told_and_not_counted():
    died = Pause(3, 25, 28, is_whole=False)
    told = settling(ONE, died, OTHER).settle(steady(50, 2))
    assert told == [Told(ONE, 0), Told(OTHER, 0), Told(died, None)]


def test_before_the_first_moment_there_is_nothing_to_count_from():
    made = Settling(None)
    made.add(ONE)
    assert made.settle(steady(25, 700)) == [Told(ONE, None)]
    made.add(OTHER)
    assert made.settle(steady(50, 701)) == [Told(OTHER, 0)]


def test_what_ended_before_the_counting_is_told_without():
    made = settling(ONE, OTHER, before=steady(25, 700))
    assert made.settle(steady(50, 701)) == [Told(ONE, None), Told(OTHER, 0)]


def test_counts_that_fall_begin_anew():
    made = settling(ONE, before=steady(0, 9))
    assert made.settle(steady(50, 1)) == [Told(ONE, None)]
    made.add(LONG)
    assert made.settle(steady(99, 2)) == [Told(LONG, 0)]


def test_the_rest_is_told():
    made = settling(ONE, LONG)
    assert made.rest() == [Told(ONE, None), Told(LONG, None)]
    assert made.rest() == []


COUNTS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 99)), max_size=20),
    st.lists(st.tuples(COUNTS, COUNTS, COUNTS, st.tuples(COUNTS, COUNTS, COUNTS)) | st.none(), max_size=9),
)
def test_whatever_the_memory_says_no_pause_is_told_twice(starts, readings):
    """A hostile process can count as it likes: it decides what is known of its own pauses, and how many there were."""
    made = settling(*(Pause(1, start, start + length) for start, length in starts))
    told = []
    for number, reading in enumerate(readings, 1):
        told += made.settle(steady(number * 100, *reading) if reading else None)
    told += made.rest()
    assert len(told) <= len(starts)
    assert all(one.generation in {None, 0, 1, 2} for one in told)
