"""The course of a request: its steps add up to its ledger, and say what, where and on whom."""

import asking
import making as m
import msgspec
import pytest
from fake_records import booked
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.course import course_of, course_of_open
from perfwatch.agent.course_step import fitted, without
from perfwatch.agent.model import BUCKETS, Callee, Ledger, OpenRequest, PeerProcess, Request
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import Waker

MS = m.MS
POOL = (Frame("getconn", "/srv/lib/python3.12/site-packages/psycopg_pool/pool.py", 9), Frame("fetch", "/srv/db.py", 12))
GET = (Frame("Cache.get", "/srv/shop/cache.py", 61), Frame("place_order", "/srv/shop/orders.py", 41))
REFRESH = (Frame("Cache.refresh", "/srv/shop/cache.py", 88),)


def request(record, **fields):
    total_ns = record.ended_ns - (record.started_ns if record.arrived_ns is None else record.arrived_ns)
    return Request(record, record.target or "/", Ledger(total_ns, record.booked_ns), slow=True, verdict=None, **fields)


def at(record, wait, ms):
    """The same wait, so long after the request came."""
    begin = record.started_ns if record.arrived_ns is None else record.arrived_ns
    return msgspec.structs.replace(wait, started_ns=begin + round(ms * MS))


def course(waits=(), moments=(), *, fields=None, parts=None, **spent):
    """The steps of a request with these waits, each so long after it came."""
    record = m.served(1, 1000, **spent, **(fields or {}))
    waits = tuple(at(record, wait, ms) for wait, ms in zip(waits, moments, strict=True))
    return course_of(request(msgspec.structs.replace(record, waits=waits), **(parts or {})))


def told(steps):
    return [(step.bucket, round(step.spent_ns / MS, 3)) for step in steps]


def test_an_order_queues_runs_waits_for_a_lock_and_for_postgres_in_this_order():
    lock = m.wait("lock", 391, runnable_ns=2 * MS, stack=0, waker=Waker(4312, 4321, "refresh", None), waker_stack=1)
    steps = course(
        (lock, m.wait("calls", 71, peer="10.0.0.5:5432")),
        (20, 430),
        queue=9, on_cpu=28, lock=391, run_queue=2, calls=71,
        fields={"code": m.stacks(GET, REFRESH)},
    )  # fmt: skip
    assert told(steps)[:3] == [("queue", 9), ("on_cpu", 11), ("lock", 391)]
    assert [step.bucket for step in steps] == ["queue", "on_cpu", "lock", "run_queue", "on_cpu", "calls"]
    lock = steps[2]
    assert lock.whom == "released by refresh 4321 in Cache.refresh() at cache.py:88"
    assert lock.place == "Cache.get() at cache.py:61"
    assert lock.stretches == ((20 * MS, 411 * MS),)
    assert steps[-1].whom == "of 10.0.0.5:5432"


@given(
    st.lists(st.tuples(st.sampled_from(BUCKETS), st.integers(0, 80), st.integers(0, 9)), max_size=8),
    st.lists(st.integers(0, 40), min_size=len(BUCKETS), max_size=len(BUCKETS)),
    st.integers(0, 60),
    st.integers(1, 9),
)
def test_whatever_was_recorded_the_steps_add_up_to_the_ledger_and_none_is_lost_where_there_is_no_room(
    waits, spent, unaccounted, room
):
    record = m.served(1, 1000, ms=sum(spent) + unaccounted, **dict(zip(BUCKETS, spent, strict=True)))
    begin = record.ended_ns - (sum(spent) + unaccounted) * MS
    kept, moment = [], begin
    for bucket, blocked, gap in waits:
        moment += gap * MS
        kept.append(msgspec.structs.replace(m.wait(bucket, blocked, runnable_ns=gap * MS), started_ns=moment))
        moment += (blocked + gap) * MS
    one = request(msgspec.structs.replace(record, waits=tuple(kept)))
    steps = course_of(one)
    by_bucket = {bucket: sum(step.spent_ns for step in steps if step.bucket == bucket) for bucket in BUCKETS}
    assert by_bucket == dict(zip(BUCKETS, record.booked_ns, strict=True))
    assert sum(step.spent_ns for step in steps) == one.ledger.total_ns
    shown = fitted(steps, room)
    assert len(shown) <= max(room, 1)
    assert sum(step.spent_ns for step in shown) == one.ledger.total_ns
    assert sum(step.count for step in shown) == sum(step.count for step in steps)


def test_a_ledger_that_claims_too_much_is_scaled_to_the_latency():
    record = m.served(1, 1000, ms=10, on_cpu=8, lock=8)
    assert told(course_of(request(record))) == [("on_cpu", 5), ("lock", 5)]


def test_short_calls_are_one_step_where_they_asked_the_same_and_lie_where_they_were():
    record = m.served(1, 100, ms=40, on_cpu=32, calls=8)
    begin = record.ended_ns - 40 * MS
    calls = [
        asking.call(0, 0.8, started_ns=begin + n * 4 * MS, sent_ns=begin + n * 4 * MS,
                    answered_ns=begin + n * 4 * MS + 800_000, ended_ns=begin + n * 4 * MS + 800_000)
        for n in range(10)
    ]  # fmt: skip
    steps = course_of(request(asking.asks(record, *calls)))
    assert told(steps) == [("calls", 8), ("on_cpu", 32)]
    assert (steps[0].count, steps[0].what, steps[0].whom) == (10, asking.SELECT, f"of postgresql {asking.POSTGRES}")
    assert [end - start for start, end in steps[0].stretches] == [800_000] * 10
    assert steps[1].stretches == tuple((n * 4 * MS + 800_000, (n + 1) * 4 * MS) for n in range(10))


def test_a_call_is_told_with_what_was_asked_and_which_request_it_was_in_another_service():
    record = m.served(1, 100, ms=40, on_cpu=10, calls=30)
    begin = record.ended_ns - 40 * MS
    wait = msgspec.structs.replace(m.wait("calls", 30, peer=asking.POSTGRES), started_ns=begin + 5 * MS)
    call = asking.call(
        0, 30, started_ns=begin + 5 * MS, sent_ns=begin + 5 * MS, answered_ns=begin + 35 * MS, ended_ns=begin + 35 * MS
    )
    served = asking.asks(record, call, waits=(wait,))
    callee = Callee(0, 77, 9, "shop (pid 9)", "GET", "/price", Ledger(1, (0,) * len(BUCKETS)), None)
    step = course_of(request(served, callees=(callee,)))[1]
    assert (step.what, step.whom, step.request) == (asking.SELECT, "of shop (pid 9)", 77)
    peer = PeerProcess(0, record.pid, asking.POSTGRES, 812, "postgres", is_target=False)
    step = course_of(request(served), (peer,))[1]
    assert step.whom == f"of postgresql {asking.POSTGRES} (postgres, pid 812)"


@pytest.mark.parametrize(
    ("wait", "what", "whom"),
    [
        (m.wait("gil", 9, waker=m.waker(77)), "", "given up by worker-3 4321"),
        (m.wait("lock", 9, detail="pool: a permit", waker=m.waker(77)), "a permit", "given back by worker-3 4321"),
        (m.wait("other", 9, call="futex", detail="do_thing"), "futex do_thing", ""),
        (m.wait("loop", 9, waker=m.waker(77)), "", "kept by GET /block"),
        (m.wait("loop", 9, waker=m.waker(78)), "", "kept by worker-3 4321"),
        (m.wait("run_queue", 0, runnable_ns=9 * MS), "preempted, no CPU free", ""),
        (m.wait("run_queue", 0, runnable_ns=9 * MS, ahead=m.waker(77)), "preempted", "behind worker-3 4321"),
        (
            m.wait("run_queue", 0, runnable_ns=9 * MS, throttled_ns=4 * MS),
            "preempted, its quota used up for 4.0 ms",
            "",
        ),
    ],
)
def test_each_wait_says_what_it_was_for_and_who_ended_it(wait, what, whom):
    steps = course((wait,), (1,), on_cpu=2, **{wait.bucket: 9}, fields={"culprits": (asking.culprit(77, 9),)})
    step = steps[1]
    assert (step.bucket, step.what, step.whom) == (wait.bucket, what, whom)
    assert step.request == (None if wait.waker is None and wait.ahead is None else (wait.waker or wait.ahead).request)


def test_time_that_no_wait_tells_is_a_sum_and_says_so():
    steps = course((), (), on_cpu=3, gil=2, fields={"waits_lost": 4})
    assert told(steps) == [("on_cpu", 3), ("gil", 2)]
    assert steps[1].what == "in waits below 1 ms, and 4 that were not delivered"
    assert (steps[0].is_sum, steps[1].is_sum) == (False, True)


def test_a_wait_that_was_not_all_of_its_kind_is_told_as_far_as_it_was():
    record = msgspec.structs.replace(m.served(1, 100, ms=20, run_queue=19, on_cpu=1))
    record = msgspec.structs.replace(record, arrived_ns=record.ended_ns - 20 * MS, started_ns=record.ended_ns - MS)
    assert [(step.bucket, step.what) for step in course_of(request(record))] == [
        ("on_cpu", ""),
        ("run_queue", "not told one by one"),
    ]


def test_a_request_that_came_while_its_loop_was_busy_did_not_queue_then():
    record = m.served(1, 100, ms=70, queue=2, loop=58, on_cpu=10)
    begin = record.ended_ns - 70 * MS
    wait = msgspec.structs.replace(m.wait("loop", 58), started_ns=begin + 2 * MS)
    record = msgspec.structs.replace(record, arrived_ns=begin, started_ns=begin + 60 * MS, waits=(wait,))
    assert told(course_of(request(record))) == [("queue", 2), ("loop", 58), ("on_cpu", 10)]


def test_a_million_waits_are_told_as_far_as_a_thousand_go_and_still_add_up():
    record = m.served(1, 1000, ms=100, lock=100)
    begin = record.ended_ns - 100 * MS
    waits = tuple(msgspec.structs.replace(m.wait("lock", 0.01), started_ns=begin + n * 10_000) for n in range(10_000))
    steps = course_of(request(msgspec.structs.replace(record, waits=waits)))
    assert len(steps) < 2_100
    assert sum(step.spent_ns for step in steps) == 100 * MS


def test_steps_that_are_alike_are_one_where_there_is_no_room_and_the_shortest_are_the_rest():
    waits = [m.wait("lock", 5, waker=m.waker(tid=4321 + n % 2)) for n in range(6)]
    steps = course(waits, range(0, 60, 10), on_cpu=30, lock=30)
    shown = fitted(steps, 3)
    assert [(step.bucket, step.count) for step in shown] == [("lock", 3), ("on_cpu", 6), ("lock", 3)]
    kept, rest = fitted(steps, 2)
    assert (kept.bucket, kept.count, len(kept.stretches)) == ("on_cpu", 6, 6)
    assert (rest.bucket, rest.count, rest.spent_ns, [part.count for part in rest.parts]) == (None, 6, 30 * MS, [3, 3])


def test_what_is_left_of_a_stretch():
    assert without((0, 10), [(2, 3), (2, 5), (9, 20), (-4, 0)]) == ((0, 2), (5, 9))
    assert without((0, 10), [(0, 10)]) == ()


def test_an_open_request_shows_its_queue_what_came_then_and_its_state():
    start = m.START
    one = OpenRequest(
        1, 2, 3, start, start + MS, "GET", "/", booked(queue=MS), "calls", start + 3 * MS, "recvfrom", None,
        "10.0.0.5:5432", "0.0.0.0:8000",
    )  # fmt: skip
    steps = course_of_open(one, 5 * MS)
    assert told(steps) == [("queue", 1), ("on_cpu", 2), ("calls", 5)]
    assert (steps[-1].what, steps[-1].whom) == ("recvfrom still", "of 10.0.0.5:5432")
    assert steps[-1].stretches == ((3 * MS, 8 * MS),)
