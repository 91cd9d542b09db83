"""What the time for other services is spent on: connecting, TLS, size, many calls, slow ones; what could overlap."""

import looped as lo
import making as m
import pytest
from coding import GET, at
from hypothesis import given
from hypothesis import strategies as st
from judging import facts, judge, text

from perfwatch.agent.correlator.calling import PARTS, chatter, divide, sums
from perfwatch.agent.correlator.engine import Correlator


def spent(record):
    return {
        part: round(ns / m.MS, 3)
        for part, ns in sums(divide(record, record.booked_ns[m.BUCKETS.index("calls")])).items()
    }


# --- how the time is divided


def test_each_stretch_of_a_call_goes_to_its_own_part():
    one = lo.opening(-500, 40, tls=60, wait=100)
    record = lo.calling(one, lo.large(-290, 20, 80))
    assert spent(record) == {"connect": 40, "tls": 60, "dependency": 120, "transfer": 80}


def test_calls_at_the_same_time_are_not_counted_twice():
    """Three calls at once: the moment belongs to the one that ends last."""
    together = (lo.call(-400, 100), lo.call(-400, 150, operation="SELECT ?"), lo.opening(-380, 60, wait=240))
    assert spent(lo.calling(*together, calls=320)) == {"dependency": 260, "connect": 60}


def test_an_answer_that_lies_unread_is_not_the_peers_time():
    late = lo.call(-300, 200, answered_ns=at(-250), read_ns=at(-101))
    assert spent(lo.calling(late, calls=51)) == {"dependency": 51}
    verdict = judge(lo.calling(late, calls=200))
    assert text(verdict, "unread_ms").startswith("answers lay unread for 149.0 ms")


def test_what_no_call_explains_is_a_dependency_by_its_peer():
    record = lo.calling(lo.opening(-500, 100, wait=10), calls=300, peers=(m.peer(lo.API, 190),))
    assert spent(record) == {"connect": 100, "dependency": 200}


def test_waits_lie_where_they_lie():
    """Of a call of 200 ms its thread waited 50 ms while it connected, and 20 ms for the answer; else it ran."""
    one = lo.opening(-400, 100, wait=100)
    waits = tuple(m.wait("calls", ms, started_ns=at(from_ms), call="poll") for from_ms, ms in ((-390, 50), (-250, 20)))
    assert spent(lo.calling(one, calls=70, waits=waits)) == {"connect": 50, "dependency": 20}


def test_what_is_booked_besides_the_waits_is_spread_over_the_calls_without_one():
    calls = lo.in_a_row(20, 0.5, from_ms=-100)
    slow = lo.call(-300, 50, operation="SELECT slow")
    wait = m.wait("calls", 50, started_ns=at(-300), call="recvfrom")
    assert spent(lo.calling(slow, *calls, calls=56, waits=(wait,))) == {"dependency": 50, "chatty": 6}


def test_calls_that_were_only_counted_are_like_the_others():
    record = lo.calling(*lo.in_a_row(200, 1), calls=900, calls_lost=700)
    assert spent(record) == {"chatty": 900}


TIMES = st.integers(-1500, 500).map(at)
CALLS = st.builds(
    lambda times, opens, size, operation: lo.call(
        0,
        0,
        started_ns=times[0],
        connected_ns=times[1] if opens else None,
        secured_ns=times[2] if opens and size % 2 else None,
        sent_ns=times[3],
        answered_ns=times[4] if size % 3 else None,
        ended_ns=times[5],
        received_bytes=size,
        operation=operation,
    ),
    st.lists(TIMES, min_size=6, max_size=6) | st.lists(TIMES, min_size=6, max_size=6).map(sorted),
    st.booleans(),
    st.integers(0, 10**6),
    st.sampled_from(["a", "b", None]),
)
WAITS = st.builds(
    lambda from_ns, ms, bucket: m.wait(bucket, ms, started_ns=from_ns),
    TIMES,
    st.integers(-5, 400),
    st.sampled_from(m.BUCKETS),
)


@given(st.lists(CALLS, max_size=20), st.lists(WAITS, max_size=8), st.integers(-100, 2000), st.booleans())
def test_whatever_is_called_the_parts_add_up_to_what_was_booked(calls, waits, booked_ms, lost):
    record = m.served(1, 0, ms=1000, calls=booked_ms, waits=tuple(waits), calls_lost=int(lost))
    record = lo.msgspec.structs.replace(record, calls=tuple(calls))
    slices = divide(record, booked_ms * m.MS)
    assert sum(one.spent_ns for one in slices) == booked_ms * m.MS
    assert set(sums(slices)) <= set(PARTS)
    if booked_ms >= 0:
        assert all(one.spent_ns > 0 for one in slices)


@given(st.lists(CALLS, max_size=12), st.lists(WAITS, max_size=5))
def test_and_so_do_the_stacks(calls, waits):
    record = m.served(1, 0, calls=900, on_cpu=100, waits=tuple(waits))
    [request] = Correlator(m.info(slow_ms=1)).feed(lo.msgspec.structs.replace(record, calls=tuple(calls)))
    assert sum(one.spent_ns for one in request.stacks) == request.ledger.total_ns
    by_bucket = dict.fromkeys(m.BUCKETS, 0)
    for one in request.stacks:
        by_bucket[one.bucket] += one.spent_ns
    assert tuple(by_bucket.values()) == request.ledger.booked_ns


# --- chatty


def test_many_calls_of_one_shape_are_chatty():
    verdict = judge(lo.calling(*lo.in_a_row(40, 6)))
    assert (verdict.mechanism, verdict.principle) == ("chatty", "efficiency")
    assert verdict.summary == "spent 240 ms on many calls of one kind to 10.0.0.5:5432 (92 %)"
    assert verdict.evidence[0].text == "40 calls of one shape went one after the other: 240.0 ms, 6.0 ms each"
    assert facts(verdict)["operation"] == lo.ONE_ROW
    assert verdict.advice[0].startswith("Ask for all of it in one query: a JOIN")


@pytest.mark.parametrize(("count", "mechanism"), [(7, "dependency"), (8, "chatty")])
def test_seven_are_no_habit(count, mechanism):
    assert judge(lo.calling(*lo.in_a_row(count, 40))).mechanism == mechanism


def test_one_slow_call_among_many_is_no_chatter():
    slow = lo.call(-400, 300)
    assert judge(lo.calling(*lo.in_a_row(20, 2), slow)).mechanism == "dependency"


def test_calls_at_the_same_time_are_no_chatter():
    together = tuple(lo.call(-300 + number, 200) for number in range(12))
    assert judge(lo.calling(*together, calls=211)).mechanism == "dependency"


def test_different_statements_are_no_chatter():
    calls = [lo.call(-900 + number * 41, 40, operation=f"SELECT {'abcdefghijkl'[number]}") for number in range(12)]
    assert judge(lo.calling(*calls)).mechanism == "dependency"
    assert not chatter(calls)


def test_calls_that_cannot_be_read_are_told_by_their_size():
    hidden = [
        lo.call(-900 + n * 21, 20, operation=None, protocol="tls", peer=lo.API, sent_bytes=300 + n) for n in range(12)
    ]
    verdict = judge(lo.calling(*hidden))
    assert verdict.mechanism == "chatty"
    assert verdict.advice[0].startswith("Ask for many in one call")


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"protocol": "redis", "operation": "GET ?"}, "Send them in one round trip: MGET"),
        ({"protocol": "kafka", "operation": "Produce", "kind": "publish"}, "Publish them as one batch"),
        ({"protocol": "mongodb", "operation": "find item"}, "Ask for all of it at once: {_id"),
    ],
)
def test_what_to_do_depends_on_whom_it_talks_to(fields, advice):
    assert judge(lo.calling(*lo.in_a_row(20, 10, **fields))).advice[0].startswith(advice)


def test_the_place_of_short_calls_is_that_of_their_stacks():
    """No wait of 1 ms tells it: the calls do."""
    calls = lo.in_a_row(100, 0.6, stack=0)
    verdict = judge(lo.calling(*calls, on_cpu=5, code=m.stacks(GET)))
    assert facts(verdict)["place"] == "Cache.get() at cache.py:61"
    assert (
        verdict.advice[1]
        == "Look at the loop in Cache.get() at cache.py: what it asks for one by one can be asked for at once."
    )


# --- connect, tls


def test_connections_that_are_opened_for_each_call():
    calls = tuple(lo.opening(-900 + number * 30, 20, wait=5) for number in range(6))
    verdict = judge(lo.calling(*calls))
    assert (verdict.mechanism, verdict.principle) == ("connect", "efficiency")
    assert verdict.summary == "spent 120 ms on opening connections to 10.0.0.5:5432 (71 %)"
    assert verdict.evidence[0].text == "opening connections took 120.0 ms, 20.0 ms for each of 6 connections"
    assert text(verdict, "opened") == "6 connections were opened for 6 calls to 10.0.0.5:5432"
    assert verdict.advice[0].startswith("Keep connections and use them again")


def test_the_end_of_a_connection_that_was_opened_for_one_call_belongs_to_it():
    """Its server takes 30 ms to close it, and the request waits for that; another peer's wait is its own."""
    one = lo.opening(-500, 40, wait=10)
    closing = m.wait("calls", 30, started_ns=at(-449), call=None, peer=lo.DB)
    assert spent(lo.calling(one, calls=80, waits=(closing,))) == {"connect": 70, "dependency": 10}
    other = m.wait("calls", 30, started_ns=at(-449), call=None, peer=lo.API)
    assert spent(lo.calling(one, calls=80, waits=(other,))) == {"connect": 40, "dependency": 40}
    kept = lo.call(-500, 50)
    assert spent(lo.calling(kept, calls=80, waits=(closing,))) == {"dependency": 80}


def test_a_cold_start_is_told_from_a_habit():
    warm = [lo.calling(*lo.in_a_row(4, 2), number=10 + n, at_ms=-900 + n) for n in range(5)]
    verdict = judge(lo.calling(lo.opening(-300, 200)), *warm)
    assert verdict.mechanism == "connect"
    assert text(verdict, "opened_before") == (
        "before that, 0 connections were opened for 20 earlier calls of process 4313 to it"
    )
    assert verdict.advice[0].startswith("It mostly uses its connections again, and this one was new")
    cold = [lo.calling(lo.opening(-950, 2), number=10 + n, at_ms=-900 + n) for n in range(20)]
    assert judge(lo.calling(lo.opening(-300, 200)), *cold).advice[0].startswith("Keep connections")


def test_one_connection_for_many_calls_is_not_what_takes_long():
    first = lo.opening(-900, 20, wait=10)
    assert judge(lo.calling(first, *lo.in_a_row(20, 10, from_ms=-800))).mechanism == "chatty"


def test_a_connection_that_was_refused_is_one_that_was_opened():
    failed = lo.call(-500, 300, sent_ns=None, answered_ns=None, sent_bytes=0, outcome="failed")
    verdict = judge(lo.calling(failed))
    assert verdict.mechanism == "connect"
    assert facts(verdict)["failed_calls"] == 1


def test_handshakes_are_tls():
    calls = tuple(
        lo.opening(-900 + n * 60, 5, tls=40, wait=5, peer=lo.API, protocol="tls", operation=None) for n in range(5)
    )
    verdict = judge(lo.calling(*calls))
    assert (verdict.mechanism, verdict.principle) == ("tls", "efficiency")
    assert verdict.evidence[0].text == "TLS handshakes took 200.0 ms, 40.0 ms for each of 5 handshakes"
    assert text(verdict, "handshakes") == "5 of them for 5 calls to 10.0.0.7:443"
    assert verdict.advice[1].startswith("Resume sessions")


# --- transfer


def test_a_large_answer_is_told_by_its_size():
    verdict = judge(lo.calling(lo.large(-500, 30, 400), calls=430))
    assert (verdict.mechanism, verdict.principle) == ("transfer", "efficiency")
    assert verdict.evidence[0].text == "moving data took 400.0 ms: 40 MB received in 1 call, 100 MB/s"
    assert facts(verdict)["transferred_bytes"] == 40_000_060


def test_a_small_answer_that_comes_slowly_is_not_too_large():
    assert judge(lo.calling(lo.large(-500, 30, 400, size=2000))).mechanism == "dependency"


def test_what_is_sent_may_be_large_too():
    upload = lo.call(-500, 400, sent_ns=at(-150), sent_bytes=30_000_000, protocol="http/1", operation="PUT /file/{}")
    verdict = judge(lo.calling(upload))
    assert verdict.mechanism == "transfer"
    assert verdict.evidence[0].text.startswith("moving data took 350.0 ms: 30 MB sent in 1 call")


# --- dependency


def test_a_slow_call_names_what_was_asked_and_when_it_was_answered():
    slow = lo.call(-500, 300, answered_ns=at(-210), operation="SELECT pg_sleep(?)")
    verdict = judge(lo.calling(lo.call(-900, 20), slow))
    assert (verdict.mechanism, verdict.principle) == ("dependency", "capacity")
    assert verdict.summary == "waited 320 ms for 10.0.0.5:5432 (94 %)"
    assert text(verdict, "operation") == "the longest took 300.0 ms: SELECT pg_sleep(?) (postgresql)"
    assert facts(verdict)["first_byte_ms"] == 290.0
    assert facts(verdict)["call_mean_ms"] == 160.0


def test_the_peer_is_the_one_that_its_slow_calls_were_for():
    many = lo.in_a_row(30, 5, peer=lo.CACHE, protocol="redis", operation="GET ?")
    verdict = judge(lo.calling(*many, lo.call(-400, 350)))
    assert verdict.mechanism == "dependency"
    assert facts(verdict)["peer"] == lo.DB
    assert facts(verdict)["other_peers"] == 1
    assert [one.value for one in verdict.evidence if one.name == "also"] == ["chatty"]


def test_a_publish_is_named_as_such():
    publish = lo.call(-500, 300, kind="publish", protocol="amqp", operation="Basic.Publish orders")
    assert facts(judge(lo.calling(publish)))["publishes"] == 1


def test_a_call_without_an_answer_is_said_to_have_none():
    lost = lo.call(-500, 300, answered_ns=None, outcome="unanswered")
    assert text(judge(lo.calling(lost)), "outcome") == "the longest took 300.0 ms, and had no answer"


# --- what could overlap


def three(gap=1.0, **fields):
    names = (("SELECT user", lo.DB, 100), ("GET /price", lo.API, 150), ("GET ?", lo.CACHE, 120))
    made, from_ms = [], -500.0
    for operation, peer, ms in names:
        made.append(lo.call(from_ms, ms, operation=operation, peer=peer, **({"connection": ms} | fields)))
        from_ms += ms + gap
    return made


def test_calls_one_after_the_other_might_run_together():
    verdict = judge(lo.calling(*three()))
    assert verdict.mechanism == "dependency"
    assert text(verdict, "could_overlap_ms") == (
        "3 calls went one after the other (SELECT user at 10.0.0.5:5432; GET /price at 10.0.0.7:443; "
        "GET ? at 10.0.0.9:6379): if they do not need each other's answers, running them together would save 220.0 ms"
    )
    assert "that would save about 220.0 ms" in verdict.advice[0]


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(three(gap=40), id="with work of its own between them"),
        pytest.param(three(gap=-60), id="that overlap already"),
        pytest.param(three(kind="publish"), id="that are published"),
        pytest.param(three(connection=7), id="in one session of a database"),
        pytest.param(lo.in_a_row(5, 60), id="of one shape: each may need the one before"),
        pytest.param([lo.call(-500, 300), lo.call(-199, 5, operation="SELECT b")], id="of which one is all of it"),
    ],
)
def test_calls_that_could_not(calls):
    assert "could_overlap_ms" not in facts(judge(lo.calling(*calls)))


def test_a_connection_that_is_opened_apart_belongs_to_the_call_it_is_opened_for():
    """No two calls: the second begins with it, and could overlap with the first."""
    setup = lo.opening(-399, 60, wait=0, sent_ns=None, answered_ns=None, connection=8, operation=None, sent_bytes=0)
    first = lo.call(-500, 100, operation="GET /a", connection=7)
    second = lo.call(-337, 90, operation="GET /b", connection=8)
    assert facts(judge(lo.calling(first, setup, second)))["could_overlap_ms"] == 100.0
    assert "could_overlap_ms" not in facts(judge(lo.calling(setup, second)))


# --- many requests


def test_an_endpoint_is_told_what_most_of_its_requests_are():
    correlator = Correlator(m.info())
    for number in range(8):
        correlator.feed(lo.calling(*lo.in_a_row(40, 6, from_ms=number), at_ms=300 + number, number=number, on_cpu=20))
    verdict = correlator.view().verdict
    assert (
        verdict.summary == "GET / always takes long (p50 260 ms): 92 % of it is many calls of one kind to 10.0.0.5:5432"
    )
    assert facts(verdict)["repeated"] == 40
    assert facts(verdict)["operation"] == lo.ONE_ROW
