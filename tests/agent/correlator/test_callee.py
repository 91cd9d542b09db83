"""A call is followed into the request that it was at its other end, and never into another one."""

from __future__ import annotations

import random
from itertools import pairwise

import making as m
import msgspec
import pytest
from two_ends import BACK, BACK_AT, BACK_UNIX, FRONT, INFO, MEMBERS, call, callee, caller_of, ns

from perfwatch.agent.model import MAX_JUDGED
from perfwatch.agent.report import correlate
from perfwatch.probes.records import PeerProcess


def last(judged):
    """Return each judged request as it was told last, by id."""
    return {request.record.id: request for request in judged}


def evidence(request):
    return {one.name: one.value for one in request.verdict.evidence}


def pairs(judged):
    """Return (caller, callee) of all that were told last."""
    return {(id_, one.request) for id_, request in last(judged).items() for one in request.callees}


@pytest.mark.parametrize("callee_first", [True, False])
def test_the_caller_shows_its_callees_ledger_and_verdict(callee_first):
    records = [callee(2, 10, 100), caller_of(1, 102, call(9, 101))]
    _, judged = correlate(INFO, [*MEMBERS, *(records if callee_first else records[::-1])])
    front = last(judged)[1]
    (joined,) = front.callees
    assert (joined.request, joined.pid, joined.process, joined.call) == (2, 4401, "gunicorn (pid 4401)", 0)
    assert joined.ledger == last(judged)[2].ledger
    assert joined.verdict == last(judged)[2].verdict
    assert front.verdict.mechanism == "dependency"
    told = evidence(front)
    assert told["callee"] == "GET /price/{}"
    assert told["callee_process"] == "gunicorn (pid 4401)"
    assert told["callee_request"] == 2
    assert told["callee_mechanism"] == "lock"
    assert told["callee_ledger"] == "lock 90 %, on_cpu 10 %"
    assert "GET /price/{} in gunicorn (pid 4401), where it waits for a lock" in front.verdict.summary
    assert front.verdict.advice[0].startswith("In gunicorn (pid 4401): ")


def test_the_endpoint_says_so_too():
    records = []
    for n in range(8):
        at = n * 200
        address = f"127.0.0.1:{50000 + n}"
        made = caller_of(n, at + 102, call(at + 9, at + 101, address))
        records += [callee(100 + n, at + 10, at + 100, address), made]
    view, _ = correlate(INFO, [*MEMBERS, *records])
    (front,) = [end for end in view.endpoints if end.service == FRONT]
    assert "GET /price/{} in gunicorn (pid 4401), where it waits for a lock" in front.verdict.summary


def test_a_callee_that_was_quick_is_judged_for_its_callers_sake():
    calls = [call(n * 20 + 1, n * 20 + 19) for n in range(5)]
    records = [callee(10 + n, n * 20 + 2, n * 20 + 18) for n in range(5)]
    view, judged = correlate(INFO, [*MEMBERS, *records, caller_of(1, 100, *calls)])
    front = last(judged)[1]
    assert [(one.call, one.request) for one in front.callees] == [(n, 10 + n) for n in range(5)]
    assert {request.record.id for request in view.requests} == {1, *range(10, 15)}
    assert view.slow_count == 1
    (back,) = [end for end in view.endpoints if end.service == BACK]
    assert (back.count, back.slow_count, back.judged_count) == (5, 0, 0)
    assert evidence(front)["other_callees"] == 4


def test_a_correction_of_the_callee_reaches_its_caller():
    made = caller_of(1, 302, call(9, 301))
    _, judged = correlate(INFO, [*MEMBERS, callee(2, 10, 100), made, callee(2, 10, 300)])
    told = [request.callees[0].ledger.total_ns // m.MS for request in judged if request.record.id == 1]
    assert told == [90, 290]


def test_a_correction_of_the_caller_keeps_its_callee():
    records = [callee(2, 10, 100), caller_of(1, 102, call(9, 101)), caller_of(1, 110, call(9, 101))]
    view, judged = correlate(INFO, [*MEMBERS, *records])
    assert pairs(judged) == {(1, 2)}
    assert (view.count, view.slow_count) == (2, 2)


def test_a_chain_of_three_is_told_from_its_end():
    deep = callee(3, 20, 95, "127.0.0.1:60001", local="127.0.0.1:9000", pid=4401)
    middle = msgspec.structs.replace(
        caller_of(2, 100, call(19, 96, "127.0.0.1:60001", peer="127.0.0.1:9000")), pid=4401, local=BACK_AT,
        remote="127.0.0.1:50001", target="/price/7",
    )  # fmt: skip
    top = caller_of(1, 102, call(9, 101))
    expected = None
    for order in ([deep, middle, top], [top, middle, deep], [middle, top, deep], [top, deep, middle]):
        _, judged = correlate(INFO, [*MEMBERS, *order])
        assert pairs(judged) == {(1, 2), (2, 3)}
        summary = last(judged)[1].callees[0].verdict.summary
        assert "waits for a lock" in summary
        assert expected in (None, summary)
        expected = summary


def test_nothing_is_followed_where_one_target_calls_strangers():
    _, judged = correlate(m.info(slow_ms=50), [callee(2, 10, 100), caller_of(1, 102, call(9, 101))])
    assert pairs(judged) == set()


def test_a_target_that_calls_itself_is_followed():
    itself = PeerProcess(m.START, FRONT, BACK_AT, BACK, "python", is_target=True)
    _, judged = correlate(m.info(slow_ms=50), [itself, callee(2, 10, 100), caller_of(1, 102, call(9, 101))])
    assert pairs(judged) == {(1, 2)}


@pytest.mark.parametrize(
    "other",
    [
        {"remote": "127.0.0.1:50002"},
        {"local": "127.0.0.1:8002"},
        {"method": "POST"},
    ],
)
def test_another_connection_or_method_is_not_followed(other):
    _, judged = correlate(INFO, [*MEMBERS, callee(2, 10, 100, **other), caller_of(1, 102, call(9, 101))])
    assert pairs(judged) == set()


def test_a_port_that_is_used_again_is_told_apart_by_time():
    records = [callee(2, 10, 100), callee(3, 500, 600), callee(4, -400, -300), caller_of(1, 602, call(499, 601))]
    _, judged = correlate(INFO, [*MEMBERS, *records])
    assert pairs(judged) == {(1, 3)}


def test_calls_one_after_the_other_on_one_connection_each_get_their_own():
    """Also where the stamp of the sending comes late: it is taken when the send returns."""
    edges = [n * 30 for n in range(6)]
    calls = [call(start + 1.9, end - 0.1) for start, end in pairwise(edges)]
    records = [callee(10 + n, start + 0.5, end - 0.3) for n, (start, end) in enumerate(pairwise(edges))]
    chance = random.Random(5)
    chance.shuffle(records)
    _, judged = correlate(INFO, [*MEMBERS, *records, caller_of(1, 151, *calls)])
    assert [(one.call, one.request) for one in last(judged)[1].callees] == [(n, 10 + n) for n in range(5)]


def streams(*, same_route):
    """Two streams of HTTP/2, one inside the other."""
    over = {"protocol": "http/2"}
    routes = ("/price/7", "/price/7" if same_route else "/stock")
    calls = (call(9, 101, **over), call(20, 80, **over, operation=f"GET {'/price/{}' if same_route else '/stock'}"))
    return [callee(2, 10, 100, target=routes[0]), callee(3, 21, 79, target=routes[1])], calls


def test_streams_are_told_apart_by_route():
    served, calls = streams(same_route=False)
    _, judged = correlate(INFO, [*MEMBERS, *served, caller_of(1, 102, *calls)])
    assert [(one.call, one.request) for one in last(judged)[1].callees] == [(0, 2), (1, 3)]


def test_streams_of_one_route_are_not():
    served, calls = streams(same_route=True)
    _, judged = correlate(INFO, [*MEMBERS, *served, caller_of(1, 102, *calls)])
    assert pairs(judged) == set()


# --- who the peer is


def listening(**fields):
    return PeerProcess(**({"at_ns": m.START, "seen_by": FRONT, "address": BACK_AT, "pid": 812, "name": "postgres",
                           "is_target": False} | fields))  # fmt: skip


def test_a_peer_on_this_host_is_named():
    _, judged = correlate(INFO, [*MEMBERS, listening(), caller_of(1, 102, call(9, 101))])
    verdict = last(judged)[1].verdict
    assert evidence(last(judged)[1])["peer_process"] == "postgres (pid 812)"
    assert "127.0.0.1:8001 (postgres (pid 812))" in verdict.summary


@pytest.mark.parametrize("other", [{"seen_by": BACK}, {"address": "127.0.0.1:8002"}])
def test_an_address_means_something_only_to_the_one_that_calls_it(other):
    _, judged = correlate(INFO, [*MEMBERS, listening(**other), caller_of(1, 102, call(9, 101))])
    assert "peer_process" not in evidence(last(judged)[1])


# --- Unix sockets


def on_unix(start_ms, end_ms):
    return call(start_ms, end_ms, "unix:?", peer=BACK_UNIX)


def served_on_unix(request_id, start_ms, end_ms):
    return callee(request_id, start_ms, end_ms, "unix:?", local=BACK_UNIX)


def test_a_unix_socket_is_followed_by_time():
    records = [served_on_unix(2, 10, 100), served_on_unix(3, 40, 170), caller_of(1, 102, on_unix(9.9, 100.2))]
    _, judged = correlate(INFO, [*MEMBERS, *records])
    assert pairs(judged) == {(1, 2)}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 1, 3), (2, 3, 0, 1), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_two_that_cannot_be_told_apart_are_not_followed(order):
    records = [
        served_on_unix(2, 10, 100),
        served_on_unix(3, 10.3, 100.4),
        caller_of(1, 102, on_unix(9.9, 100.2)),
        caller_of(4, 102, on_unix(10.1, 100.6)),
    ]
    _, judged = correlate(INFO, [*MEMBERS, *(records[place] for place in order)])
    assert pairs(judged) == set()


def test_what_a_later_call_might_have_been_as_well_is_not_followed_any_more():
    records = [served_on_unix(2, 10, 100), caller_of(1, 102, on_unix(9.9, 100.2))]
    _, judged = correlate(INFO, [*MEMBERS, *records])
    assert pairs(judged) == {(1, 2)}
    _, judged = correlate(INFO, [*MEMBERS, *records, caller_of(4, 102, on_unix(10.1, 100.6))])
    assert pairs(judged) == set()


# --- many, and hostile


def traffic(count, seed):
    """Callers with a call each, all at the same time, each on its own connection; and who is whose."""
    chance = random.Random(seed)
    records, expected = [], set()
    for n in range(count):
        start, took = chance.uniform(0, 300), chance.uniform(60, 200)
        address = f"127.0.0.1:{40000 + n}"
        records.append(callee(10_000 + n, start, start + took, address))
        records.append(caller_of(n, start + took + 2, call(start - 0.2, start + took + 0.5, address)))
        expected.add((n, 10_000 + n))
    chance.shuffle(records)
    return records, expected


def test_each_of_many_gets_its_own_in_any_order():
    for seed in range(3):
        records, expected = traffic(200, seed)
        _, judged = correlate(INFO, [*MEMBERS, *records])
        assert pairs(judged) == expected


def test_the_same_records_give_the_same():
    records, _ = traffic(100, 9)
    assert correlate(INFO, [*MEMBERS, *records]) == correlate(INFO, [*MEMBERS, *records])


def test_requests_that_call_each_other_end():
    """What no kernel tells, a file may."""
    both = {"arrived_ns": ns(0), "started_ns": ns(0), "ended_ns": ns(100), "at_ns": ns(100)}
    records = []
    for n in range(80):
        calls = tuple(call(0, 100, "127.0.0.1:50001") for _ in range(3))
        made = caller_of(n, 100, *calls)
        records.append(msgspec.structs.replace(made, local=BACK_AT, remote="127.0.0.1:50001", **both))
    view, judged = correlate(INFO, [*MEMBERS, *records, *records[::-1]])
    assert view.count == 80
    assert all(id_ != other for id_, other in pairs(judged))


def test_what_is_kept_is_bounded():
    records, _ = traffic(6000, 1)
    view, judged = correlate(INFO, [*MEMBERS, *records])
    assert len(view.requests) <= MAX_JUDGED
    assert view.count == 12_000
    assert len(judged) < 30_000


def test_names_from_the_wire_do_no_harm():
    evil = "\x1b[2J" * 50
    records = [
        callee(2, 10, 100, target=evil, method=evil),
        caller_of(1, 102, call(9, 101, operation=evil)),
    ]
    _, judged = correlate(INFO, [*MEMBERS, *records])
    assert pairs(judged) == {(1, 2)}
    assert pytest.approx(0.98, abs=0.02) == last(judged)[1].verdict.share
