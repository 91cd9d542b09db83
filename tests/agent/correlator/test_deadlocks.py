"""Who waits for whom in a ring: of threads and of tasks, by the newest readings of each process."""

import coding as c
import making as m
import msgspec
import pytest

from perfwatch.agent.correlator.deadlocks import rings
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.probes.frames import LockedThread, Task, TasksSample

TRANSFER = (c.own("transfer", "bank.py", 31), *c.SERVER)
REFUND = (c.own("refund", "bank.py", 52), *c.SERVER)


def thread(tid, waits_for, *holds, since_ms=0):
    return LockedThread(tid, c.at(since_ms), waits_for, holds)


def found(*records):
    correlator = Correlator(m.info())
    for one in records:
        correlator.feed(one)
    return correlator.view()


def test_two_threads_that_hold_what_the_other_waits_for_are_a_ring():
    locked = (thread(4313, 20, 10), thread(4321, 10, 20, since_ms=40))
    open_one = msgspec.structs.replace(m.opened(1, 2000, 2000, tid=4313), stack=TRANSFER)
    seen = c.sighted(1990, (1980, 4321, 0, False), stacks=m.stacks(REFUND))
    view = found(m.in_flight(2000, open_one), seen, c.python(2000, locked=locked))
    [deadlock] = view.deadlocks
    assert deadlock.since_ns == c.at(40)
    first, second = deadlock.members
    assert (first.kind, first.name, first.frame.function, first.request) == ("request", "GET /stuck", "transfer", 1)
    assert (second.kind, second.name, second.frame.function) == ("thread", "refresher (tid 4321)", "refund")
    ring = (
        "deadlock: GET /stuck in transfer() at bank.py:31 waits for refresher (tid 4321) in refund() at bank.py:52, "
        "which waits for GET /stuck"
    )
    assert view.verdict.summary.startswith(f"{ring}; 1 request in flight")
    assert view.verdict.evidence[0].name == "deadlock"
    assert view.verdict.advice[0] == "Take these locks in the same order everywhere, or make them one."


def test_a_ring_is_over_when_a_newer_reading_has_it_no_more():
    locked = (thread(1, 20, 10), thread(2, 10, 20))
    assert found(c.python(0, locked=locked)).deadlocks
    assert not found(c.python(0, locked=locked), c.python(1000)).deadlocks
    assert not found(c.python(0, locked=locked), m.host(2600, 0, 0)).deadlocks


def test_locks_of_two_processes_are_not_confused():
    one, other = c.python(0, locked=(thread(1, 20, 10),)), c.python(0, locked=(thread(2, 10, 20),), pid=99)
    assert not found(one, other).deadlocks


def test_two_tasks_are_a_ring_and_their_requests_are_named():
    table = m.stacks(TRANSFER, REFUND)
    tasks = (
        Task(7, "10.0.0.9:1", 0, "_asyncio.Future", 20, (10,), c.at(5)),
        Task(8, None, 1, "_asyncio.Future", 10, (20,), c.at(3)),
        Task(9, None, 1, "_asyncio.Future", 10, (), c.at(3)),
    )
    open_one = msgspec.structs.replace(m.opened(1, 2000, 2000), remote="10.0.0.9:1")
    [deadlock] = found(m.in_flight(2000, open_one), TasksSample(c.at(2000), 4313, 3, table, tasks)).deadlocks
    assert [(one.kind, one.name, one.frame.line) for one in deadlock.members] == [
        ("request", "GET /stuck", 31),
        ("task", "task 8", 52),
    ]
    assert deadlock.since_ns == c.at(5)


RINGS = {
    "nobody": ((), []),
    "who waits for one in a ring": ((thread(1, 20, 10), thread(2, 10, 20), thread(3, 10, 30)), [[1, 2]]),
    "three": ((thread(1, 20, 10), thread(2, 30, 20), thread(3, 10, 30)), [[1, 2, 3]]),
    "two rings": ((thread(1, 20, 10), thread(2, 10, 20), thread(3, 40, 30), thread(4, 30, 40)), [[1, 2], [3, 4]]),
    "itself": ((thread(1, 10, 10, 11),), [[1]]),
    "told twice of one": ((thread(1, 20, 10, 10), thread(2, 10, 20)), [[1, 2]]),
    "a lock that two would hold": ((thread(1, 20, 10), thread(2, 10, 20), thread(3, 30, 10)), []),
    "a line": ((thread(1, 20, 10), thread(2, 30, 20)), []),
    "a second one behind": ((thread(3, 10, 30), thread(1, 20, 10), thread(2, 10, 20)), [[1, 2]]),
}


@pytest.mark.parametrize("name", RINGS)
def test_rings(name):
    members, expected = RINGS[name]
    assert [sorted(one.tid for one in ring) for ring in rings(members)] == expected
