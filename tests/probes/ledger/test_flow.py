"""Whose a call is, by the order in which a loop does things: made-up steps, as real loops were seen to make them."""

from __future__ import annotations

import pytest

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.addresses import Address
from perfwatch.probes.ledger.following.flow import Flow
from perfwatch.probes.ledger.step_events import Ends, StepEvent

LOOP = 100
PEER, OWN = Address(2, 8001, bytes(16)), Address(2, 50_000, bytes(16))
RAN = (0, 9_000, *(0,) * 14)
BUY, QUOTE = 1, 2
"""Kinds of requests."""


class Loop:
    """One event loop: each step comes 10 us after the one before; `at` lets time pass."""

    def __init__(self):
        self.moved = []
        self.flow = Flow(lambda *_: None, lambda *where: self.moved.append(where))
        self.now_ns = 1_000_000

    def sees(self, request, connection, at_ns=None):
        """A task of a request is seen to wait on a connection, now or at an earlier moment."""
        self.now_ns += 10_000
        self.flow.witness([request], connection, at_ns or self.now_ns)

    def finds(self, request, *, is_asleep):
        """A task of a request is seen to wait for an answer, on whatever connection, or for a timer."""
        self.now_ns += 10_000
        self.flow.look([request], self.now_ns, is_asleep=is_asleep)

    def _step(self, step, connection, *, request=0, other=0, ends=None, size=40, asked=None):
        self.now_ns += 10_000
        event = StepEvent(self.now_ns, LOOP, LOOP, step, connection, request, 0, size, other, RAN, ends)
        return self.flow.take(event, asked)

    def reads(self, request, kind=BUY):
        self._step(steps.READ, 1000 + request, request=request, other=kind)

    def sends(self, connection, asked=None):
        """Return whose the call is taken for."""
        return self._step(steps.SENT, connection, ends=Ends(OWN, PEER, b"GET"), asked=asked)

    def receives(self, connection):
        return self._step(steps.RECEIVED, connection, ends=Ends(OWN, PEER, b"HTTP"))

    def answers(self, request):
        return self._step(steps.ANSWERED, 1000 + request, request=request)

    def idles(self):
        since_ns = self.now_ns + 10_000
        self.now_ns += 1_000_000
        self.flow.take(StepEvent(self.now_ns, LOOP, LOOP, steps.IDLED, 0, 0, since_ns, 0, self.now_ns, RAN, None))

    def serves(self, request, connection, kind=BUY):
        """One request by itself: read, one call, its answer, answered."""
        self.reads(request, kind)
        assert self.sends(connection) == request
        self.idles()
        self.receives(connection)
        self.answers(request)
        self.idles()


@pytest.fixture(name="loop")
def practised():
    """A loop that has served each kind often enough to know that both make one call."""
    loop = Loop()
    for number in range(12):
        loop.serves(500 + 2 * number, 7)
        loop.serves(501 + 2 * number, 7, QUOTE)
    return loop


def test_those_that_were_read_together_call_in_their_order(loop):
    for request, kind in ((1, BUY), (2, QUOTE), (3, BUY), (4, QUOTE)):
        loop.reads(request, kind)
    assert [loop.sends(connection) for connection in (11, 12, 13, 14)] == [1, 2, 3, 4]


def test_a_kind_that_makes_no_calls_is_passed_over(loop):
    for number in range(12):
        loop.reads(600 + number, kind=50)
        loop.answers(600 + number)
        loop.idles()
    loop.reads(1, kind=50)
    loop.reads(2)
    assert loop.sends(11) == 2


def test_a_connection_that_was_given_back_is_the_next_ones(loop):
    loop.reads(1)
    assert loop.sends(11) == 1
    loop.idles()
    loop.receives(11)
    loop.reads(2)
    loop.answers(1)
    assert loop.sends(11) == 2


def test_one_that_waits_for_the_rest_of_an_answer_does_not_call_again(loop):
    loop.reads(1)
    assert loop.sends(11) == 1
    loop.idles()
    loop.receives(11)  # the head; it runs, and waits for the body
    loop.reads(2)
    assert loop.sends(12) == 2
    loop.receives(11)
    assert loop.answers(1) == 1


def test_one_whose_kind_makes_many_calls_goes_on():
    loop = Loop()
    for number in range(12):
        request = 500 + number
        loop.reads(request)
        for _ in range(5):
            assert loop.sends(7) == request
            loop.idles()
            loop.receives(7)
        loop.answers(request)
        loop.idles()
    loop.reads(1)
    assert loop.sends(11) == 1
    loop.idles()
    loop.receives(11)
    loop.reads(2)
    assert [loop.sends(11), loop.sends(12)] == [1, 2]


@pytest.mark.parametrize("giver", ["alike", "unlike"])
def test_a_connection_that_is_handed_on_in_the_givers_turn_is_the_waiting_ones(giver):
    """As pools do: the one that gives it back has not answered yet. Each kind was seen alone to end with RESET."""
    loop, kinds = Loop(), (BUY, QUOTE if giver == "unlike" else BUY)
    for number, kind in enumerate((BUY, QUOTE) * 3):
        loop.reads(500 + number, kind)
        for asked in (f"SELECT {kind}", "RESET"):
            assert loop.sends(11, asked) == 500 + number
            loop.idles()
            loop.receives(11)
        loop.answers(500 + number)
        loop.idles()
    loop.reads(1, kinds[0])
    assert loop.sends(11, f"SELECT {kinds[0]}") == 1
    loop.idles()
    loop.reads(2, kinds[1])
    loop.idles()
    loop.receives(11)
    assert loop.sends(11, "RESET") == 1
    loop.idles()
    loop.receives(11)
    assert loop.sends(11, f"SELECT {kinds[1]}") == 2
    assert loop.answers(1) == 1


def test_a_call_is_whose_task_was_seen_to_wait_for_it(loop):
    loop.reads(1)
    loop.reads(2)
    assert [loop.sends(11), loop.sends(12)] == [1, 2]
    loop.sees(2, 11)
    loop.sees(1, 12)
    assert loop.moved == [(11, 2), (12, 1)]
    loop.idles()
    assert [loop.receives(11), loop.receives(12)] == [2, 1]


def test_who_was_seen_on_a_connection_before_it_was_used_anew_says_nothing_of_it(loop):
    loop.reads(1)
    assert loop.sends(11) == 1
    before_ns = loop.now_ns - 1000
    loop.reads(2)
    loop.sees(2, 11, before_ns)
    assert not loop.moved
    assert loop.receives(11) == 1


def test_a_kind_is_known_by_the_code_in_which_its_tasks_wait():
    """Where their connections cannot be read: both kinds always came together, and one waits for timers."""
    loop = Loop()
    for number in range(100, 112, 2):
        loop.reads(number, QUOTE)
        loop.reads(number + 1)
        loop.sends(11)
        loop.idles()
        loop.finds(number, is_asleep=True)
        loop.finds(number + 1, is_asleep=False)
        loop.receives(11)
        loop.answers(number + 1)
        loop.answers(number)
        loop.idles()
    loop.reads(1, QUOTE)
    loop.reads(2)
    assert loop.sends(11) == 2


def test_a_call_is_not_that_of_one_who_sleeps_but_of_whoever_answers_when_it_was_answered(loop):
    loop.reads(1)
    loop.reads(2)
    assert loop.sends(11) == 1
    loop.idles()
    loop.finds(1, is_asleep=True)
    assert loop.receives(11) is None
    loop.answers(2)
    assert loop.moved == [(11, 2)]


def test_a_request_that_began_later_or_has_answered_was_not_seen(loop):
    loop.serves(1, 7)
    loop.reads(2)
    assert loop.sends(11) == 2
    loop.sees(1, 11)
    at_ns = loop.now_ns
    loop.reads(3)
    loop.sees(3, 11, at_ns)
    assert not loop.moved
