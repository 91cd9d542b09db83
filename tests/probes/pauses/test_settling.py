"""Pauses are told with their generation, or without, but each once; what was counted and not seen is missed."""

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.pauses.counting import Counts
from perfwatch.probes.pauses.pairing import Pause
from perfwatch.probes.pauses.settling import MAX_PENDING, MOST_FREED, Settling, Steady, Told


def steady(at_ns, young=0, middle=0, old=0):
    return Steady(at_ns, Counts(False, (young, middle, old), (700, 10, 10), (0, 0, 0)))


def settling(*pauses, before=None):
    made = Settling(before or steady(0))
    for pause in pauses:
        made.add(pause)
    return made


def settle(settling, at):
    """Return (pause, generation) of each that is told."""
    return [(told.pause, told.generation) for told in settling.settle(at)]


ONE, OTHER, LONG = Pause(1, 10, 20), Pause(2, 30, 33), Pause(1, 40, 90)


def test_each_has_its_generation():
    assert settle(settling(ONE, OTHER), steady(50, 1, 1)) == [(ONE, 0), (OTHER, 1)]
    assert settle(settling(OTHER, ONE), steady(50, 2)) == [(ONE, 0), (OTHER, 0)]


def test_a_pause_that_ended_later_waits_for_the_next_moment():
    made = settling(ONE, LONG)
    assert settle(made, steady(50, 1)) == [(ONE, 0)]
    assert settle(made, steady(99, 1, 0, 1)) == [(LONG, 2)]
    assert made.missed == 0


def test_while_it_runs_nothing_is_told():
    made = settling(ONE)
    assert [settle(made, None) for _ in range(50)] == [[]] * 50
    assert settle(made, None) == [(ONE, None)]


def test_more_than_can_wait_are_told():
    made = settling(*[ONE] * (MAX_PENDING + 1))
    assert settle(made, None) == [(ONE, None)] * (MAX_PENDING + 1)


def test_a_write_may_be_told_a_little_later_than_its_count():
    made = settling(ONE)
    assert settle(made, steady(35, 2)) == []
    made.add(OTHER)
    assert settle(made, steady(50, 2)) == [(ONE, 0), (OTHER, 0)]
    assert made.missed == 0


def test_what_is_never_seen_is_missed():
    made = settling(ONE)
    assert settle(made, steady(50, 2, 1)) == settle(made, steady(60, 2, 1)) == []
    assert settle(made, steady(70, 2, 1)) == [(ONE, None)]
    assert made.missed == 2
    made.add(LONG)
    assert settle(made, steady(99, 3, 1)) == [(LONG, 0)]


def test_what_was_missed_of_one_kind_leaves_no_doubt_of_the_rest():
    made = settling(ONE)
    told = [settle(made, steady(at, 5)) for at in (50, 60, 70)]
    assert told[-1] == [(ONE, 0)]


def test_the_shortest_that_was_not_counted_is_none():
    """3.12: the collector was called, and nothing was due any more."""
    assert settle(settling(ONE, OTHER, LONG), steady(99, 2)) == [(ONE, 0), (LONG, 0)]


def test_a_pause_that_its_thread_did_not_survive_is_told_and_not_counted():
    died = Pause(3, 25, 28, is_whole=False)
    told = settle(settling(ONE, died, OTHER), steady(50, 2))
    assert told == [(ONE, 0), (OTHER, 0), (died, None)]


def test_before_the_first_moment_there_is_nothing_to_count_from():
    made = Settling(None)
    made.add(ONE)
    assert settle(made, steady(25, 700)) == [(ONE, None)]
    made.add(OTHER)
    assert settle(made, steady(50, 701)) == [(OTHER, 0)]


def test_what_ended_before_the_counting_is_told_without():
    made = settling(ONE, OTHER, before=steady(25, 700))
    assert settle(made, steady(50, 701)) == [(ONE, None), (OTHER, 0)]


def test_counts_that_fall_begin_anew():
    made = settling(ONE, before=steady(0, 9))
    assert settle(made, steady(50, 1)) == [(ONE, None)]
    made.add(LONG)
    assert settle(made, steady(99, 2)) == [(LONG, 0)]


def test_the_rest_is_told():
    made = settling(ONE, LONG)
    assert made.rest() == [Told(ONE, None), Told(LONG, None)]
    assert made.rest() == []


def test_what_the_only_collection_of_a_generation_has_freed_is_told():
    def freed(*collected, young=1):
        before = Steady(0, Counts(False, (0, 0, 0), (700, 10, 10), (0, 0, 0), (100, 0, 5)))
        made = settling(ONE, OTHER, before=before)
        counts = Counts(False, (young, 2 - young, 0), (700, 10, 10), (0, 0, 0), collected)
        return [told.collected for told in made.settle(Steady(50, counts))]

    assert freed(107, 0, 5) == [7, 0]
    assert freed(107, 9, 5) == [7, 9]
    assert freed(107, 0, 5, young=2) == [None, None]
    assert freed(90, MOST_FREED + 1, 5) == [None, None]


COUNTS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)
THREE = st.tuples(COUNTS, COUNTS, COUNTS)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 99)), max_size=20),
    st.lists(st.builds(Counts, st.just(False), THREE, THREE, THREE, THREE) | st.none(), max_size=9),
)
def test_whatever_the_memory_says_no_pause_is_told_twice(starts, readings):
    """A hostile process can count as it likes: it decides what is known of its own pauses, and how many there were."""
    made = settling(*(Pause(1, start, start + length) for start, length in starts))
    told = []
    for number, reading in enumerate(readings, 1):
        told += made.settle(Steady(number * 100, reading) if reading else None)
    told += made.rest()
    assert len(told) <= len(starts)
    assert all(one.generation in {None, 0, 1, 2} for one in told)
    assert all(one.collected is None or 0 <= one.collected <= MOST_FREED for one in told)
