"""Calls to other processes: what their time was spent on, and their sums by peer and operation."""

import asking as a
import making as m
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator.call_times import alike, is_new_connection, spent, unread_ns
from perfwatch.agent.correlator.called import OTHERS, Called, _middle, _step, timed
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.shown import Reported, Shown
from perfwatch.agent.model import Ledger, Request

NS = st.integers(-(2**63), 2**63)


def judged(request_id, calls=(), ms=600):
    record = a.asks(m.served(request_id, 1000, ms=ms), *calls)
    return Request(record, "/", Ledger(round(ms * m.MS), record.booked_ns), slow=True, verdict=None)


def engine(*records, **info):
    correlator = Correlator(m.info(**info))
    for record in records:
        correlator.feed(record)
    return correlator


def in_ms(call):
    return tuple(ns / m.MS for ns in spent(call))


def test_the_stretches_of_a_call_lie_one_after_the_other():
    one = a.call(5, 20, connect=1, tls=2, send=0.5, transfer=3)
    assert in_ms(one) == (1, 2, 0.5, 20, 3)
    assert is_new_connection(one)


def test_on_a_connection_that_stood_nothing_is_connecting():
    one = a.call(5, 20)
    assert in_ms(one) == (0, 0, 0, 20, 0)
    assert not is_new_connection(one)


def test_what_was_refused_was_connecting_and_what_got_no_answer_was_waiting():
    assert in_ms(a.refused(5, 30)) == (30, 0, 0, 0, 0)
    assert is_new_connection(a.refused(5, 30))
    unanswered = a.call(5, 10, send=2, transfer=1, answered_ns=None, outcome="unanswered")
    assert in_ms(unanswered) == (0, 0, 2, 11, 0)


def test_an_answer_that_nobody_read_is_told():
    one = a.call(0, 10, transfer=8, read_ns=m.START + 15 * m.MS)
    assert unread_ns(one) == 5 * m.MS
    assert unread_ns(a.call(0, 10)) == 0


@given(st.tuples(*[NS] * 2), st.lists(st.none() | NS, min_size=4, max_size=4))
def test_moments_in_no_order_still_add_up_to_the_call(ends, between):
    started, ended = ends
    names = ("connected_ns", "secured_ns", "sent_ns", "answered_ns")
    times = spent(a.call(0, 1, started_ns=started, ended_ns=ended, **dict(zip(names, between, strict=True))))
    assert min(times) >= 0
    assert times.total == max(ended - started, 0)


def test_calls_of_one_kind_are_put_together_by_their_first():
    calls = [a.call(0, 1), a.call(2, 1, operation="COMMIT"), a.call(4, 1), a.call(6, 1, outcome="failed")]
    assert [[one.started_ns for one in group] for group in alike(calls)] == [
        [calls[0].started_ns, calls[2].started_ns],
        [calls[1].started_ns],
        [calls[3].started_ns],
    ]


def test_calls_are_summed_by_peer_and_operation_of_the_session_and_of_each_endpoint():
    view = engine(
        a.asks(m.served(1, 100, ms=50, target="/a"), a.call(50, 10, connect=2, tls=4), *[a.call(60, 4)] * 3),
        a.asks(m.served(2, 200, ms=50, target="/a"), a.call(160, 4)),
        a.asks(m.served(3, 300, ms=50, target="/b"), a.call(260, 7, transfer=3, peer=a.REDIS, protocol="redis")),
        m.served(4, 400, ms=50, target="/b"),
    ).view()
    first, second = view.downstream
    assert (first.peer, first.protocol, first.operation) == (a.POSTGRES, "postgresql", a.SELECT)
    assert (first.count, first.requests, first.per_request, first.connections) == (5, 2, 2.5, 1)
    assert first.total_ms == 16 + 4 * 4
    assert (first.connect_share, first.tls_share) == (2 / 32, 4 / 32)
    assert (first.p50_ms, first.p95_ms) == (pytest.approx(4, rel=0.016), 16)
    assert (first.sent_bytes, first.received_bytes) == (300, 2000)
    assert (second.peer, second.transfer_share) == (a.REDIS, 0.3)
    of = {endpoint.route: endpoint.downstream for endpoint in view.endpoints}
    assert [one.peer for one in of["/a"]] == [a.POSTGRES]
    assert [one.peer for one in of["/b"]] == [a.REDIS]


def test_a_correction_adds_the_calls_that_came_since():
    calls = (a.call(50, 10), a.call(150, 10), a.call(170, 10))
    [one] = engine(
        a.asks(m.served(1, 100, ms=50), *calls[:1]),
        a.asks(m.served(1, 200, ms=150), *calls),
        a.asks(m.served(1, 300, ms=250), *calls),
    ).view().downstream  # fmt: skip
    assert (one.count, one.requests, one.total_ms) == (3, 1, 30)


def test_failed_calls_and_publishes_are_told_apart():
    publish = a.call(0, 1, kind="publish", protocol="kafka", operation="orders")
    view = engine(a.asks(m.served(1, 100, ms=50), a.refused(50, 5), publish)).view()
    assert {(one.kind, one.failed) for one in view.downstream} == {("call", 1), ("publish", 0)}


def test_what_is_beyond_the_limit_is_one_sum_and_no_call_is_lost():
    called = Called(5)
    called.take(timed([a.call(0, 1, operation=f"SELECT {n}") for n in range(50)]), is_more=False)
    told = called.largest()
    assert len(told) == 6
    assert (told[0].peer, told[0].operation, told[0].count, told[0].requests) == (OTHERS, None, 45, 1)


def test_a_client_that_calls_everybody_does_not_grow_the_state():
    calls = (a.call(0, 1, peer=f"10.{n % 200}.{n // 200}.1:80", operation=f"GET /{n}") for n in range(5000))
    correlator = engine(*(a.asks(m.served(n, n, ms=5, target=f"/{n % 3}x"), one) for n, one in enumerate(calls)))
    assert len(correlator._downstream._sums) == 513
    view = correlator.view()
    assert len(view.downstream) == 20
    assert all(len(endpoint.downstream) <= 20 for endpoint in view.endpoints)
    assert sum(one.count for one in view.endpoints) == 5000


def test_quantiles_are_near_those_of_all():
    called = Called(5)
    called.take(timed([a.call(0, n / 10) for n in range(1, 1001)]), is_more=False)
    [one] = called.largest()
    assert (one.p50_ms, one.p95_ms) == (pytest.approx(50, rel=0.016), pytest.approx(95, rel=0.016))


@given(st.integers(0, 2**70))
def test_the_middle_of_a_step_is_near(duration):
    assert abs(_middle(_step(duration)) - duration) <= duration * 0.016


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_steps_are_in_order(one, other):
    assert _step(one) == _step(other) or (_step(one) < _step(other)) == (one < other)


def test_in_a_view_the_newest_requests_keep_their_calls():
    shown = Shown(max_calls=10)
    for n in range(4):
        shown.put(judged(n, [a.call(0, 1)] * 4))
    told = {one.record.id: (len(one.record.calls), one.record.calls_lost) for one in shown.requests}
    assert told == {0: (0, 4), 1: (0, 4), 2: (4, 0), 3: (4, 0)}
    shown.pop(3)
    shown.put(judged(4, [a.call(0, 1)] * 4))
    assert [len(one.record.calls) for one in shown.requests] == [0, 0, 4, 4]


def test_a_request_that_is_put_again_takes_its_own_place_only():
    shown = Shown(max_calls=10)
    for _ in range(5):
        shown.put(judged(1, [a.call(0, 1)] * 4))
    shown.put(judged(2, [a.call(0, 1)] * 4))
    assert [len(one.record.calls) for one in shown.requests] == [4, 4]


def test_in_a_report_the_slowest_requests_keep_their_calls():
    reported = Reported(max_calls=10)
    for n, ms in enumerate((700, 600, 900, 800)):
        reported.add(judged(n, [a.call(0, 1)] * 4, ms))
    assert [len(one.record.calls) for one in reported.requests] == [0, 0, 4, 4]
    assert [one.record.calls_lost for one in reported.requests] == [4, 4, 0, 0]
