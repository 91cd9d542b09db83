"""A view of a window: what else is of the last seconds, or of the last minute, is of all of it."""

import around as a
import making as m
import pytest

from perfwatch.agent.correlator import thread_past
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.histories import KEPT

LONG_S = 600
"""Far more than is kept of a live view."""


def looked_at(records, *, whole):
    correlator = Correlator(m.info(), whole=whole)
    for record in records:
        correlator.feed(record)
    return correlator.view()


def minutes():
    """In its first half a thread runs all the time, and the disk is busy; in its second both rest."""
    half_ms = LONG_S * 500
    for second in range(LONG_S + 1):
        at_ms = second * 1000
        worked_ms = min(at_ms, half_ms)
        yield a.threads(at_ms, a.thread(4313, "R" if at_ms <= half_ms else "S", worked_ms, 0.0))
        yield a.disk(at_ms, busy_ms=worked_ms)
        yield a.pressure(at_ms, cpu=worked_ms // 2, io=0)


@pytest.fixture(scope="module")
def views():
    records = list(minutes())
    return looked_at(records, whole=True), looked_at(records, whole=False)


def test_a_threads_past_reaches_from_end_to_end(views):
    whole, live = (view.threads[0] for view in views)
    assert len(live.past) == KEPT
    assert len(whole.past) <= KEPT + thread_past.KEPT
    assert whole.past[-1].until_ns - whole.past[0].from_ns == LONG_S * 10**9
    assert all(one.until_ns == other.from_ns for one, other in zip(whole.past, whole.past[1:], strict=False))
    ran_ns = sum(ns for one in whole.past for doing, ns in one.spent if doing == "on_cpu")
    assert ran_ns == pytest.approx(LONG_S / 2 * 1e9)
    assert whole.past[0].doing == "on_cpu"
    assert whole.past[-1].doing != "on_cpu"


def test_shares_and_rates_are_of_all_of_it(views):
    whole, live = views
    assert live.threads[0].cpu == 0.0
    assert whole.threads[0].cpu == pytest.approx(0.5)
    assert live.queues.disks[0].utilisation == 0.0
    assert whole.queues.disks[0].utilisation == pytest.approx(0.5)
    assert whole.queues.pressure[0].cpu == pytest.approx(0.25)
    assert whole.saturation == whole.saturation_overall


def test_what_is_charted_has_all_its_seconds(views):
    busy = views[0].lately.seconds.disk_busy
    assert len(busy) == LONG_S
    assert busy[:300] == (1.0,) * 300
    assert busy[300:] == (0.0,) * 300
    assert len(views[1].lately.seconds.disk_busy) == 120


def test_locks_that_a_thread_had_are_not_forgotten():
    """One that a request waited for in the first second."""
    waits = (m.wait("lock", 300, waker=m.waker(tid=4321)),)
    readings = [a.threads(second * 1000, a.thread(4321, "S", 0.0, 0.0)) for second in range(LONG_S)]
    records = [readings[0], m.served(1, 900, target="/order", lock=300, waits=waits), *readings[1:]]
    kept = [looked_at(records, whole=whole).threads[0].kept[0] for whole in (True, False)]
    assert kept == [1, 0]
