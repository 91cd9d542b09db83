"""Who held the lock or the GIL that a request waited for: thread, place, request; and convoys."""

import coding as c
import making as m
import msgspec
import pytest
from judging import facts, judge, text

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.probes.frames import ThreadName
from perfwatch.probes.records import Waker

GET, REFRESH, OTHER = range(3)
CODE = m.stacks(c.GET, c.REFRESH, (c.own("expire", "cache.py", 120), *c.SERVER))


def locked(*waits, ms=None, **fields):
    waits = waits or (held(391.2),)
    total = sum(one.blocked_ns for one in waits) / m.MS if ms is None else ms
    return m.served(1, 0, lock=total, on_cpu=20, waits=waits, code=CODE, **fields)


def held(ms, place=REFRESH, waker=None, **fields):
    fields = {"detail": "0x7f02", "stack": GET} | fields
    return m.wait("lock", ms, waker=waker or m.waker(7), waker_stack=place, **fields)


# --- locks


def test_a_lock_names_its_holder_with_file_and_line():
    holder = m.served(7, -1, calls=398, on_cpu=4, target="/refresh/3")
    verdict = judge(locked(), holder)
    assert verdict.summary == "waited 391 ms for a lock held by refresh_cache() at cache.py:88 (95 %)"
    found = facts(verdict)
    assert found["holder"] == "refresh_cache() at cache.py:88"
    assert found["place"] == "Cache.get() at cache.py:61"
    assert found["culprit"] == "GET /refresh/{}"
    assert text(verdict, "holder") == (
        "391.2 ms of it until thread worker-3 (tid 4321) released it in refresh_cache() at cache.py:88"
    )
    assert verdict.advice[0] == (
        "Hold the lock for less in refresh_cache() at cache.py:88: "
        "move I/O and slow work out of the `with lock:` block."
    )


def test_a_thread_that_holds_a_lock_outside_of_any_request_is_named_too():
    verdict = judge(locked(held(80, waker=m.waker(None))), c.python(-500))
    assert "thread refresher (tid 4321), which served no known request, released it" in text(verdict, "holder")
    without_stacks = m.served(1, 0, lock=80, waits=(m.wait("lock", 80, waker=m.waker(None)),))
    verdict = judge(without_stacks, c.python(-500))
    assert facts(verdict)["waker"] == "refresher (pid 4313, tid 4321)"
    assert text(verdict, "waker").endswith("tid 4321), which served no known request then")


def test_of_several_holders_the_one_that_was_waited_for_longest_is_named():
    waits = (held(100), held(30, OTHER, m.waker(8, tid=4400)), held(60, waker=m.waker(9, tid=4401)))
    verdict = judge(locked(*waits))
    assert facts(verdict)["holder"] == "refresh_cache() at cache.py:88"
    assert text(verdict, "holder").startswith("160.0 ms of it until thread worker-3")


def in_line(number, until_ms, *, holder, place, waited_ms, **fields):
    """A request that waited for the lock until some moment, and had it after another thread."""
    wait = held(waited_ms, place, holder, started_ns=c.at(until_ms - waited_ms))
    return m.served(number, until_ms + 2, lock=waited_ms, on_cpu=2, waits=(wait,), code=CODE, **fields)


def test_of_those_that_stood_in_line_before_it_the_one_that_kept_the_lock_is_named():
    """The last one, which ended its wait, had waited for the same lock itself, and so had the one before that."""
    keeper = m.waker(None)
    before = in_line(8, -12, holder=keeper, place=REFRESH, waited_ms=60, tid=4400)
    last = in_line(9, -10, holder=Waker(4313, 4400, "w", 8), place=OTHER, waited_ms=50, tid=4401)
    wait = held(70, OTHER, Waker(4313, 4401, "w", 9), started_ns=c.at(-78))
    verdict = judge(locked(wait), before, last)
    assert verdict.summary == "waited 70 ms for a lock held by refresh_cache() at cache.py:88 (78 %)"
    assert text(verdict, "holder") == (
        "66.0 ms of it until thread worker-3 (tid 4321), which served no known request, "
        "released it in refresh_cache() at cache.py:88"
    )
    assert "culprit" not in facts(verdict)


def test_who_stood_in_line_before_it_and_ends_later_is_passed_over_then():
    correlator = Correlator(m.info(slow_ms=1))
    wait = held(70, OTHER, Waker(4313, 4401, "w", 9), started_ns=c.at(-78))
    [alone] = correlator.feed(locked(wait))
    assert facts(alone.verdict)["holder"] == "expire() at cache.py:120"
    last = in_line(9, -10, holder=m.waker(None), place=REFRESH, waited_ms=60, tid=4401)
    late = msgspec.structs.replace(last, at_ns=c.at(3), ended_ns=c.at(3))
    anew = {one.record.id: one for one in correlator.feed(late)}[1]
    assert facts(anew.verdict)["holder"] == "refresh_cache() at cache.py:88"
    assert anew.verdict.advice[0].startswith("Hold the lock for less in refresh_cache() at cache.py:88")
    view = correlator.view()
    assert view.slow_count == view.count == 2
    assert [one for one in view.requests if one.record.id == 1] == [anew]


def test_who_waited_for_another_lock_is_not_in_line():
    last = in_line(9, -10, holder=m.waker(None), place=REFRESH, waited_ms=50, tid=4401)
    wait = held(70, OTHER, Waker(4313, 4401, "w", 9), started_ns=c.at(-78), detail="0x7f99")
    assert facts(judge(locked(wait), last))["holder"] == "expire() at cache.py:120"


def test_who_stood_in_line_at_a_file_lock_is_known_by_the_call():
    last = in_line(9, -10, holder=m.waker(None), place=REFRESH, waited_ms=50, tid=4401)
    last = msgspec.structs.replace(
        last, waits=tuple(msgspec.structs.replace(one, call="flock", detail=None) for one in last.waits)
    )
    wait = held(70, OTHER, Waker(4313, 4401, "w", 9), started_ns=c.at(-78), call="flock", detail=None)
    assert facts(judge(locked(wait), last))["holder"] == "refresh_cache() at cache.py:88"


def test_a_ring_of_waiters_ends():
    """Records of one lock that contradict each other."""
    ring = [in_line(n, -10 - n, holder=Waker(4313, 1, "w", (n + 1) % 3), place=OTHER, waited_ms=60) for n in range(3)]
    wait = held(70, OTHER, Waker(4313, 1, "w", 0), started_ns=c.at(-78))
    assert facts(judge(msgspec.structs.replace(locked(wait), id=99), *ring))["holder"] == "expire() at cache.py:120"


def test_a_holder_that_is_not_most_of_it_is_no_headline():
    waits = (held(40), *(m.wait("lock", 20, waker=m.waker(n), stack=GET) for n in range(4)))
    verdict = judge(locked(*waits))
    assert verdict.summary == "waited 120 ms for a lock in Cache.get() at cache.py:61 (86 %)"
    assert facts(verdict)["one_holder"] == "refresh_cache() at cache.py:88"
    assert verdict.advice[0].startswith("Hold the lock for less: ")


def test_an_interrupt_holds_nothing():
    verdict = judge(locked(m.wait("lock", 100, stack=GET, waker_stack=REFRESH)))
    assert not {"holder", "one_holder", "waker"} & set(facts(verdict))


SIGNALS = {
    "a result": c.RESULT,
    "an event": (c.native("acquire"), *c.RESULT[:1], c.own("wait_for", "jobs.py", 3)),
    "before 3.11": (c.Frame("wait", "/usr/lib/python3.9/threading.py", 302), c.own("gather", "jobs.py", 9)),
}
LOCKS = {
    "a lock": c.GET,
    "a queue's mutex": (c.Frame("Queue.put", f"{c.STDLIB}/queue.py", 137), c.own("put")),
    "no stack": (),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_who_waits_for_a_signal_waits_for_no_lock(name):
    code = m.stacks(SIGNALS[name], c.HASH)
    verdict = judge(
        m.served(1, lock=90, waits=(m.wait("lock", 90, stack=0, waker=m.waker(), waker_stack=1),), code=code)
    )
    assert verdict.mechanism == "lock"
    assert verdict.summary == "waited 90 ms for a signal from login() at auth.py:12 (100 %)"
    assert text(verdict, "holder").endswith("signalled in login() at auth.py:12")
    assert verdict.advice[0] == (
        "It waits for another thread's work in login() at auth.py:12: make that shorter, or start it earlier."
    )


def test_a_pool_that_signals_says_nothing_of_what_it_did():
    code = m.stacks(c.RESULT, c.SERVER[2:])
    wait = m.wait("lock", 90, stack=0, waker=m.waker(), waker_stack=1)
    verdict = judge(m.served(1, lock=90, waits=(wait,), code=code))
    assert verdict.summary == "waited 90 ms for a signal in gather() at jobs.py:9 (100 %)"


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_no_signals(name):
    verdict = judge(m.served(1, lock=90, waits=(m.wait("lock", 90, stack=0),), code=m.stacks(LOCKS[name])))
    assert "awaits" not in facts(verdict)
    assert verdict.summary.startswith("waited 90 ms for a lock")


# --- the GIL


def gil(*waits, at_ms=0, **fields):
    made = {"gil": 300, "on_cpu": 100, "waits": waits, "code": m.stacks(c.RENDER, c.HASH)}
    return m.served(1, at_ms, **(made | fields))


def test_the_gil_names_who_gave_it_up():
    waits = tuple(m.wait("gil", 50, waker=m.waker(7), waker_stack=1, stack=0) for _ in range(6))
    verdict = judge(gil(*waits))
    assert verdict.summary == "waited 300 ms for the GIL held by login() at auth.py:12 (75 %)"
    assert text(verdict, "holder") == (
        "thread worker-3 (tid 4321) gave it up in login() at auth.py:12, which ended 6 waits, 300.0 ms"
    )
    assert verdict.advice[0].startswith("Make what login() at auth.py:12 computes cheaper")


def test_waits_that_the_clock_ended_name_whom_readings_found_holding_it():
    """Of this lock each 5 ms end a wait, and then by nobody."""
    waits = tuple(m.wait("gil", 5, started_ns=c.at(-300 + n * 5), stack=0) for n in range(60))
    samples = [(-290 + n * 20, 4321 + n % 2, 1, True) for n in range(10)]
    samples += [(-285, 4313, 0, True), (-280, 4400, 0, False), (-20, 4321, 0, True)]
    busy = m.opened(9, 500, -1, "on_cpu", tid=4321, target="/login")
    seen = c.sighted(-1, *sorted(samples), stacks=m.stacks(c.RENDER, c.HASH))
    verdict = judge(gil(*waits), seen, c.python(-900), m.in_flight(-2, busy))
    assert verdict.summary == "waited 300 ms for the GIL held by login() at auth.py:12 (75 %)"
    assert text(verdict, "holder") == (
        "in 10 of 11 readings meanwhile thread refresher and 1 other held it, in login() at auth.py:12"
    )
    assert facts(verdict)["culprit"] == "GET /login"


@pytest.mark.parametrize(("ended", "name"), [(3, "holder"), (2, "one_holder")])
def test_a_few_waits_that_a_thread_ended_stand_for_those_that_the_clock_did(ended, name):
    waits = [m.wait("gil", 5, started_ns=c.at(-300 + n * 5)) for n in range(50)]
    waits += [m.wait("gil", 3, waker=m.waker(7), waker_stack=1) for _ in range(ended)]
    assert facts(judge(gil(*waits)))[name] == "login() at auth.py:12"


def test_without_any_stack_nobody_is_named():
    assert not {"holder", "one_holder"} & set(facts(judge(gil(m.wait("gil", 300, waker=m.waker(7))))))


def busy_lock(handoffs, *held, readings=50, free=1):
    return (
        c.python(-1000, threads=()),
        c.python(
            0, readings=readings, free=free, held=held, handoffs=handoffs, threads=(ThreadName(4400, "exporter"),)
        ),
    )


def test_the_lock_is_told_by_its_holders_and_its_turns():
    verdict = judge(gil(), *busy_lock(12, (4313, 9), (4400, 31), (4401, 9)))
    assert facts(verdict)["gil_held"] == 0.98
    assert text(verdict, "gil_held") == (
        "the GIL of process 4313 was held 98 % of the time (62 % by thread exporter) "
        "and changed hands 12 times a second"
    )
    assert "convoy" not in facts(verdict)


def test_a_convoy_is_many_requests_in_short_turns():
    others = [m.served(10 + n, -n, gil=200, on_cpu=60) for n in range(3)]
    verdict = judge(gil(), *others, *busy_lock(196))
    assert text(verdict, "convoy") == (
        "a convoy: 4 requests waited for it at the same time, in turns of 5.0 ms on average"
    )
    assert "convoy" not in facts(judge(gil(), *others, *busy_lock(20)))
    assert "convoy" not in facts(judge(gil(), *busy_lock(196)))


def test_another_process_is_not_asked():
    assert "gil_held" not in facts(judge(gil(pid=4999), *busy_lock(196)))


def test_gil_time_that_a_collection_took_is_told():
    waits = (m.wait("gil", 100, started_ns=c.at(-400)), m.wait("gil", 200, started_ns=c.at(-200)))
    pauses = (c.pause(-320, 50, tid=4321), c.pause(-190, 150, tid=4321), c.pause(-390, 80))
    verdict = judge(gil(*waits), *pauses)
    assert facts(verdict)["gil_collected_ms"] == 170.0
    assert verdict.advice[0].startswith("Another thread's garbage collector kept the GIL")
    assert "gil_collected_ms" not in facts(judge(gil(*waits), c.pause(-190, 150, tid=4321, pid=99)))


def test_an_endpoint_names_the_holder_that_most_of_its_requests_name():
    from perfwatch.agent.report import correlate

    records = [
        m.served(
            n,
            n,
            lock=600,
            waits=(m.wait("lock", 600, stack=GET, waker=Waker(4313, 4321, "refresh", None), waker_stack=REFRESH),),
            code=CODE,
        )
        for n in range(8)
    ]
    verdict = correlate(m.info(), records)[0].verdict
    assert verdict.summary == (
        "GET / is slow (p95 600 ms): 100 % of it waits for a lock held by refresh_cache() at cache.py:88"
    )
    assert text(verdict, "place").startswith("600.0 ms of it in Cache.get() at cache.py:61")
    split = [record if n % 2 else m.served(n, n, lock=600) for n, record in enumerate([*records, *records])]
    split = [one for one in split if one.id % 4]
    assert (
        "held by"
        not in correlate(m.info(), split[:5] + [m.served(90 + n, n, lock=600) for n in range(9)])[0].verdict.summary
    )
