"""What an endpoint would take without one mechanism: from ledgers made by hand, and against a simulated server."""

import heapq
import random
import statistics

import looped as lo
import making as m
import msgspec
import pytest

from perfwatch.agent.correlator.demand import Demand
from perfwatch.agent.correlator.fair import MOST, FairSample, Taken
from perfwatch.agent.correlator.knock_on import Held, held_by
from perfwatch.agent.correlator.stations import waiting_ns
from perfwatch.agent.correlator.weighing import Balance
from perfwatch.agent.correlator.what_if import Base, Predictions
from perfwatch.agent.model import Cause, Latency, Link, Verdict
from perfwatch.agent.report import correlate


def predictions(records, **changes):
    view, _ = correlate(m.info(**changes), records)
    return {one.route: {gain.mechanism: gain for gain in one.what_if} for one in view.endpoints}


def blamed(records, **changes):
    """The prediction for the mechanism that its verdict blames."""
    return next(iter(predictions(records, **changes)["/a"].values()))


def test_what_is_gone_is_taken_from_each_request():
    records = [m.served(n, n * 100, sleep=60 + n, on_cpu=10, target="/a") for n in range(20)]
    gain = blamed(records)
    assert (gain.mechanism, gain.p50_ms, gain.p95_ms) == ("sleep", pytest.approx(10), pytest.approx(10))


def test_quick_requests_lose_what_the_judged_ones_lost_of_the_same_buckets():
    """Nine of ten were not slow, and nobody judged what they slept for: it is gone too."""
    slow = [m.served(n, n * 100, sleep=80, on_cpu=5, target="/a") for n in range(0, 100, 10)]
    quick = [m.served(n, n * 100, sleep=6, on_cpu=2, target="/a") for n in range(100) if n % 10]
    gain = blamed(sorted([*slow, *quick], key=lambda one: one.at_ns))
    assert (gain.p50_ms, gain.p95_ms) == (pytest.approx(2), pytest.approx(5))


def test_only_the_tail_falls_where_only_the_tail_waits():
    records = [m.served(n, n * 100, lock=0 if n % 5 else 300, on_cpu=10, target="/a") for n in range(100)]
    gain = blamed(records)
    assert (gain.mechanism, gain.p50_ms, gain.p95_ms) == ("lock", 10, 10)


def test_what_could_not_be_followed_predicts_nothing():
    """Two of twenty were answered by another thread than read them: nobody knows what they would take."""
    records = [m.served(n, n * 100, sleep=60, on_cpu=10, target="/a") for n in range(20)]
    lost = [msgspec.structs.replace(one, threads="several", booked_ns=(0,) * len(one.booked_ns)) for one in records[:2]]
    assert blamed([*lost, *records[2:]]).p95_ms == pytest.approx(10)


def test_of_tasks_what_nobody_looked_at_goes_with_what_it_is_taken_for():
    """Eight of twenty came before the first reading; six of them seemed to sleep, as all did that were looked at."""

    def suspended(number, bucket):
        wait = msgspec.structs.replace(lo.suspended(300, number * 400 - 320), bucket=bucket)
        return lo.followed(number, number * 400, **{bucket: 300}, on_cpu=10, target="/a", waits=(wait,))

    slept = [suspended(n, "other" if n < 3 or n > 8 else "sleep") for n in range(1, 21)]
    readings = [lo.tasks(at_ms, ("127.0.0.1:50000", lo.TIMER)) for at_ms in range(3250, 8000, 50)]
    gain = blamed(sorted([*slept, *readings], key=lambda one: one.at_ns), slow_ms=1)
    assert (gain.mechanism, gain.p50_ms, gain.p95_ms) == ("sleep", pytest.approx(10, 0.01), pytest.approx(10, 0.01))


def test_nothing_is_predicted_of_what_is_healthy_or_unknown():
    assert predictions([m.served(n, n * 100, ms=5, target="/a") for n in range(20)]) == {"/a": {}}
    assert predictions([m.served(n, n * 100, other=600, target="/a") for n in range(20)]) == {"/a": {}}


def test_a_correction_takes_back_what_it_corrects():
    early = [m.served(n, n * 100, lock=600, on_cpu=1, target="/a") for n in range(50)]
    final = [m.served(n, 9000 + n * 100, sleep=200, on_cpu=30, target="/a") for n in range(50)]
    gain = blamed([*early, *final])
    assert (gain.mechanism, gain.p50_ms, gain.p95_ms) == ("sleep", pytest.approx(30, 1e-2), pytest.approx(30, 1e-2))


def test_what_kept_the_loop_takes_with_it_the_waiting_for_the_loop():
    """Handlers that compute for 30 ms on one loop, eight clients without a pause: seven eighths of it is waiting."""
    records = [
        msgspec.structs.replace(lo.followed(n, n * 30, loop=210, on_cpu=30, target="/a"), connection=n % 8)
        for n in range(80)
    ]
    view, _ = correlate(m.info(), records)
    [endpoint] = view.endpoints
    assert endpoint.verdict.mechanism == "event-loop"
    gain = endpoint.what_if[0]
    assert gain.p95_ms == pytest.approx(30)


def test_without_the_interpreter_lock_there_are_still_only_so_many_cpus():
    """Four clients that compute for 150 ms each: with the lock 600 ms, without it two CPUs for the four of them."""
    records = [
        m.served(n, 600 + n * 150, gil=450, on_cpu=150, target="/a", connection=n % 4, tid=n % 4) for n in range(40)
    ]
    gain = blamed(records, cpus=2)
    assert gain.mechanism == "gil"
    assert gain.p95_ms == pytest.approx(300, rel=0.1)
    gain = blamed(records, cpus=8)
    assert gain.p95_ms == pytest.approx(150, rel=0.1)


def test_without_a_queue_for_its_worker_computing_still_needs_cpus():
    """One worker, eight clients: 20 ms each. Where they sleep more workers help all, where they compute two CPUs do."""
    asleep = [m.served(n, n * 20, queue=140, sleep=19, on_cpu=1, target="/a", connection=n % 8) for n in range(80)]
    gain = blamed(asleep)
    assert (gain.mechanism, gain.p95_ms) == ("queue", pytest.approx(20, rel=0.05))
    busy = [m.served(n, n * 20, queue=140, on_cpu=20, target="/a", connection=n % 8) for n in range(80)]
    gain = blamed(busy)
    assert gain.p95_ms == pytest.approx(80, rel=0.1)


def test_requests_that_wait_for_each_other_wait_for_what_they_do_with_the_lock():
    """Three clients, one lock, 40 ms of sleep with it: without the sleep there is nothing to wait for."""
    verdict = Verdict(
        *("concurrency", "lock", 0.64, 0.9, ""),
        causes=(Cause("lock", 0.64), Cause("sleep", 0.32)),
        chain=(Link("request", "GET /a", "sleep", 0.608),),
    )
    held = held_by(verdict, "GET /a")
    assert held == Held("sleep", pytest.approx(0.95))
    assert held_by(verdict, "GET /b") is None
    assert held_by(msgspec.structs.replace(verdict, chain=()), "GET /a") is None
    sample, demand = FairSample(), Demand()
    for number in range(20):
        balance = Balance(125 * m.MS, {"lock": 80 * m.MS, "sleep": 40 * m.MS, "cpu": 5 * m.MS}, 0)
        sample.put(number, Taken(125 * m.MS, m.booked(lock=80, sleep=40, on_cpu=5), 4313, balance, ()))
        demand.served(m.served(number, number * 42, lock=80, sleep=40, on_cpu=5, connection=number % 3), None)
    now = Latency(125, 125, 125, 125, 125)
    [gain] = Predictions().of(["sleep"], now, Base(sample, demand, 2, None, held))
    assert gain.p95_ms == pytest.approx(5 + 0.05 * 80, abs=0.5)
    [gain] = Predictions().of(["sleep"], now, Base(sample, demand, 2, None, None))
    assert gain.p95_ms == pytest.approx(85, abs=0.5)


def taken(number):
    return Taken(number, m.booked(on_cpu=1), 1, None, ())


def test_a_sample_is_bounded_and_fair():
    sample = FairSample()
    for number in range(100_000):
        sample.put(number, taken(number))
        assert len(sample) <= MOST
    assert len(sample.settled) >= MOST / 4
    assert sample.stands_for == pytest.approx(100_000, rel=0.13)
    assert statistics.mean(one.total_ns for one in sample.settled) == pytest.approx(50_000, rel=0.15)


def test_a_sample_is_the_same_in_any_order_and_forgets():
    forwards, backwards = FairSample(), FairSample()
    for number in range(5000):
        forwards.put(number, taken(number))
        backwards.put(4999 - number, taken(4999 - number))
    assert forwards._kept == backwards._kept
    for number in range(5000):
        forwards.drop(number)
    assert len(forwards) == 0


def simulated_wait(demand, clients, think, servers, rounds=60_000):
    """Mean wait in a closed network with exponential times, first come first served, by simulation."""
    chance = random.Random(1)
    comes = [(chance.expovariate(1 / think) if think else 0.0, client) for client in range(clients)]
    heapq.heapify(comes)
    free, waited = [0.0] * servers, 0.0
    for _ in range(rounds):
        arrives, client = heapq.heappop(comes)
        begins = max(arrives, heapq.heappop(free))
        ends = begins + chance.expovariate(1 / demand)
        heapq.heappush(free, ends)
        waited += begins - arrives
        heapq.heappush(comes, (ends + (chance.expovariate(1 / think) if think else 0.0), client))
    return waited / rounds


@pytest.mark.parametrize(
    ("clients", "think", "servers"),
    [(2, 20, 1), (4, 0, 1), (8, 40, 1), (8, 200, 1), (40, 1000, 1), (4, 0, 2), (16, 100, 2), (16, 400, 4)],
)
def test_waiting_is_as_in_a_simulation(clients, think, servers):
    """Within a twentieth of a round; what is used of it are differences and ratios."""
    model, simulated = waiting_ns(10, clients, think, servers), simulated_wait(10, clients, think, servers)
    assert abs(model - simulated) <= 0.08 * (simulated + 10 + think / servers), (model, simulated)


def test_waiting_at_the_ends():
    assert waiting_ns(10, 1, 5) == waiting_ns(0, 50, 5) == waiting_ns(10, -3, -5) == 0
    assert waiting_ns(10, 8, 0) == pytest.approx(70)
    rarely = 1e9
    assert waiting_ns(10, rarely * 0.08, rarely) == pytest.approx(10 * 0.8 / 0.2, rel=1e-3)
