"""Whether memory grows: what a leak looks like, and what only looks like one."""

import math
import random
from itertools import pairwise

import pytest

from perfwatch.agent.correlator.growth import SHORTEST_NS, growth
from perfwatch.agent.correlator.thinned import KEPT, Thinned

SECOND = 1_000_000_000
MIB = 1 << 20
PAGE = 4096
SEEDS = range(40)


def read(value_at, seconds):
    return tuple((n * SECOND, round(value_at(n))) for n in range(seconds))


def leak(per_minute):
    return lambda chance: lambda n: 100 * MIB + n / 60 * per_minute * MIB + chance.randrange(-50, 50) * PAGE


def leak_below_a_saw(chance):
    begin = chance.randrange(20)
    return lambda n: 100 * MIB + n / 30 * MIB + (n + begin) % 20 * MIB / 4


def flat(chance):
    return lambda _: 100 * MIB + chance.randrange(-200, 200) * PAGE


def walk(chance):
    held = [100 * MIB]
    return lambda _: held.append(held[-1] + chance.randrange(-20, 21) * PAGE) or held[-1]


def step(chance):
    at = chance.randrange(10, 50)
    return lambda n: (140 if n > at else 100) * MIB + chance.randrange(10) * PAGE


def saw(chance):
    period, begin = chance.randrange(10, 60), chance.randrange(60)
    return lambda n: (100 + (n + begin) % period) * MIB


def warming_up(chance):
    return lambda n: (140 - 40 * math.exp(-n / 20)) * MIB + chance.randrange(10) * PAGE


@pytest.mark.parametrize("shape", [flat, walk, step, saw, warming_up], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("seconds", [60, 300])
def test_what_only_looks_like_a_leak_is_none(shape, seconds):
    found = [growth(read(shape(random.Random(seed)), seconds)) for seed in SEEDS]
    assert sum(one is not None for one in found) <= 1


@pytest.mark.parametrize(
    ("shape", "rate"), [(leak(1), 1), (leak(60), 60), (leak_below_a_saw, 2)], ids=["slow", "fast", "below a saw"]
)
def test_a_leak_is_told_with_its_rate(shape, rate):
    found = [growth(read(shape(random.Random(seed)), 300)) for seed in SEEDS]
    assert None not in found
    assert all(one.low <= rate * MIB * 1.01 and one.high >= rate * MIB * 0.99 for one in found)
    assert {one.over_ns for one in found} == {299 * SECOND}


def test_what_shrinks_does_not_grow_and_a_line_without_scatter_does():
    assert growth(read(lambda n: (200 - n) * MIB, 60)) is None
    exact = growth(read(lambda n: (200 + n) * MIB, 60))
    assert exact.bytes_min == exact.low == exact.high == pytest.approx(60 * MIB)


def test_too_short_a_time_says_nothing():
    seconds = SHORTEST_NS // SECOND
    assert growth(read(lambda n: (200 + n) * MIB, seconds)) is None
    assert growth(read(lambda n: (200 + n) * MIB, seconds + 1)) is not None
    assert growth(()) is None


def test_what_stopped_growing_is_told_no_more():
    assert growth(read(lambda n: (100 + min(n, 40)) * MIB, 60)) is None


def test_a_session_is_kept_in_bounded_room_from_end_to_end():
    kept = Thinned()
    for n in range(100_000):
        kept.add(n * SECOND, n)
    points = kept.points
    assert points[0] == (0, 0)
    assert points[-1] == (99_999 * SECOND, 99_999)
    assert KEPT / 2 <= len(points) <= KEPT
    steps = [after[0] - before[0] for before, after in pairwise(points[:-1])]
    assert max(steps) <= 1.5 * min(steps)
