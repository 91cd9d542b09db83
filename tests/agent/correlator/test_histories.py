"""What each thread does and did: a cell for each reading, divided by what the scheduler and the ledger counted."""

import around as a
import coding as c
import making as m
import msgspec
import pytest
from judging import view_in_order as view

from perfwatch.agent.correlator.histories import KEPT, MAX_THREADS
from perfwatch.probes.frames import LockedThread, StackTable

TID = 4313
WORKER = (c.native("work_queue.get"), c.Frame("_worker", f"{c.STDLIB}/concurrent/futures/thread.py", 81))
SEMAPHORE = (
    c.Frame("Condition.wait", f"{c.STDLIB}/threading.py", 355),
    c.Frame("Semaphore.acquire", f"{c.STDLIB}/threading.py", 507),
    c.own("charge"),
)
EVENT = (
    c.Frame("Condition.wait", f"{c.STDLIB}/threading.py", 355),
    c.Frame("Event.wait", f"{c.STDLIB}/threading.py", 655),
)


def thread(tid=TID, state="S", run_ms=0.0, wait_ms=0.0, **fields):
    made = msgspec.structs.replace(a.thread(tid, state, run_ms, wait_ms), call="futex", wait_channel="futex_do_wait")
    return msgspec.structs.replace(made, **fields)


def stack(at_ms, frames, *, tid=TID, holds_gil=False):
    table = StackTable(frames, (tuple(range(len(frames))),))
    return c.sighted(at_ms, (at_ms, tid, 0, holds_gil), stacks=table)


def only(*records):
    [found] = view(*records).threads
    return found


def share(stretch):
    """How much of a stretch is what most of it is."""
    return stretch.spent[0][1] / (stretch.until_ns - stretch.from_ns)


def past(found):
    return [one.doing for one in found.past]


@pytest.mark.parametrize(
    ("fields", "doing"),
    [
        ({}, "lock"),
        ({"wants_gil": True}, "gil"),
        ({"wants_gil": False}, "lock"),
        ({"call": "clock_nanosleep"}, "sleep"),
        ({"call": "recvfrom", "fd": 5}, "calls"),
        ({"call": "epoll_wait"}, "idle"),
        ({"call": "wait4"}, "child"),
        ({"call": "fsync", "state": "D"}, "disk"),
        ({"call": None, "state": "D"}, "fault"),
        ({"call": None, "wait_channel": None}, None),
        ({"state": "R"}, "on_cpu"),
        ({"state": "T"}, "other"),
    ],
    ids=str,
)
def test_what_a_thread_does_is_told_by_state_and_system_call(fields, doing):
    found = only(a.threads(0, thread(**fields)), a.threads(1000, thread(**fields)))
    assert found.doing == doing
    assert past(found) == [doing]


@pytest.mark.parametrize(
    ("frames", "doing"),
    [(WORKER, "idle"), (EVENT, "idle"), (SEMAPHORE, "lock"), (c.GET, "lock")],
    ids=["pool", "event", "semaphore", "lock"],
)
def test_a_stack_tells_who_waits_for_work_from_who_waits_for_a_lock(frames, doing):
    found = only(stack(990, frames), a.threads(0, thread()), a.threads(1000, thread()))
    assert found.doing == doing
    assert found.stack == frames


def test_what_it_ran_and_what_it_could_have_run_is_as_the_scheduler_counts_it():
    found = only(*(a.threads(n * 1000, thread(run_ms=n * 600, wait_ms=n * 300)) for n in range(3)))
    assert past(found) == ["on_cpu"] * 2
    assert [one.spent for one in found.past] == [
        (("on_cpu", 600 * m.MS), ("run_queue", 300 * m.MS), ("lock", 100 * m.MS))
    ] * 2
    assert (found.cpu, found.wanted_cpu) == (pytest.approx(0.6), pytest.approx(0.3))
    starved = only(*(a.threads(n * 1000, thread(run_ms=n * 300, wait_ms=n * 600)) for n in range(3)))
    assert past(starved) == ["run_queue"] * 2


def test_what_it_waited_for_in_requests_is_as_the_ledger_booked_it():
    """The reading at 1 s fell into a wait for a lock of 100 ms: for most of that second it waited for work."""
    waits = [m.wait("lock", 100, started_ns=a.at(950))]
    request = m.served(1, 1100, lock=100, on_cpu=50, waits=tuple(waits))
    readings = [a.threads(n * 1000, thread(run_ms=n)) for n in range(3)]
    found = only(*readings, request)
    assert past(found) == ["idle", "idle"]
    assert share(found.past[0]) == pytest.approx(0.949, abs=0.002)


def test_a_request_that_lies_between_readings_is_in_the_cell_although_no_reading_met_it():
    request = m.served(1, 900, lock=800, waits=(m.wait("lock", 800, started_ns=a.at(100)),))
    found = only(stack(990, WORKER), *(a.threads(n * 1000, thread(run_ms=n)) for n in range(2)), request)
    assert past(found) == ["lock"]
    assert share(found.past[0]) == pytest.approx(0.8, abs=0.002)


def test_a_wait_that_spans_readings_is_cut_to_each_cell_when_it_is_told_at_last():
    request = m.served(1, 3900, calls=3300, waits=(m.wait("calls", 3300, started_ns=a.at(600)),))
    found = only(*(a.threads(n * 1000, thread(run_ms=n)) for n in range(6)), request)
    assert past(found) == ["idle", "calls", "calls", "calls", "idle"]


def test_a_corrected_request_is_booked_once():
    first = m.served(1, 400, lock=300, waits=(m.wait("lock", 300, started_ns=a.at(100)),))
    more = m.wait("send", 200, started_ns=a.at(500))
    again = m.served(1, 700, lock=300, send=200, waits=(*first.waits, more))
    found = only(a.threads(0, thread()), first, again, a.threads(1000, thread(run_ms=1)))
    assert found.past[0].doing == "idle"
    assert share(found.past[0]) == pytest.approx(0.5, abs=0.002)


def test_an_open_request_says_what_its_thread_does_now_and_since_when():
    opened = m.opened(1, 700, 1200, "lock", tid=TID, method="POST", target="/order")
    found = only(*(a.threads(n * 1000, thread(call="recvfrom")) for n in range(2)), m.in_flight(1200, opened))
    assert (found.doing, found.since_ns, found.serves, found.request) == ("lock", a.at(500), "POST /order", 1)


def test_a_stack_that_is_newer_than_the_reading_says_what_it_does():
    readings = [a.threads(n * 1000, thread(call="recvfrom")) for n in range(2)]
    assert only(*readings, stack(1100, WORKER)).doing == "idle"
    assert only(*readings, stack(1100, (c.native("self._lock.__enter__"), *c.GET))).doing == "lock"
    assert only(*readings, stack(1100, c.RENDER, holds_gil=True)).doing == "on_cpu"
    assert only(*readings, stack(1100, c.RENDER)).doing == "calls"


def test_what_a_thread_was_blocked_on_that_ran_meanwhile_is_what_most_of_its_stacks_say():
    """The reading found it wanting the interpreter lock, as it does for a moment each time that it wakes."""
    wants = [a.threads(n * 1000, thread(run_ms=n * 10, wants_gil=True)) for n in range(2)]
    resting, computing = [stack(n * 100, WORKER) for n in range(1, 9)], [stack(850, c.RENDER), stack(900, c.RENDER)]
    assert past(only(*wants, *resting, *computing)) == ["idle"]
    assert past(only(*wants, *resting[:1], *computing)) == ["gil"]
    assert past(only(*wants)) == ["gil"]


def test_what_holds_the_interpreter_lock_is_not_blocked():
    readings = [a.threads(n * 1000, thread(state="R", run_ms=n * 300)) for n in range(2)]
    holding = [stack(n * 100, c.RENDER, holds_gil=True) for n in range(1, 8)]
    assert past(only(*readings, *holding, stack(850, c.RENDER))) == ["gil"]
    assert past(only(*readings, *holding)) == ["on_cpu"]


def test_since_when_it_does_so_is_known_of_one_that_did_not_run():
    resting = [a.threads(n * 1000, thread(run_ms=5)) for n in range(6)]
    assert only(*resting).since_ns == a.at(0)
    running = [a.threads(n * 1000, thread(run_ms=5 + n)) for n in range(6)]
    assert only(*running).since_ns is None


def test_who_holds_the_interpreter_lock_and_how_often_it_was_found_to():
    held = [c.python(n * 1000, readings=n * 100, free=0, held=((TID, n * 40), (99, n * 60))) for n in range(3)]
    readings = [a.threads(n * 1000, thread(), thread(4321, wants_gil=True, call="futex")) for n in range(3)]
    mine, other = view(*held, *readings, stack(1990, c.RENDER, holds_gil=True)).threads
    assert (mine.holds_gil, mine.gil) == (True, pytest.approx(0.4))
    assert (other.holds_gil, other.gil, other.doing, other.name) == (False, 0.0, "gil", "refresher")
    long_ago = view(*held, *readings, stack(100, c.RENDER, holds_gil=True)).threads[0]
    assert not long_ago.holds_gil


def test_a_reading_that_came_late_is_one_long_cell():
    found = only(a.threads(0, thread()), a.threads(30_000, thread(run_ms=20_000)))
    [one] = found.past
    assert (one.from_ns, one.until_ns, one.doing) == (a.at(0), a.at(30_000), "on_cpu")


def test_a_thread_that_ended_is_forgotten_and_a_number_that_is_used_again_starts_anew():
    gone = view(a.threads(0, thread(), thread(99)), a.threads(1000, thread()))
    assert [one.tid for one in gone.threads] == [TID]
    anew = only(a.threads(0, thread(run_ms=900)), a.threads(1000, thread(run_ms=10)))
    assert anew.past == ()


def test_a_process_that_is_not_read_any_more_is_forgotten_when_others_are():
    records = [a.threads(0, thread(), pid=7), *(a.threads(n * 1000, thread(8), pid=8) for n in range(1, 13))]
    assert [one.pid for one in view(*records).threads] == [8]


def test_it_is_bounded():
    states = [tuple(thread(pid * 1000 + n, run_ms=1) for n in range(300)) for pid in range(8)]
    records = [a.threads(n * 1000, *each, pid=pid) for n in range(KEPT + 5) for pid, each in enumerate(states)]
    found = view(*records).threads
    assert len(found) == MAX_THREADS
    assert {len(one.past) for one in found} == {KEPT}


def test_rings_are_told_with_their_threads():
    locked = (LockedThread(1, a.at(0), 0xA, (0xB,)), LockedThread(2, a.at(500), 0xB, (0xA,)))
    seen = view(a.threads(0, thread(1), thread(2)), c.python(1000, locked=locked))
    assert {link.tid for link in seen.deadlocks[0].members} == {one.tid for one in seen.threads}
