"""Slow against normal: what slow requests have beyond the normal ones is the cause, what both have is the base cost."""

import making as m
import pytest

from perfwatch.agent.correlator.normal import KNOWN_WELL, Normal, NormalSums, beyond, weigh_against
from perfwatch.agent.correlator.weighing import Balance
from perfwatch.agent.report import correlate

BASE = {"on_cpu": 100}
LATE = {"on_cpu": 100, "lock": 40}


def drive(records, **changes):
    return correlate(m.info(**{"slow_ms": 120} | changes), records)


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


def texts(verdict):
    return [one.text for one in verdict.evidence]


def requests(normal, slow, base=BASE, late=LATE):
    waits = (m.wait("lock", 40, detail="0x7f02"),)
    made = [m.served(n, n * 200, **base) for n in range(normal)]
    return [*made, *(m.served(1000 + n, (normal + n) * 200, waits=waits, **late) for n in range(slow))]


def balance(total, **spent):
    return Balance(total, spent, 0)


def test_a_base_cost_is_not_the_cause():
    view, judged = drive(requests(40, 6))
    [endpoint] = view.endpoints
    assert endpoint.verdict.mechanism == "lock"
    assert endpoint.verdict.share == pytest.approx(40 / 140, abs=1e-4)
    assert endpoint.verdict.confidence >= 0.8
    assert endpoint.verdict.summary == (
        "GET / is slow (p95 140 ms): 29 % of it waits for a lock; the normal 100 ms are mostly cpu"
    )
    told = "normally 100.0 ms (cpu 100.0 ms; 40 requests); {} took 40.0 ms more: lock 40.0 ms"
    assert told.format("the slow ones") in texts(endpoint.verdict)
    assert (endpoint.normal.total_ns, endpoint.normal["on_cpu"], endpoint.normal_count) == (100 * m.MS, 100 * m.MS, 40)
    assert [request.verdict.mechanism for request in judged] == ["lock"] * 6
    assert told.format("this one") in texts(judged[0].verdict)
    assert facts(judged[0].verdict)["lock"] == "0x7f02"


def test_where_too_few_are_normal_slow_ones_are_judged_by_themselves():
    view, _ = drive(requests(KNOWN_WELL - 1, 6))
    assert view.endpoints[0].verdict.mechanism == "cpu"
    assert "beyond_normal_ms" not in facts(view.endpoints[0].verdict)
    assert view.endpoints[0].normal_count == KNOWN_WELL - 1
    mostly_slow, _ = drive(requests(KNOWN_WELL, 200))
    assert mostly_slow.endpoints[0].verdict.mechanism == "cpu"


def test_what_is_always_slow_has_no_normal():
    view, _ = drive([m.served(n, n * 200, **LATE) for n in range(60)], slow_ms=None)
    [endpoint] = view.endpoints
    assert (endpoint.normal, endpoint.normal_count, endpoint.verdict.mechanism) == (None, 0, "cpu")


def test_a_little_more_of_everything_is_no_cause():
    normal = Normal(balance(100, cpu=90, lock=10), 50)
    scaled = balance(100 * m.MS, cpu=90 * m.MS, lock=10 * m.MS)
    assert beyond(balance(120 * m.MS, cpu=100 * m.MS, lock=20 * m.MS), Normal(scaled, 50)) is None
    assert beyond(balance(104, cpu=90, lock=14), normal) is None
    assert beyond(balance(100, cpu=90, lock=10), None) is None


def test_more_of_several_things_is_undecided_and_not_the_base_cost():
    normal = Normal(balance(100 * m.MS, cpu=100 * m.MS), 50)
    slow = balance(160 * m.MS, cpu=100 * m.MS, lock=20 * m.MS, disk=20 * m.MS, dependency=20 * m.MS)
    assert weigh_against(slow, None).mechanism == "cpu"
    assert weigh_against(slow, normal).mechanism is None


def test_more_of_the_same_is_the_same():
    normal = Normal(balance(50 * m.MS, cpu=40 * m.MS, lock=10 * m.MS), 50)
    slow = balance(200 * m.MS, cpu=150 * m.MS, lock=50 * m.MS)
    own, against = weigh_against(slow, None), weigh_against(slow, normal)
    assert (against.mechanism, against.share) == (own.mechanism, own.share) == ("cpu", 0.75)
    assert against.confidence >= own.confidence


def test_sampled_ledgers_are_not_compared():
    view, _ = drive([m.served(n, n * 200, fidelity="sampled", **BASE) for n in range(40)])
    assert view.endpoints[0].normal is not None
    slow, _ = drive(
        [
            *(m.served(n, n * 200, fidelity="sampled", **BASE) for n in range(40)),
            *(m.served(1000 + n, 9000 + n, fidelity="sampled", **LATE) for n in range(6)),
        ]
    )
    assert slow.endpoints[0].verdict.mechanism == "cpu"


def test_what_is_normal_can_be_taken_back():
    sums = NormalSums()
    for n in range(30):
        sums.add(balance(100 + n, cpu=60, lock=40 + n))
    before = sums.known(30, 40)
    sums.add(balance(7000, sleep=7000))
    assert sums.known(31, 41) != before
    sums.add(balance(7000, sleep=7000), -1)
    assert sums.known(30, 40) == before
    corrected, _ = drive([*requests(40, 6), *(m.served(n, 10_000 + n, **LATE) for n in range(40))])
    assert (corrected.endpoints[0].normal, corrected.endpoints[0].normal_count) == (None, 0)
