"""The Universal Scalability Law: published figures, a fit by another way, known servers, and when it keeps silent."""

import heapq
import itertools
import math
import random

import making as m
import msgspec
import pytest

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.law import fitted, throughput
from perfwatch.agent.correlator.scaling import scalability
from perfwatch.agent.correlator.windows import Point, Windows
from perfwatch.agent.report import build, correlate, to_text
from perfwatch.agent.report_html.document import Drawn, to_html

SDM91 = {1: 64.9, 18: 995.9, 36: 1652.4, 72: 1853.2, 108: 1828.9, 144: 1775.0, 216: 1702.2}
"""Throughput by load of a SPARCcenter 2000 in SPEC SDM: the example of the R package `usl` 2.0 and later."""


def points(rates, seconds=2):
    return [Point(seconds, float(concurrency), rate, 0.0) for concurrency, rate in rates.items()]


def usl(rate, contention, coherency, concurrency):
    return rate * concurrency / (1 + contention * (concurrency - 1) + coherency * concurrency * (concurrency - 1))


def test_published_figures_come_out():
    """What `summary(usl(throughput ~ load, specsdm91))` prints: 0.0277285 (0.0091217), 0.0001044 (0.0000199)."""
    alone, other, pair = fitted(points(SDM91, 1)).terms
    assert other / alone == pytest.approx(0.0277285, abs=5e-8)
    assert pair / alone == pytest.approx(0.0001044, abs=5e-8)
    assert 1 / alone == pytest.approx(89.995, abs=1e-3)
    told = scalability([Point(2, *one[1:]) for one in points(SDM91)])
    assert (told.knee, told.peak_rps) == (pytest.approx(96.52, abs=0.01), pytest.approx(1884, abs=0.5))
    # Twice the seconds are 14 - 3 degrees of freedom in place of 7 - 3, with the same residuals.
    error = 0.0091217 * math.sqrt(4 / 11)
    assert told.contention.high - told.contention.value == pytest.approx(2.201 * error, rel=0.01)


@pytest.mark.parametrize(("contention", "coherency"), [(0.05, 0.001), (0.3, 0.0), (0.0, 0.002), (0.9, 0.0), (0.0, 0.0)])
def test_no_nearby_law_fits_better(contention, coherency):
    """A search on a grid around what was found, with noise, finds nothing better that is allowed."""
    chance = random.Random(5)
    noisy = points({n: usl(100, contention, coherency, n) * chance.gauss(1, 0.03) for n in (1, 2, 3, 4, 6, 8, 12, 16)})
    found = fitted(noisy)
    assert min(found.terms) >= 0
    alone = found.terms[0]
    for first, second, third in itertools.product((-1e-3, 0, 1e-3), repeat=3):
        terms = (alone * (1 + first), max(found.terms[1] + second * alone, 0), max(found.terms[2] + third * alone, 0))
        squares = sum(one.seconds * (one.rate_rps - throughput(terms, one.concurrency)) ** 2 for one in noisy)
        assert squares >= found.squares * (1 - 1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(200):
        chance = random.Random(seed)
        told = scalability(
            [
                Point(1, n + chance.uniform(-0.2, 0.2) * 1e-6, usl(50, 0.2, 0.004, n) * chance.gauss(1, 0.04), 0.0)
                for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16)
                for _ in range(2)
            ]
        )
        held += told is not None and told.contention.low <= 0.2 <= told.contention.high
    assert held >= 0.9 * 200


def test_it_is_silent_where_the_data_do_not_carry_it():
    steady = points({4: 100, 4.2: 101, 4.4: 99, 4.6: 100}, 20)
    few = points({n: usl(50, 0.2, 0, n) for n in (1, 2, 4, 8)}, 1)
    chance = random.Random(1)
    noise = points({n: chance.uniform(10, 100) for n in range(1, 20)})
    vague = [Point(3, *one[1:3], 3000.0) for one in points({n: usl(50, 0.2, 0, n) for n in (1, 2, 3, 4)})]
    assert [scalability(some) for some in (steady, few, noise, vague, [])] == [None] * 5


def serial_server(seconds_each, serial_ms, free_ms, most):
    """Closed clients, one more every few seconds, on a server with one lock; times are exponential, turns are fair."""
    chance, records, number = random.Random(4), [], 0
    lock_free_ms = 0.0
    coming = []
    for client in range(most):
        arrives_ms = client * seconds_each * 1000
        heapq.heappush(coming, (arrives_ms + chance.expovariate(1 / free_ms), arrives_ms, client))
    while coming[0][0] < most * seconds_each * 1000:
        at_lock_ms, arrived_ms, client = heapq.heappop(coming)
        lock_ms = max(lock_free_ms - at_lock_ms, 0)
        lock_free_ms = at_lock_ms + lock_ms + chance.expovariate(1 / serial_ms)
        number += 1
        spent_ms = lock_free_ms - arrived_ms
        record = m.served(number, lock_free_ms, lock=lock_ms, sleep=spent_ms - lock_ms, connection=client)
        records.append(record)
        heapq.heappush(coming, (lock_free_ms + chance.expovariate(1 / free_ms), lock_free_ms, client))
    return records


def test_a_server_with_a_lock_is_as_serial_as_its_lock_is_held():
    """20 of 40 ms under a lock: half is serial, 25/s are done alone, and 50/s is the most."""
    view, judged = correlate(m.info(), serial_server(4, 20, 20, 24))
    told = view.scalability
    assert told.contention.value == pytest.approx(0.5, abs=0.12)
    assert told.rate_rps.value == pytest.approx(25, rel=0.15)
    assert told.peak_rps == pytest.approx(50, rel=0.1)
    assert told.concurrency == (pytest.approx(1, abs=0.1), pytest.approx(24, abs=0.5))
    report = build(m.info(), view, judged)
    text = to_text(report)
    assert "\nscalability   contention " in text
    assert "throughput is largest" in text
    assert "<h3>Scalability</h3>" in to_html(report, Drawn((), "none", {}))
    assert report.saturation.scalability == told


def test_a_correction_counts_once():
    records = serial_server(4, 20, 20, 16)
    doubled = [again for one in records for again in (msgspec.structs.replace(one, ended_ns=one.ended_ns - 1000), one)]
    once, twice = (correlate(m.info(), some)[0].scalability for some in (records, doubled))
    assert twice.contention.value == pytest.approx(once.contention.value, rel=1e-6)


def test_when_somebody_looks_does_not_matter():
    records = serial_server(4, 20, 20, 16)
    looked_at = Correlator(m.info())
    for record in records:
        looked_at.feed(record)
        looked_at.view()
    assert looked_at.view().scalability == correlate(m.info(), records)[0].scalability is not None


def test_hours_of_seconds_are_few_sums():
    windows, chance = Windows(), random.Random(2)
    for second in range(20_000):
        took = chance.expovariate(1 / 500) + 1
        windows.served(m.served(second, second * 1000, ms=took * 10), None)
    assert len(windows._past) <= 128
    assert len(windows._open) <= 11
    assert sum(point.seconds for point in windows._points) > 15_000
