"""Corrections, totals, order, and that nothing but the records and their order matters."""

import random

import fake_records
import making as m
import msgspec
import pytest
from record_stream import Stream

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model import BUCKETS, MAX_JUDGED
from perfwatch.agent.report import correlate
from perfwatch.probes.records import ListenerSample, Loss, ProcessSample, TargetChange

LATER = 200


def drive(records, **changes):
    return correlate(m.info(**changes), records)


def test_a_correction_replaces_the_request():
    first = m.served(1, 1000, lock=600, on_cpu=10, waits=(m.wait("lock", 600),))
    longer = m.served(1, 1500, lock=600, send=1500, on_cpu=10, status=500)
    view, judged = drive([first, longer])
    assert [request.verdict.mechanism for request in judged] == ["lock", "network"]
    assert view.requests == (judged[1],)
    assert (view.count, view.slow_count, view.errors) == (1, 1, 1)
    [endpoint] = view.endpoints
    assert (endpoint.count, endpoint.slow_count, endpoint.errors, endpoint.judged_count) == (1, 1, 1, 1)
    assert endpoint.ledger == judged[1].ledger
    assert endpoint.latency_ms.max == view.latency_ms.max == 2110
    assert [(second.requests, second.slow) for second in view.timeline] == [(1, 1)]


def test_a_correction_may_make_a_quick_request_slow():
    view, judged = drive([m.served(1, 100, ms=5), m.served(1, 800, ms=700)])
    assert [request.ledger.total_ns for request in judged] == [700 * m.MS]
    assert (view.count, view.slow_count) == (1, 1)


def test_a_correction_may_move_a_request_to_another_endpoint():
    view, _ = drive([m.served(1, 100, ms=600, target=None), m.served(1, 100, ms=600, target="/a")])
    assert [(one.route, one.count) for one in view.endpoints] == [("/a", 1)]


def test_what_was_judged_once_is_judged_again():
    usual = [m.served(n, n, ms=4) for n in range(10, 20)]
    _, judged = drive([*usual, m.served(1, 100, ms=30), m.served(1, 101, ms=8)])
    assert [(request.slow, request.ledger.total_ns) for request in judged] == [(True, 30 * m.MS), (False, 8 * m.MS)]


@pytest.mark.parametrize("slow_ms", [1, 60])
def test_all_corrected_is_as_if_only_the_last_had_come(slow_ms):
    chance = random.Random(3)
    finals, records = [], []
    for number in range(1, 200):
        final = m.served(number, 2000 + number, on_cpu=chance.uniform(1, 90), lock=chance.uniform(0, 90))
        records.append(m.served(number, number, on_cpu=chance.uniform(1, 50)))
        finals.append(final)
    corrected, _ = drive([*records, *finals], slow_ms=slow_ms)
    alone, _ = drive([m.served(500, 1, ms=1, target="/first"), *finals], slow_ms=slow_ms)
    one, other = corrected.endpoints[0], alone.endpoints[0]
    if slow_ms > 1:
        # Each is judged by what was normal until then: that is not the same where all were told before.
        assert one.verdict.mechanism == other.verdict.mechanism == "lock"
        one, other = (msgspec.structs.replace(each, verdict=None, frames=()) for each in (one, other))
    for gain, other_gain in zip(one.what_if, other.what_if, strict=True):
        # What was predicted is predicted anew with each eighth that comes.
        assert (gain.mechanism, gain.p95_ms) == (other_gain.mechanism, pytest.approx(other_gain.p95_ms, rel=0.02))
    one, other = (msgspec.structs.replace(each, what_if=()) for each in (one, other))
    assert one == other


def test_the_same_records_give_the_same_verdicts():
    records = fake_records.generate(20)
    one, other = (correlate(fake_records.session_info(), records) for _ in range(2))
    assert one == other
    assert len(one[1]) > 50


def test_looking_does_not_change_what_is_seen():
    records = fake_records.generate(10)
    looked_at = Correlator(fake_records.session_info())
    judged = []
    for record in records:
        judged += looked_at.feed(record)
        looked_at.view()
    view, unseen = correlate(fake_records.session_info(), records)
    assert judged == unseen
    assert looked_at.view() == view


def test_the_order_of_delivery_is_kept():
    records = [m.served(number, 5000 - number, ms=600) for number in range(1, 20)]
    view, judged = drive(records)
    assert [request.record.id for request in view.requests] == list(range(1, 20))
    assert list(view.requests) == judged


def test_totals():
    change = TargetChange(m.START, 4312, "attached", "")
    records = [change, *(m.served(n, n * 100, ms=n, status=503 if n == 4 else 200) for n in range(1, 101))]
    view, _ = drive(records)
    assert (view.first_ns, view.now_ns) == (m.START, m.START + 10 * m.SECOND)
    assert view.throughput_rps == pytest.approx(10)
    assert view.concurrency == pytest.approx(0.505)
    assert view.errors == 1
    latency = view.latency_ms
    assert (latency.p50, latency.p90, latency.p95, latency.p99, latency.max) == (50, 90, 95, 99, 100)


def test_the_timeline_has_every_second():
    records = [
        m.served(1, 500, ms=5),
        m.served(2, 700, ms=15, outcome="aborted", status=None),
        m.in_flight(3200, m.opened(9, 100, 3200), count=7),
        m.served(3, 4100, ms=900),
    ]
    view, _ = drive(records)
    assert [(one.at_ns - m.START) // m.SECOND for one in view.timeline] == [0, 1, 2, 3, 4]
    assert [one.requests for one in view.timeline] == [2, 0, 0, 0, 1]
    assert [one.errors for one in view.timeline] == [1, 0, 0, 0, 0]
    assert [one.slow for one in view.timeline] == [0, 0, 0, 0, 1]
    assert [one.in_flight for one in view.timeline] == [0, 0, 0, 7, 0]
    assert (view.timeline[0].p50_ms, view.timeline[0].p95_ms) == (5, 15)
    assert view.timeline[1].p50_ms is None


def test_each_second_has_the_use_of_the_cpus_up_to_its_last_reading():
    records = [
        m.host(0, 0, 0),
        m.host(1000, 250, 750),
        m.host(2100, 450, 1650),
        m.host(2900, 850, 2050),
        m.host(4000, 850, 2050),
    ]
    view, _ = drive(records)
    assert [one.cpu_use for one in view.timeline] == [None, 0.25, 0.5, None, None]


def test_a_late_record_counts_in_the_second_in_which_it_ended():
    view, _ = drive(
        [
            m.served(1, 100, ms=5),
            m.host(3000, 0, 0),
            msgspec.structs.replace(m.served(2, 1500, ms=7), at_ns=m.START + 3100 * m.MS),
        ]
    )
    assert [one.requests for one in view.timeline] == [1, 1, 0, 0]


def test_a_settled_second_keeps_its_quantiles_and_corrects_its_counts():
    view, _ = drive([m.served(1, 100, ms=600), m.host(60_000, 0, 0), m.served(1, 60_000, ms=700)])
    assert (view.timeline[0].requests, view.timeline[0].slow, view.timeline[0].p50_ms) == (0, 0, 600)
    assert view.timeline[-1].requests == 1


def test_the_surroundings_are_shown():
    view, _ = drive(
        [
            m.host(0, 0, 0, 2),
            m.host(1000, 500, 1500, 4),
            m.host(2000, 2300, 1700, 6),
            ProcessSample(m.START, 99, "perfwatch", 0, 1, 1),
            ProcessSample(m.START + m.SECOND, 99, "perfwatch", 20 * m.MS, 1, 1),
            ListenerSample(m.START, "127.0.0.1:8000", 30, 128),
            ListenerSample(m.START + 1, "127.0.0.1:8000", 3, 128),
            Loss(m.START + 2 * m.SECOND, "ledger", 5, "the ring was full"),
            Loss(m.START + 2 * m.SECOND, "ledger", 2, "the ring was full"),
            TargetChange(m.START + 3 * m.SECOND, 4313, "forked", ""),
            TargetChange(m.START + 4 * m.SECOND, 4312, "gone", "killed by SIGKILL"),
        ]
    )
    assert view.cpu_use == pytest.approx(0.9)
    assert view.cpu_use_mean == pytest.approx(2300 / 4000)
    assert view.runnable_mean == 4
    assert view.memory_use == pytest.approx(0.25)
    assert view.listeners == (("127.0.0.1:8000", 30, 128),)
    assert (view.lost, view.losses) == (7, (("ledger", 7),))
    assert view.target_gone == "the target ended after 4.0 s: killed by SIGKILL"
    assert [text for _, text in view.events] == [
        "ledger lost 5 events: the ring was full",
        "ledger lost 2 events: the ring was full",
        "process 4313 forked",
        "the target ended after 4.0 s: killed by SIGKILL",
    ]


def test_own_cpu_is_forgotten_when_its_process_is_gone():
    samples = [ProcessSample(m.START + n * m.SECOND, 99, "perfwatch", 20 * n * m.MS, 1, 1) for n in range(2)]
    assert drive(samples)[0].own_cpu == pytest.approx(0.02)
    assert drive([*samples, m.host(9000, 0, 0)])[0].own_cpu is None


def test_workers_are_the_other_processes_of_the_target():
    samples = [ProcessSample(m.START, pid, "target", 0, 1, 1) for pid in (4312, 4313, 4314)]
    assert drive([])[0].workers is None
    assert drive([*samples, ProcessSample(m.START, 99, "perfwatch", 0, 1, 1)])[0].workers == 2
    assert drive([*samples, ProcessSample(m.START + 5 * m.SECOND, 4312, "target", 0, 1, 1)])[0].workers == 0


def test_requests_that_ended_are_not_in_flight():
    view, _ = drive(
        [m.in_flight(1000, m.opened(1, 50, 1000), m.opened(2, 40, 1000), count=5), m.served(1, 1010, ms=60)]
    )
    assert [request.id for request in view.in_flight] == [2]
    assert view.in_flight_count == 4


def test_a_view_holds_the_newest_judged_requests():
    view, judged = drive(m.served(number, number, ms=600) for number in range(1, MAX_JUDGED + 51))
    assert len(judged) == MAX_JUDGED + 50
    assert list(view.requests) == judged[50:]


@pytest.mark.parametrize("length", [0, 3, len(BUCKETS), len(BUCKETS) + 4])
def test_ledgers_of_other_versions_are_understood(length):
    strange = tuple(1000 * m.MS for _ in range(length))
    record = msgspec.structs.replace(m.served(1, 20_000, ms=14_000), booked_ns=strange)
    flying = m.in_flight(20_000, msgspec.structs.replace(m.opened(2, 900, 20_000), booked_ns=strange))
    view, [request] = drive([flying, record])
    assert len(request.ledger.booked_ns) == len(BUCKETS)
    assert sum(request.ledger.booked_ns) + request.ledger.unaccounted_ns == request.ledger.total_ns
    assert len(view.in_flight[0].booked_ns) == len(BUCKETS)


def test_a_glance_counts_all_and_leaves_no_trace():
    """A screen looks four times a second; what is asked for afterwards is what it would have been."""
    watched, alone, stream = Correlator(m.info()), Correlator(m.info()), Stream(300)
    for number in range(4):
        records = list(stream.second(number))
        for place, record in enumerate(records):
            watched.feed(record)
            alone.feed(record)
            if place % (len(records) // 4) == 0:
                glanced = watched.view(glance=True)
        glanced = watched.view(glance=True)
        exact = alone.view()
        assert [counts(one) for one in glanced.endpoints] == [counts(one) for one in exact.endpoints]
        assert {one.verdict.principle for one in glanced.endpoints} > {"healthy"}
    assert watched.view() == exact


def test_at_a_glance_the_session_is_judged_as_its_costliest_endpoint_is():
    """One more slow request changes the figures in the verdict, which a glance tells with the next ones."""
    correlator = Correlator(m.info())
    for number in range(1, 101):
        correlator.feed(m.served(number, 10 * number, lock=600))
    before = correlator.view(glance=True)
    correlator.feed(m.served(101, 1011, lock=900))
    after = correlator.view(glance=True)
    assert after.endpoints[0].count == before.endpoints[0].count + 1
    assert before.verdict == after.verdict == after.endpoints[0].verdict != correlator.view().verdict


def counts(endpoint):
    return (endpoint.method, endpoint.route, endpoint.count, endpoint.slow_count, endpoint.errors, endpoint.latency_ms)
