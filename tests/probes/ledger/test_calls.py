"""Calls from made-up steps, and from what real clients said: one a turn, and setting up is none."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.addresses import Address
from perfwatch.probes.ledger.calls import MAX_CONVERSATIONS, Calls, placed
from perfwatch.probes.ledger.exchanges import CONVERSATION, Rest, parse_rest
from perfwatch.probes.ledger.step_events import Ends, StepEvent
from perfwatch.probes.records import MAX_CALLS, Wait

DUMPED = json.loads((Path(__file__).parents[2] / "fixtures" / "conversations" / "clients.json").read_text())
LOCAL = Address(socket.AF_INET, 40000, socket.inet_aton("127.0.0.1") + bytes(12))
GET = b"GET /items/1 HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
MS = 1_000_000


class Wire:
    """One connection of thread 7, whose steps go to `calls`; times in ms."""

    def __init__(self, calls, port=80, connection=1):
        self.calls, self.connection, self.owner = calls, connection, 5
        self.peer = Address(socket.AF_INET, port, socket.inet_aton("127.0.0.1") + bytes(12))

    def step(self, at, kind, head=b"", count=0, since=0.0):
        ends = Ends(LOCAL, self.peer, head[:128])
        self.calls.take(
            StepEvent(
                int(at * MS), 3, 7, kind, self.connection, 5, int(since * MS), count or len(head), 0, (0,) * 16, ends
            ),
            self.owner,
        )

    def connect(self, at, until):
        self.step(at, steps.CONNECTING)
        self.step(until, steps.CONNECTED, since=at)

    def send(self, at, head=GET, count=0):
        self.step(at, steps.SENT, head, count)

    def receive(self, at, head=OK, count=0, since=0.0):
        self.step(at, steps.RECEIVED, head, count, since)

    def close(self, at, error=0):
        self.step(at, steps.CLOSED, count=error)


@pytest.fixture(name="calls")
def make_calls():
    return Calls(lambda _: None)


@pytest.fixture(name="wire")
def make_wire(calls):
    return Wire(calls)


def ms(*moments):
    return tuple(None if moment is None else moment / MS for moment in moments)


def of(calls, request=5, until=1000):
    return calls.of(request, until * MS)


def test_a_call_on_a_new_connection_begins_with_connecting(calls, wire):
    wire.connect(1, 3)
    wire.send(3.5)
    wire.receive(9, since=8)
    (call,) = of(calls)
    assert ms(call.started_ns, call.connected_ns, call.secured_ns, call.sent_ns) == (1, 3, None, 3.5)
    assert ms(call.answered_ns, call.read_ns, call.ended_ns) == (8, 9, 9)
    assert (call.peer, call.local, call.tid, call.connection) == ("127.0.0.1:80", "127.0.0.1:40000", 7, 1)
    assert (call.sent_bytes, call.received_bytes, call.outcome) == (len(GET), len(OK), "answered")


def test_a_connection_that_is_used_later_or_by_another_request_was_made_for_itself(calls, wire):
    wire.connect(1, 3)
    wire.send(5)
    wire.receive(6)
    made, asked = of(calls)
    assert ms(made.started_ns, made.connected_ns, made.sent_ns, made.ended_ns) == (1, 3, None, 3)
    assert ms(asked.started_ns, asked.connected_ns, asked.sent_ns) == (5, None, 5)
    other = Wire(calls, connection=2)
    other.connect(10, 11)
    other.owner = 6
    other.send(11.5)
    assert [ms(call.started_ns, call.sent_ns) for call in of(calls, 6)] == [(11.5, 11.5)]
    assert [ms(call.started_ns, call.sent_ns) for call in of(calls)][2:] == [(10, None)]


def test_more_of_a_message_and_of_its_answer_belong_to_it(calls, wire):
    wire.send(1)
    wire.send(2, b"body", 10_000)
    wire.receive(5, since=4)
    wire.receive(7, b"", 90_000, since=5)
    (call,) = of(calls)
    assert ms(call.started_ns, call.sent_ns, call.answered_ns, call.read_ns, call.ended_ns) == (1, 2, 4, 5, 7)
    assert (call.sent_bytes, call.received_bytes) == (len(GET) + 10_000, len(OK) + 90_000)


def test_an_interim_answer_is_no_answer(calls, wire):
    wire.send(1, b"POST /items HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
    wire.receive(2, b"HTTP/1.1 100 Continue\r\n\r\n", since=2)
    wire.send(3, b"the body")
    wire.receive(30, since=29)
    (call,) = of(calls)
    assert (call.operation, *ms(call.sent_ns, call.answered_ns)) == ("POST /items", 3, 29)


def test_what_was_readable_before_the_question_is_no_early_answer(calls, wire):
    wire.send(5)
    wire.receive(6, since=2)
    assert ms(of(calls)[0].answered_ns) == (5,)


@pytest.mark.parametrize(("error", "connects"), [(-111, True), (-104, False), (0, False)])
def test_what_is_refused_reset_or_closed_has_failed(calls, wire, error, connects):
    if connects:
        wire.step(1, steps.CONNECTING)
    else:
        wire.send(1)
    wire.close(4, error)
    (call,) = of(calls)
    assert (call.outcome, *ms(call.started_ns, call.ended_ns)) == ("failed", 1, 4)


def test_a_connection_that_closes_after_its_answer_has_not_failed(calls, wire):
    wire.connect(1, 2)
    wire.send(2)
    wire.receive(3)
    wire.close(9)
    assert [(call.outcome, *ms(call.ended_ns)) for call in of(calls)] == [("answered", 3)]


def test_what_is_under_way_at_the_end_of_its_request_is_unanswered(calls, wire):
    wire.send(1)
    (call,) = of(calls, until=20)
    assert (call.outcome, call.answered_ns, *ms(call.ended_ns)) == ("unanswered", None, 20)
    assert of(calls, until=1) == ()


def test_a_publish_that_nobody_answers_is_one_call_each(calls):
    wire = Wire(calls, port=4222)
    for at in range(1, 6):
        wire.send(at, b"PUB orders.created 2\r\nok\r\n")
    found = of(calls)
    assert [(call.kind, call.operation) for call in found] == [("publish", "PUB orders.created")] * 5
    assert [ms(call.ended_ns)[0] for call in found[:4]] == [2, 3, 4, 5]


def test_so_many_calls_are_kept_and_the_others_counted(calls, wire):
    for number in range(MAX_CALLS + 10):
        wire.send(number)
        wire.receive(number + 0.5)
    assert (len(of(calls)), calls.lost(5)) == (MAX_CALLS, 10)
    calls.forget(5)
    assert (of(calls), calls.lost(5), calls.requests) == ((), 0, set())


def test_connections_are_forgotten_when_there_are_too_many(calls):
    for number in range(MAX_CONVERSATIONS + 50):
        Wire(calls, connection=number).send(number)
    assert len(calls._conversations) == MAX_CONVERSATIONS
    assert calls.owner_of(0) is None
    assert calls.owner_of(MAX_CONVERSATIONS) == 5


def test_a_call_is_given_to_whom_it_turns_out_to_belong(calls, wire):
    wire.owner = None
    ends = Ends(LOCAL, wire.peer, GET)
    begun = calls.take(StepEvent(MS, 3, 7, steps.SENT, 1, 0, 0, len(GET), 0, (0,) * 16, ends), None)
    wire.receive(3)
    calls.give(begun, 9)
    assert [call.operation for call in of(calls, 9)] == ["GET /items/{}"]


def test_what_the_kernel_only_added_up_is_looked_up(calls):
    data = CONVERSATION.pack(1, 5, 0, MS, 0, 3 * MS, 8 * MS, 4000, 0, 0, 3, 7, 2, 4)
    calls = Calls(lambda _: None, lambda connection: parse_rest(data) if connection == 1 else None)
    wire = Wire(calls)
    wire.send(1)
    wire.receive(3)
    assert parse_rest(data) == Rest(MS, True, 8 * MS, 4000)
    (call,) = of(calls)
    assert (call.received_bytes, *ms(call.ended_ns)) == (len(OK) + 4000, 8)
    wire.send(9)
    assert ms(of(calls)[0].ended_ns) == (3,)  # what is added up now is another turn's


def test_a_ticket_is_no_answer_but_what_comes_later_is(calls):
    wire = Wire(calls, port=443)
    hello, finished = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00E"
    wire.connect(1, 1.1)
    wire.send(1.2, hello, 517)
    wire.receive(3, b"\x16\x03\x03\x00z\x02", 1337, since=3)
    wire.send(3.5, finished, 80)
    wire.send(3.6, b"\x17\x03\x03\x00]", 98)
    wire.receive(4, b"\x17\x03\x03\x00\xfa", 510, since=3.9)
    wire.receive(54, b"\x17\x03\x03\x00=", 66, since=53.9)
    wire.receive(60, b"\x17\x03\x03\x40\x11", 90_000, since=59)
    (call,) = of(calls)
    assert ms(call.connected_ns, call.secured_ns, call.sent_ns) == (1.1, 3.5, 3.6)
    assert ms(call.answered_ns, call.read_ns, call.ended_ns) == (53.9, 54, 60)


SETS_UP = {
    "pymysql": "SET NAMES utf8mb4",
    "nats-py": "PUB orders.{}.created",
    "pika": "channel.open",
    "psycopg2": "BEGIN",
    "asyncpg": "SELECT relname FROM pg_class WHERE relname = ? AND reltuples > ?",
    "redis-py": "SET ?",
    "tls1.2": None,
    "tls1.3": None,
    "tls1.3-asyncio": None,
}


@pytest.mark.parametrize("name", SETS_UP)
def test_the_first_call_of_a_real_client_begins_with_all_of_its_setting_up(calls, name):
    connection = DUMPED[name]["connections"][0]
    wire = Wire(calls, DUMPED[name]["port"])
    wire.connect(0, 0.1)
    for place, (direction, size, head) in enumerate(connection, 1):
        (wire.send if direction == "out" else wire.receive)(place / 2, bytes.fromhex(head), size)
    first, *others = of(calls)
    assert first.operation == SETS_UP[name]
    stood = first.secured_ns if name.startswith("tls") else first.connected_ns
    assert stood < first.sent_ns <= stood + MS
    assert stood >= MS
    assert {call.connected_ns for call in others} <= {None}
    assert first.outcome == "answered"


def test_a_place_is_that_of_the_wait_for_it(calls, wire):
    wire.send(1)
    wire.receive(9)
    waits = [a_wait(at * MS, peer, stack) for at, peer, stack in [(0, "x", 1), (2, "127.0.0.1:80", 4), (3, "x", 2)]]
    (call,) = placed(of(calls), waits)
    assert call.stack == 4
    assert placed(of(calls), waits[::2])[0].stack is None


def a_wait(at_ns, peer, stack):
    return Wait(at_ns, MS, 0, "calls", "recvfrom", None, peer, None, stack=stack)


HEADS = st.sampled_from(
    [GET, OK, b"", b"\x16\x03\x01\x02\x00\x01", b"\x17\x03\x03\x00\xfa", b"*1\r\n$4\r\nPING\r\n", b"\0" * 9]
)


@settings(max_examples=1000)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([steps.CONNECTING, steps.CONNECTED, steps.SENT, steps.RECEIVED, steps.CLOSED]),
            HEADS,
            st.integers(1, 4),
            st.sampled_from([None, 5, 6]),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_any_order_of_steps_gives_calls_whose_moments_are_in_order(taken):
    calls = Calls(lambda _: None)
    wires = {number: Wire(calls, connection=number) for number in range(1, 5)}
    for place, (kind, head, number, owner, late) in enumerate(taken, 1):
        wires[number].owner = owner
        wires[number].step(place, kind, head, since=max(place - late, 0))
    for request in (5, 6):
        for call in of(calls, request):
            moments = [
                call.started_ns,
                call.connected_ns,
                call.secured_ns,
                call.sent_ns,
                call.answered_ns,
                call.read_ns,
            ]
            known = [each for each in [*moments, call.ended_ns] if each is not None]
            assert known == sorted(known)
