"""What a request computes for calls that need not be: inside of them, and between one and the next."""

import looped as lo
import making as m
import pytest
from coding import at

from perfwatch.agent.correlator.call_work import call_work
from perfwatch.agent.correlator.explained import gone_of, parts
from perfwatch.agent.correlator.fair import taken
from perfwatch.agent.correlator.weighing import Balance

CALLS = m.BUCKETS.index("calls")


def work(record):
    return {part: spent_ns / m.MS for part, spent_ns in call_work(record, record.booked_ns[CALLS])}


def connecting(*starts_ms, **fields):
    """Connections of 10 ms, for 8 of which the thread waited; then 2 ms for an answer, all waited for."""
    calls = [lo.opening(from_ms, 10, wait=2) for from_ms in starts_ms]
    waits = [m.wait("calls", 8, started_ns=at(from_ms + 1)) for from_ms in starts_ms]
    waits += [m.wait("calls", 2, started_ns=at(from_ms + 10)) for from_ms in starts_ms]
    return lo.calling(*calls, calls=10 * len(starts_ms), waits=tuple(waits), **fields)


def test_opening_connections_takes_work_inside_and_between():
    """Between them lie 3 ms, once 30 ms: of that too only 3 ms are taken to be the driver's."""
    assert work(connecting(-500, -485, -470, -455, -413)) == {"connect": pytest.approx(5 * 2 + 4 * 3)}


def test_two_connections_say_nothing_of_what_lies_between():
    assert work(connecting(-500, -485)) == {"connect": pytest.approx(4)}


def test_many_calls_of_a_kind_take_work_between_them():
    """20 calls of 0.5 ms of which 0.4 ms were waited for, and 0.2 ms between them."""
    record = lo.calling(*lo.in_a_row(20, 0.5, gap=0.2), calls=8)
    assert work(record) == {"chatty": pytest.approx(20 * 0.1 + 19 * 0.2)}


def test_calls_that_have_to_be_are_left_alone():
    assert work(lo.calling(lo.call(-500, 100), calls=60)) == {}


def test_what_is_gone_with_the_calls_waits_for_no_cpu_either():
    """Of 20 ms on a CPU 10 ms are for the connections: so is half of the wait for a CPU."""
    record = connecting(-500, -488, -476, -464, -452, run_queue=30)
    balance = Balance(100 * m.MS, {"connect": 40 * m.MS, "run-queue": 30 * m.MS, "cpu": 20 * m.MS}, 0)
    one = taken(record, 100 * m.MS, balance)
    (part,) = parts(["connect"], [one])
    assert dict(one.call_work) == {"connect": 10 * m.MS}
    assert gone_of(one, part) == pytest.approx((40 + 10 + 15) * m.MS)
