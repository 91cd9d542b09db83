"""Whose a call is: the steps of real servers under load, in which each call says in its own bytes for whom it was.

FastAPI: eleven clients at once on five endpoints: nothing, four commands to Redis in turn, three queries to PostgreSQL,
three HTTP requests side by side, and two queries from a worker thread. Each endpoint was asked thrice alone before.
The storefront of the examples: twelve clients on three endpoints, each with one call that takes its own time.
"""

import json
import lzma
import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.addresses import Address
from perfwatch.probes.ledger.assemble import Assembler
from perfwatch.probes.ledger.following.habits import MAX_ACTS, MAX_FOLLOWED, MAX_KINDS, Habits
from perfwatch.probes.ledger.step_events import Ends, StepEvent

DUMPED = Path(__file__).parents[2] / "fixtures" / "steps"
LOOPBACK = socket.inet_aton("127.0.0.1") + bytes(12)
ASKS = (steps.SENT, None, "GET ?")


def dumped(name):
    """Yield a step, or of a request its id, whether it is told for good, and its first line."""
    for line in lzma.decompress((DUMPED / f"{name}.jsonl.xz").read_bytes()).decode().splitlines():
        kind, at_ns, *rest = json.loads(line)
        if kind == "REQUEST":
            yield tuple(rest)
            continue
        pid, tid, connection, request, since_ns, count, other, booked, ends = rest
        if ends:
            local, peer, head = ends
            ends = Ends(
                Address(socket.AF_INET, local, LOOPBACK), Address(socket.AF_INET, peer, LOOPBACK), fromhex(head)
            )
        kind = getattr(steps, kind)
        yield StepEvent(at_ns, pid, tid, kind, connection, request, since_ns, count, other, tuple(booked), ends)


fromhex = bytes.fromhex


def followed(name, request_mark, call_mark):
    """Return of each call the route of the request that made it, and that request and the one that was told for it."""
    made_by, routes, calls = {}, {}, {}
    assembler = Assembler("x86_64", None, lambda _: None, lambda *_: b"")
    for entry in dumped(name):
        if isinstance(entry, StepEvent):
            assembler.add_step(entry)
            if entry.step == steps.SENT and (marked := re.search(call_mark, entry.ends.head)):
                exchange = assembler._calls._conversations[entry.connection].current
                calls[id(exchange)] = (exchange, marked[1].decode())
            continue
        id_, is_final, line = entry
        path, mark = re.match(request_mark, line).groups()
        made_by[mark], routes[id_] = id_, path
        if is_final:
            assembler._flow.forget(id_)
    return [(routes[made_by[mark]], made_by[mark], exchange.owner, routes) for exchange, mark in calls.values()]


def tallied(calls):
    """Count those that were told for their own request, for another of its route, for one of another, and for none."""
    return Counter(
        "right" if owner == made_by else "unknown" if owner is None else "alike" if routes[owner] == route else "wrong"
        for route, made_by, owner, routes in calls
    )


@pytest.mark.parametrize("name", ["fastapi-asyncio", "fastapi-uvloop"])
def test_most_calls_are_told_for_whom_they_were_made_and_few_for_another(name):
    calls = followed(name, r"GET (\S+)\?rid=(\d+)", rb"rid(\d+)\.")
    told = tallied(calls)
    assert len(calls) > 700
    assert told["right"] >= 0.75 * len(calls), told
    assert told["right"] + told["alike"] >= 0.82 * len(calls), told
    assert told["wrong"] <= 0.06 * len(calls), told


def test_where_each_request_waits_for_one_call_hardly_one_is_told_for_another():
    calls = followed("streams-asyncio", r"GET (/\w+)/(\d+) ", rb"GET /(?:price|discount|tax)/(\d+) ")
    assert len(calls) > 700
    assert tallied(calls)["right"] >= 0.99 * len(calls), tallied(calls)


def test_a_kind_is_known_by_what_it_was_seen_to_do():
    habits = Habits()
    for _ in range(4):
        habits.lives(1)
        habits.lives(2)
    assert habits.is_likely(2, ASKS)  # nobody was seen to do so
    habits.did(1, ASKS)
    habits.did(1, ASKS)
    assert (habits.often(1, ASKS), habits.often(2, ASKS)) == (0.5, 0)
    assert (habits.may(1, ASKS), habits.may(2, ASKS)) == (True, False)
    assert (habits.is_likely(1, ASKS), habits.is_likely(2, ASKS)) == (True, False)


def test_what_may_have_been_one_of_several_counts_little_and_most_for_whom_does_so():
    habits = Habits()
    for _ in range(100):
        habits.lives(1)
        habits.lives(2)
        habits.did(1, ASKS)
        habits.share({1, 2}, ASKS)
    assert 1 < habits.often(1, ASKS) < 1.11
    assert 0 < habits.often(2, ASKS) < 0.05


def test_what_was_seen_with_certainty_counts_for_all_that_was_done_alike():
    """Of 400 acts every tenth was seen; those of the first kind are three times as many."""
    habits = Habits()
    for number in range(100):
        habits.lives(1)
        habits.lives(2)
        for place in range(4):
            habits.taken(ASKS)
            habits.share({1, 2}, ASKS)
            if not number % 10:
                habits.saw(2 if place == 0 else 1, ASKS)
    assert habits.often(1, ASKS) == pytest.approx(3)
    assert habits.often(2, ASKS) == pytest.approx(1)
    assert (habits.may(1, ASKS), habits.may(2, ASKS)) == (True, False)


def test_habits_are_bounded():
    habits = Habits()
    for kind in range(MAX_KINDS + 5):
        habits.lives(kind)
    assert len(habits._lives) <= MAX_KINDS
    for number in range(MAX_ACTS + 5):
        habits.did(1, (steps.SENT, None, str(number)))
        habits.taken((steps.SENT, None, str(number)))
        habits.alone(1, (steps.SENT, None, str(number)), (steps.SENT, None, "0"))
    assert len(habits._acts) <= MAX_ACTS
    assert len(habits._seen) <= MAX_ACTS
    assert sum(map(len, habits._follows[1].values())) <= MAX_FOLLOWED
    assert len(habits._follows[1]) <= MAX_FOLLOWED
