"""Mixtures: which mechanism wins, when none does, and how sure that is."""

import making as m
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.weighing import Balance, weigh
from perfwatch.agent.model import MECHANISMS
from perfwatch.probes.records import Loss


def judge(*before, ms=None, **spent):
    """Judge a request that ended at 1,000 ms."""
    correlator = Correlator(m.info(slow_ms=1))
    for one in before:
        correlator.feed(one)
    [request] = correlator.feed(m.served(1, 1000, ms=ms, **spent))
    return request.verdict


@pytest.mark.parametrize(
    ("spent", "mechanism"),
    [
        pytest.param({"queue": 60, "on_cpu": 40}, "queue", id="a queue before work"),
        pytest.param({"gil": 50, "on_cpu": 50}, "gil", id="of two threads that compute each waits half"),
        pytest.param({"gil": 45, "on_cpu": 35, "run_queue": 20}, "gil", id="contended work is no rival"),
        pytest.param({"run_queue": 45, "on_cpu": 40, "disk": 15}, "run-queue", id="nor to the run queue"),
        pytest.param({"lock": 50, "sleep": 50}, "lock", id="a convoy of two"),
        pytest.param({"calls": 50, "lock": 50}, "lock", id="equal waits: in the model's order"),
        pytest.param({"on_cpu": 60, "gil": 40}, "cpu", id="more work than waiting"),
        pytest.param({"lock": 40, "calls": 25, "on_cpu": 20, "disk": 15}, "lock", id="a clear lead"),
        pytest.param({"lock": 40, "calls": 30, "on_cpu": 30}, None, id="no clear lead"),
        pytest.param({"calls": 35, "disk": 30, "on_cpu": 35}, "dependency", id="one principle explains most"),
        pytest.param({"on_cpu": 45, "calls": 45, "disk": 10}, None, id="two equal causes"),
        pytest.param({"on_cpu": 34, "lock": 33, "calls": 33}, None, id="three"),
        pytest.param({"receive": 30, "send": 30, "on_cpu": 40}, "network", id="buckets of one mechanism add up"),
    ],
)
def test_which_mechanism_a_mixture_is(spent, mechanism):
    verdict = judge(**spent)
    assert verdict.mechanism == mechanism
    if mechanism is None:
        assert verdict.principle == "unknown"
        assert verdict.summary.startswith("no single cause: ")
        assert [one.name for one in verdict.evidence].count("also") >= 2


@pytest.mark.parametrize(
    ("spent", "ms", "mechanism"),
    [
        ({"lock": 55}, 100, "lock"),
        ({"lock": 45}, 100, None),
        ({"lock": 40, "calls": 15}, 100, None),
        ({"lock": 40, "calls": 15, "on_cpu": 35}, 100, None),
        ({"lock": 40, "calls": 15, "on_cpu": 20, "disk": 15}, 100, "lock"),
    ],
)
def test_what_is_unaccounted_could_be_anything(spent, ms, mechanism):
    verdict = judge(ms=ms, **spent)
    assert verdict.mechanism == mechanism
    assert "unaccounted_ms" in [one.name for one in verdict.evidence]


def test_mostly_unaccounted_is_said_so():
    assert judge(ms=100, lock=20).summary == "80 % of it is unaccounted"
    assert judge(ms=100, lock=1).summary == "99 % of it is unaccounted"


def test_who_is_not_read_by_an_idle_process_on_a_full_host_waits_for_a_cpu():
    """Where the process serves others meanwhile it waits for a worker, however full the host is."""
    mixture = {"queue": 80, "run_queue": 10, "on_cpu": 10}
    unread = judge(*m.full_host(), **mixture)
    assert (unread.mechanism, unread.share) == ("run-queue", pytest.approx(0.9))
    assert {"unread_ms", "cpu_use"} <= {one.name for one in unread.evidence}
    brief = m.served(2, 930, on_cpu=20)
    assert judge(*m.full_host(), brief, **mixture).mechanism == "run-queue"
    in_turn = [m.served(number, 920 + 20 * number, sleep=20) for number in (2, 3)]
    assert judge(*m.full_host(), *in_turn, **mixture).mechanism == "queue"
    at_once = [m.served(number, 960, sleep=20) for number in (2, 3, 4)]
    assert judge(*m.full_host(), *at_once, **mixture).mechanism == "run-queue"
    assert judge(**mixture).mechanism == "queue"
    assert judge(*m.full_host(), **mixture, threads="followed").mechanism == "queue"


def test_gil_time_on_a_full_host_is_its_holders_waiting_for_a_cpu():
    mixture = {"gil": 60, "run_queue": 30, "on_cpu": 10}
    starved = judge(*m.full_host(), **mixture)
    assert starved.mechanism == "run-queue"
    assert starved.share == pytest.approx(0.75)
    assert {"starved_gil_ms", "cpu_use", "runnable"} <= {one.name for one in starved.evidence}
    assert judge(**mixture).mechanism == "gil"
    assert judge(*m.full_host(), gil=60, run_queue=10, on_cpu=30).mechanism == "gil"


def test_confidence_falls_with_share_lead_gaps_and_losses():
    sure = judge(lock=95, calls=5).confidence
    assert sure > judge(lock=60, calls=40).confidence > judge(lock=52, calls=48).confidence > 0.2
    assert judge(ms=100, lock=60, calls=20).confidence < judge(lock=60, calls=20, on_cpu=20).confidence
    loss = Loss(m.START + 900 * m.MS, "ledger", 3, "the ring was full")
    long_ago = Loss(m.START - 5000 * m.MS, "ledger", 3, "the ring was full")
    assert judge(loss, lock=95, calls=5).confidence < sure
    assert judge(long_ago, lock=95, calls=5).confidence == sure


def test_also_names_what_else_took_time():
    verdict = judge(lock=71, calls=14, on_cpu=10, disk=1, other=4)
    also = [(one.value, one.text) for one in verdict.evidence if one.name == "also"]
    assert also == [("dependency", "also dependency 14 %"), ("cpu", "also cpu 10 %")]


@given(
    st.dictionaries(st.sampled_from(MECHANISMS), st.integers(-(10**12), 10**12)),
    st.integers(-(10**12), 10**13),
    st.integers(-(10**12), 10**12),
)
def test_whatever_is_booked_the_figures_stay_shares(spent, total, other):
    weighing = weigh(Balance(total, spent, other))
    assert 0 <= weighing.share <= 1
    assert 0 <= weighing.confidence <= 1
    assert weighing.mechanism is None or weighing.mechanism in spent
