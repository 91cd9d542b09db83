"""Sums of ledgers are exact at any moment, however many have not been summed yet."""

from __future__ import annotations

import random

from perfwatch.agent.correlator.booked import BookedSums
from perfwatch.agent.correlator.latencies import WINDOW, Latencies
from perfwatch.agent.model import BUCKETS


def test_what_is_added_and_taken_back_is_summed_exactly():
    chance, sums, held = random.Random(1), BookedSums(), []
    for number in range(500):
        if held and chance.random() < 0.3:
            sums.add(held.pop(chance.randrange(len(held))), -1)
        else:
            held.append(tuple(chance.randrange(10**9) for _ in BUCKETS))
            sums.add(held[-1])
        if number % 37 == 0:
            assert list(sums.each()) == [sum(column) for column in zip(*held, strict=True)]
    assert list(sums.each()) == [sum(column) for column in zip(*held, strict=True)]


def test_durations_are_the_same_whether_somebody_asks_after_each_or_at_the_end():
    chance, often, seldom = random.Random(2), Latencies(), Latencies()
    each = [chance.randrange(10**9) for _ in range(3 * WINDOW + 7)]
    for number, duration_ns in enumerate(each):
        often.add(duration_ns)
        seldom.add(duration_ns)
        if number % 211 == 210:
            often.remove(each[number // 2])
            seldom.remove(each[number // 2])
            each[number // 2] = duration_ns
            often.add(duration_ns)
            seldom.add(duration_ns)
        assert often.median_ns() > 0
    assert often.median_ns() == seldom.median_ns()
    assert (often.summary(), often.max_ns) == (seldom.summary(), seldom.max_ns)
    assert often.max_ns <= max(each) * 1.004
