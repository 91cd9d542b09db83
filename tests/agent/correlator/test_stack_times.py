"""The latency by code and reason: what each stack gets, and that it always adds up."""

import coding as c
import making as m
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent.correlator.code import Code
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.stack_sums import MAX_STACKS, StackSums
from perfwatch.agent.correlator.stack_times import stack_times
from perfwatch.agent.model import BUCKETS, Ledger, Request, StackTime
from perfwatch.probes.frames import Frame, GcPause, Span, StackTable
from perfwatch.probes.records import Ran, Wait


def spent(record, *before):
    """Milliseconds by (function of the innermost frame, bucket), or by (function, bucket, "gc")."""
    correlator = Correlator(m.info(slow_ms=0))
    for one in before:
        correlator.feed(one)
    [request] = correlator.feed(record)
    assert sum(one.spent_ns for one in request.stacks) == request.ledger.total_ns
    return {
        (one.frames[0].function if one.frames else None, one.bucket, *(["gc"] if one.is_gc else [])): one.spent_ns
        / m.MS
        for one in request.stacks
    }


def test_a_wait_is_its_stacks_and_its_run_queue_too():
    waits = (m.wait("lock", 80, runnable_ns=5 * m.MS, stack=0), m.wait("run_queue", 0, runnable_ns=7 * m.MS, stack=1))
    record = m.served(1, lock=81, run_queue=13, queue=4, waits=waits, code=m.stacks(c.GET, c.RENDER))
    assert spent(record) == {
        ("Cache.get", "lock"): 80,
        ("Cache.get", "run_queue"): 5,
        ("render", "run_queue"): 7,
        (None, "lock"): 1,
        (None, "run_queue"): 1,
        (None, "queue"): 4,
    }


def test_the_cpu_time_is_shared_by_its_readings():
    ran = m.ran((-50, 0), (-40, 1), (-30, 0), (-20, 0))
    record = m.served(1, on_cpu=60, ran=ran, code=m.stacks(c.RENDER, c.HASH))
    assert spent(record) == {("render", "on_cpu"): 45, ("hashlib.pbkdf2_hmac", "on_cpu"): 15}


def test_no_nanosecond_is_lost_in_sharing():
    record = m.served(1, on_cpu=100, ran=m.ran((-3, 0), (-2, 1), (-1, 2)), code=m.stacks(c.RENDER, c.HASH, c.GET))
    found = spent(record)
    assert sum(found.values()) == pytest.approx(100)
    assert max(found.values()) - min(found.values()) < 2e-6


def test_readings_within_a_pause_share_the_collectors_part():
    ran = m.ran((-50, 0), (-40, 1), (-30, 1), (-20, 1))
    record = m.served(1, on_cpu=60, gc_ns=20 * m.MS, ran=ran, code=m.stacks(c.RENDER, c.GET))
    pauses = (c.pause(-45, 10), c.pause(-25, 10, tid=99))
    assert spent(record, *pauses) == {
        ("Cache.get", "on_cpu", "gc"): 20,
        ("Cache.get", "on_cpu"): pytest.approx(40 * 2 / 3, abs=1e-5),
        ("render", "on_cpu"): pytest.approx(40 / 3, abs=1e-5),
    }


def test_a_collection_that_no_reading_met_has_no_frames():
    record = m.served(1, on_cpu=60, gc_ns=20 * m.MS, ran=m.ran((-50, 0)), code=m.stacks(c.RENDER))
    assert spent(record) == {("render", "on_cpu"): 40, (None, "on_cpu", "gc"): 20}


def test_without_stacks_all_is_told_by_its_reason():
    record = m.served(1, ms=100, on_cpu=30, calls=50, waits=(m.wait("calls", 50),))
    assert spent(record) == {(None, "calls"): 50, (None, "on_cpu"): 30, (None, "other"): 20}


def sampled(**fields):
    return m.served(1, 0, fidelity="sampled", **fields)


def test_sampled_stacks_are_joined_by_time():
    waits = (m.wait("lock", 40, started_ns=c.at(-60)), m.wait("calls", 10, started_ns=c.at(-12)))
    seen = [(-101, 3), (-90, 0), (-70, 0), (-50, 1), (-30, 1), (-15, 2), (-5, 3), (3, 3)]
    table = m.stacks(c.RENDER, c.GET, c.HASH, c.RESULT)
    others = [(-40, 99, 0, False)]
    stacks = c.sighted(5, *((ms, 4313, stack, False) for ms, stack in seen), *others, stacks=table)
    record = sampled(on_cpu=50, lock=40, calls=10, waits=waits)
    assert spent(record, stacks) == {
        ("render", "on_cpu"): pytest.approx(100 / 3, abs=1e-5),
        ("hashlib.pbkdf2_hmac", "on_cpu"): pytest.approx(50 / 3, abs=1e-5),
        ("Cache.get", "lock"): 40,
        ("Condition.wait", "calls"): 10,
    }


def test_what_the_kernel_walked_stands_before_what_was_read_from_outside():
    table = m.stacks(c.HASH)
    stacks = c.sighted(-1, (-90, 4313, 0, False), (-50, 4313, 0, False), stacks=table)
    waits = (m.wait("lock", 40, started_ns=c.at(-60), stack=0),)
    record = m.served(1, on_cpu=60, lock=40, waits=waits, ran=m.ran((-90, 1)), code=m.stacks(c.GET, c.RENDER))
    assert spent(record, stacks) == {("render", "on_cpu"): 60, ("Cache.get", "lock"): 40}


@pytest.mark.parametrize("threads", ["shared", "several", "unmatched"])
def test_a_thread_that_is_not_the_requests_own_is_not_looked_at(threads):
    stacks = c.sighted(-1, (-50, 4313, 0, False), stacks=m.stacks(c.HASH))
    assert spent(sampled(ms=100, queue=10, threads=threads), stacks) == {(None, "queue"): 10, (None, "other"): 90}


def test_a_ledger_that_claims_too_much_is_scaled_down():
    record = m.served(1, ms=100, lock=150, on_cpu=50, waits=(m.wait("lock", 150, stack=0),), code=m.stacks(c.GET))
    assert spent(record) == {("Cache.get", "lock"): 75, (None, "on_cpu"): 25}


# --- whatever comes

FRAMES = st.builds(Frame, st.sampled_from("abc"), st.sampled_from(["a.py", f"{c.SITE}/b.py", "<string>"]))
TABLE = st.builds(
    StackTable,
    st.lists(FRAMES, max_size=4).map(tuple),
    st.lists(st.lists(st.integers(-1, 5), max_size=4).map(tuple), max_size=5).map(tuple),
)
PLACE = st.integers(-1, 6)
NS = st.integers(-50, 200)
BUCKET = st.sampled_from(BUCKETS)
WAIT = st.builds(Wait, NS, NS, NS, BUCKET, st.none(), st.none(), st.none(), st.none(), stack=st.none() | PLACE)
RAN = st.lists(st.builds(Ran, NS, PLACE), max_size=6).map(tuple)
FIELDS = st.fixed_dictionaries({"waits": st.lists(WAIT, max_size=5).map(tuple), "ran": RAN, "code": TABLE, "gc_ns": NS})
BOOKED = st.lists(NS, min_size=len(BUCKETS), max_size=len(BUCKETS)).map(tuple)


@settings(max_examples=300)
@given(NS, BOOKED, FIELDS, st.lists(st.tuples(NS, NS, NS), max_size=4))
def test_it_adds_up_to_the_latency_and_nothing_is_negative(total, booked, fields, pauses):
    record = m.served(1, **fields)
    request = Request(record, "/", Ledger(total, booked), slow=True, verdict=None)
    around = Code()
    for at_ns, started_ns, paused_ns in pauses:
        around.take(GcPause(at_ns, record.pid, record.tid, started_ns, paused_ns, None, 2, None, "probe"))
    times = stack_times(request, around)
    assert sum(one.spent_ns for one in times) == max(total, 0)
    assert all(one.spent_ns > 0 for one in times)
    assert len(times) <= MAX_STACKS
    assert len({(one.frames, one.bucket, one.is_gc) for one in times}) == len(times)


def test_however_many_stacks_it_stays_bounded():
    stacks = [(c.own(f"f{number}"), *c.SERVER) for number in range(2000)]
    ran = m.ran(*((-100 + number / 100, number) for number in range(2000)))
    record = m.served(1, on_cpu=100, ran=ran, code=m.stacks(*stacks))
    request = Request(record, "/", Ledger(100 * m.MS, record.booked_ns), slow=True, verdict=None)
    times = stack_times(request, Code())
    assert sum(one.spent_ns for one in times) == 100 * m.MS
    assert 100 < len(times) <= MAX_STACKS


# --- sums


def stack(number, ns=10, bucket="on_cpu"):
    return StackTime((c.native(f"call{number}"), c.own("render"), *c.SERVER), bucket, is_gc=False, spent_ns=ns)


def test_small_stacks_are_told_by_their_place():
    sums = StackSums(stack(number, 10 + number) for number in range(1000))
    times = sums.times()
    assert len(times) <= MAX_STACKS
    assert sum(one.spent_ns for one in times) == sum(10 + number for number in range(1000))
    assert times[0].frames[0] == c.own("render")
    assert all(one.frames for one in times)


def test_stacks_without_anything_to_leave_out_keep_their_reason():
    sums = StackSums(StackTime((c.own(f"f{number}"),), "lock", is_gc=False, spent_ns=5) for number in range(1000))
    times = sums.times()
    assert len(times) <= MAX_STACKS
    assert (times[0].frames, times[0].bucket) == ((), "lock")
    assert sum(one.spent_ns for one in times) == 5000


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(1, 50), BUCKET), max_size=40), st.integers(0, 700))
def test_what_was_added_can_be_taken_back(added, crowd):
    times = [stack(number, ns, bucket) for number, ns, bucket in added]
    sums = StackSums(times)
    sums.add(stack(1000 + number, 1) for number in range(crowd))
    sums.remove(times)
    assert sum(one.spent_ns for one in sums.times()) == crowd
    assert all(one.spent_ns > 0 for one in sums.times())


@settings(max_examples=100)
@given(*[st.lists(st.tuples(st.integers(0, 400), st.integers(1, 50), BUCKET), max_size=400)] * 2)
def test_sums_of_sums_leave_both_as_they_were(some, others):
    one, other = (StackSums(stack(number, ns, bucket) for number, ns, bucket in each) for each in (some, others))
    before = one.times(), other.times()
    both = one + other
    assert sum(each.spent_ns for each in both.times()) == sum(ns for _, ns, _ in [*some, *others])
    assert len(both.times()) <= MAX_STACKS
    assert (one.times(), other.times()) == before


def test_a_request_on_an_event_loop_has_the_stacks_that_the_middleware_told():
    record = m.served(1, ms=100, queue=10, threads="shared", method="GET", target="/slow")
    waits = (Frame("[await]", "", 0), *c.GET)
    told = Span(
        *(record.ended_ns, record.pid, None, record.started_ns, record.ended_ns, "GET", "/slow", "/slow", 200, None),
        code=m.stacks(waits, c.RENDER),
        spent_ns=(60 * m.MS, 15 * m.MS),
    )
    assert spent(record, told) == {
        ("[await]", "other"): 60,
        ("render", "other"): 15,
        (None, "other"): 15,
        (None, "queue"): 10,
    }


def test_a_tree_that_tells_of_more_time_than_there_was_is_cut():
    record = m.served(1, ms=100, queue=1, threads="shared", method="GET", target="/slow")
    told = Span(
        *(record.ended_ns, record.pid, None, record.started_ns, record.ended_ns, "GET", "/slow", "/slow", 200, None),
        code=m.stacks(c.RENDER, c.GET),
        spent_ns=(90 * m.MS, 90 * m.MS),
    )
    assert spent(record, told) == {("render", "other"): 90, ("Cache.get", "other"): 9, (None, "queue"): 1}
