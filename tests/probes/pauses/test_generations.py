"""The generation of each collection between two readings, told by the counts alone."""

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.pauses.counting import Counts
from perfwatch.probes.pauses.generations import generations

THRESHOLDS = (700, 10, 10)


class Model:
    """A collector that counts as CPython's does, and keeps what it did."""

    def __init__(self, counts=(0, 0, 0), waits=0):
        self.counts, self.ran, self.done, self.waits = list(counts), [0, 0, 0], [], waits

    def collect(self, generation=None):
        """Collect that generation, or the one that is due; the oldest may have to wait."""
        if generation is None:
            due = [0, *(place for place in (1, 2) if self.counts[place] > THRESHOLDS[place])]
            if due[-1] == 2 and self.waits:
                self.waits -= 1
                due.pop()
            generation = due[-1]
        self.ran[generation] += 1
        self.counts[: generation + 1] = [0] * (generation + 1)
        if generation < 2:
            self.counts[generation + 1] += 1
        self.done.append(generation)

    def reading(self):
        return Counts(False, tuple(self.ran), THRESHOLDS, tuple(self.counts))


def between(model, *collections, old=1.0):
    """Collect; return what is told. The oldest takes `old` times as long as others."""
    before = model.reading()
    model.done.clear()
    for generation in collections:
        model.collect(generation)
    lengths = [30_000 * old if generation == 2 else 30_000 for generation in model.done]
    return generations(before, model.reading(), lengths)


def test_nothing_ran():
    assert between(Model()) == []


def test_one_collection_is_known_whatever_asked_for_it():
    assert [between(Model((0, 3, 4)), generation) for generation in (0, 1, 2)] == [[0], [1], [2]]


def test_collections_that_were_due_are_in_their_order():
    model = Model((0, 8, 10))
    assert between(model, *[None] * 20) == model.done == [0, 0, 0, 1, 2, *[0] * 11, 1, 0, 0, 0]


def test_the_oldest_may_wait():
    model = Model((0, 10, 11), waits=1)
    assert between(model, *[None] * 14) == model.done == [0, 2, *[0] * 11, 1]


def test_the_oldest_may_be_asked_for_among_others():
    model = Model((0, 8, 3))
    asked = [*[None] * 5, 2, *[None] * 20]
    assert between(model, *asked) == model.done == [0, 0, 0, 1, 0, 2, *[0] * 11, 1, *[0] * 8]


def test_several_of_the_oldest_are_told_by_their_lengths_if_these_leave_no_doubt():
    asked = [0, 2, *[None] * 15, 2, None, None, 2, None]
    model = Model((0, 5, 3))
    assert between(model, *asked, old=5) == model.done
    assert between(model, *asked, old=1.5) == [*[None] * 20, 2, 0]


def test_a_single_other_one_has_its_place_by_the_count():
    assert between(Model(), 0, 0, 2, 0, 0, 0) == [0, 0, 2, 0, 0, 0]
    assert between(Model(), 0, 1) == [0, 1]


def test_of_several_others_the_last_is_known_and_what_follows_it():
    assert between(Model(), 2, 0, 1, 0, 0) == [None, None, 1, 0, 0]
    assert between(Model(), 1, 0, 2, 0) == [None, None, 2, 0]


def test_counts_that_cannot_be_tell_nothing():
    before = Counts(False, (0, 0, 0), THRESHOLDS, (0, 0, 0))
    for counts in [(0, -5, 0), (0, 99, 7), (0, -5, -5)]:
        after = Counts(False, (2, 1, 1), THRESHOLDS, counts)
        assert generations(before, after, [1] * 4) == [None] * 4


@given(
    st.tuples(st.just(0), st.integers(0, 11), st.integers(0, 12)),
    st.integers(0, 3),
    st.lists(st.sampled_from([None] * 8 + [2]), max_size=60),
    st.sampled_from([0.5, 1, 3, 5, 500]),
)
def test_what_is_told_is_right(counts, waits, collections, old):
    model = Model(counts, waits)
    told = between(model, *collections, old=old)
    assert len(told) == len(model.done)
    assert all(one in {None, other} for one, other in zip(told, model.done, strict=True))
    if all(asked is None for asked in collections) and not waits:
        assert told == model.done
