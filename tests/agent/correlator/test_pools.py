"""Waits for pooled connections and permits, of threads and of coroutines; what tasks say of suspended ones."""

import coding as c
import looped as lo
import making as m
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import facts, judge, text

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.givers import Givers
from perfwatch.agent.correlator.refining import pooled, refine
from perfwatch.agent.correlator.tasks import Tasks
from perfwatch.agent.model import BUCKETS
from perfwatch.agent.report import correlate
from perfwatch.probes.records import Waker

CLIENT = "127.0.0.1:50000"
THREAD_PERMIT = (c.RESULT[0], c.Frame("Semaphore.acquire", c.RESULT[0].file, 430), c.own("limited"), *c.SERVER)
ITEM = (c.RESULT[0], c.Frame("Queue.get", f"{c.STDLIB}/queue.py", 171), c.own("take"), *c.SERVER)
GIVES = (c.own("report", "shop.py", 90), *lo.WORKER)


def waiting(frames, *, waker=None, ms=300, **fields):
    wait = m.wait("lock", ms, stack=0, detail="0x7f02", waker=waker, waker_stack=1, started_ns=c.at(-ms - 10))
    return m.served(1, 0, lock=ms, on_cpu=10, waits=(wait,), code=m.stacks(frames, GIVES), **fields)


# --- threads


def test_a_pool_of_connections_names_who_had_it():
    had = m.served(9, -5, calls=800, target="/report/7", tid=4400)
    verdict = judge(waiting(lo.PSYCOPG, waker=Waker(4313, 4400, "w", 9)), had)
    assert (verdict.mechanism, verdict.principle) == ("pool", "concurrency")
    told = "waited 300 ms for a connection of psycopg_pool in order() at shop.py:41 (97 %)"
    assert verdict.summary == f"{told}, because it waited for another process"
    assert facts(verdict)["holder"] == "report() at shop.py:90"
    assert text(verdict, "giver") == (
        "300.0 ms of it until 1 request of GET /report/{} gave it back, after 795.0 ms of service at most"
    )
    assert verdict.advice[0].startswith("Hold it for less in report() at shop.py:90: give it back before slow work")
    assert facts(verdict)["culprit_spent"] == "calls"


def test_a_permit_is_a_pool_too():
    verdict = judge(waiting(THREAD_PERMIT))
    assert verdict.mechanism == "pool"
    assert verdict.summary == "waited 300 ms for a permit in limited() at views.py:41 (97 %)"


@pytest.mark.parametrize(("request_id", "mechanism"), [(9, "pool"), (None, "lock"), (1, "lock")])
def test_an_item_of_a_queue_is_one_only_where_another_request_put_it_back(request_id, mechanism):
    """From a thread that serves no request, or from a worker of its own, it is a result."""
    verdict = judge(waiting(ITEM, waker=m.waker(request_id)))
    assert verdict.mechanism == mechanism
    assert ("awaits" in facts(verdict)) == (mechanism == "lock")


def test_a_plain_lock_stays_one():
    assert judge(waiting(c.GET)).mechanism == "lock"


def test_lock_and_pool_share_the_bucket_and_no_time():
    waits = (
        m.wait("lock", 200, stack=0, started_ns=c.at(-400)),
        m.wait("lock", 90, stack=1, started_ns=c.at(-190), detail="0x7f02"),
    )
    record = m.served(1, 0, lock=300, on_cpu=10, waits=waits, code=m.stacks(lo.PSYCOPG, c.GET))
    verdict = judge(record)
    assert verdict.mechanism == "pool"
    assert facts(verdict)["pool_ms"] == 200.0
    assert [one.text for one in verdict.evidence if one.name == "also"] == ["also lock 32 %"]
    assert facts(verdict)["place"] == "order() at shop.py:41"
    assert "other_place" not in facts(verdict)


def test_who_waited_for_the_pool_before_it_did_not_have_it():
    """The one that gave it back had it for 40 ms; before that, another request had."""
    first = m.served(8, -40, calls=900, target="/export", tid=4399)
    wait = m.wait("lock", 250, stack=0, started_ns=c.at(-300), waker=Waker(4313, 4399, "w", 8), waker_stack=1)
    second = m.served(9, -9, lock=250, calls=40, waits=(wait,), code=m.stacks(lo.PSYCOPG, GIVES), tid=4400)
    quick = (c.own("quick", "shop.py", 5), *lo.WORKER)
    mine = m.wait("lock", 300, stack=0, started_ns=c.at(-310), waker=Waker(4313, 4400, "w", 9), waker_stack=1)
    record = m.served(1, 0, lock=300, on_cpu=10, waits=(mine,), code=m.stacks(lo.PSYCOPG, quick))
    verdict = judge(record, first, second)
    assert facts(verdict)["holder"] == "report() at shop.py:90"
    assert facts(verdict)["culprit"] == "GET /export"


# --- coroutines


def coroutine(*waits, number=1, at_ms=0, **fields):
    waits = waits or (lo.suspended(300, -320),)
    other = sum(wait.blocked_ns for wait in waits) / m.MS
    return lo.followed(number, at_ms, **({"other": other, "on_cpu": 10, "waits": waits} | fields))


def readings(chain, *, client=CLIENT, every=50, from_ms=-310, until_ms=-20):
    return [lo.tasks(at_ms, (client, chain)) for at_ms in range(from_ms, until_ms, every)]


@pytest.mark.parametrize(
    ("chain", "mechanism", "bucket", "summary"),
    [
        (lo.SEMAPHORE, "pool", "lock", "waited 300 ms for a permit in limited() at app.py:50 (97 %)"),
        (lo.MUTEX, "lock", "lock", "waited 300 ms for a lock in exclusive() at app.py:60 (97 %)"),
        (lo.TIMER, "sleep", "sleep", "slept 300 ms in poll() at app.py:70 (97 %)"),
        (lo.TO_THREAD, "queue", "queue", "waited 300 ms for a free thread (97 %)"),
    ],
)
def test_a_suspended_coroutine_waits_for_what_its_task_awaits(chain, mechanism, bucket, summary):
    correlator = Correlator(m.info(slow_ms=1))
    for reading in readings(chain):
        correlator.feed(reading)
    [request] = correlator.feed(coroutine())
    assert (request.verdict.mechanism, request.verdict.summary) == (mechanism, summary)
    assert request.ledger[bucket] == 300 * m.MS
    assert request.ledger["other"] == 0
    assert sum(request.ledger.booked_ns) == request.ledger.total_ns
    assert sum(one.spent_ns for one in request.stacks) == request.ledger.total_ns


def test_an_answer_that_was_anothers_ended_a_wait_for_what_that_one_gave_back():
    """A connection is given back with a query of its own: the answer lets the next one go on, and is not its call's."""
    wait = msgspec.structs.replace(lo.suspended(300, -320), bucket="calls", detail=None)
    given_back = lo.followed(1, calls=300, on_cpu=10, waits=(wait,))
    verdict = judge(given_back, *readings(lo.SEMAPHORE))
    assert (verdict.mechanism, verdict.share) == ("pool", pytest.approx(300 / 310, abs=1e-3))
    called = msgspec.structs.replace(given_back, calls=(lo.call(-320, 290),))
    assert judge(called, *readings(lo.SEMAPHORE)).mechanism == "dependency"
    assert judge(given_back).mechanism == "dependency"


@pytest.mark.parametrize(("path", "mechanism"), [("/permit", "pool"), ("/timer", "sleep")])
def test_streams_of_one_connection_are_told_apart_by_their_paths(path, mechanism):
    """A timer that went off for one of them explains none of the others."""
    correlator = Correlator(m.info(slow_ms=1))
    for at_ms in range(-310, -20, 50):
        both = (("/permit", lo.SEMAPHORE), ("/timer", lo.TIMER), (None, lo.MUTEX))
        correlator.feed(lo.streams(at_ms, *both))
    wait = msgspec.structs.replace(lo.suspended(300, -320), bucket="sleep")
    [request] = correlator.feed(coroutine(wait, other=0, sleep=300, target=path, protocol="http/2"))
    assert request.verdict.mechanism == mechanism
    assert sum(request.ledger.booked_ns) == request.ledger.total_ns


def test_streams_of_one_path_that_wait_for_different_things_are_unknown():
    correlator = Correlator(m.info(slow_ms=1))
    for at_ms in range(-310, -20, 50):
        correlator.feed(lo.streams(at_ms, ("/a", lo.SEMAPHORE), ("/a", lo.TIMER)))
    wait = msgspec.structs.replace(lo.suspended(300, -320), bucket="sleep")
    [request] = correlator.feed(coroutine(wait, other=0, sleep=300, target="/a", protocol="http/2"))
    assert request.verdict.principle == "unknown"
    assert (request.ledger["other"], request.ledger["sleep"]) == (300 * m.MS, 0)


def test_a_thread_pool_that_is_full_is_told_from_a_socket_that_nobody_reads():
    busy = m.served(9, -300, sleep=900, target="/slow")
    verdict = judge(coroutine(), busy, *readings(lo.TO_THREAD))
    assert facts(verdict)["queued_for"] == "thread"
    assert facts(verdict)["busy_with"] == "sleep"
    assert verdict.advice[0].startswith("All threads of the pool that its handler runs in were taken")


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([], id="without a reading"),
        pytest.param(readings(lo.SEMAPHORE, client="127.0.0.1:50001"), id="of another client"),
        pytest.param(readings(lo.SEMAPHORE, from_ms=-900, until_ms=-400), id="of an earlier request"),
        pytest.param(readings(lo.SEMAPHORE, client=None), id="of a task that serves nobody"),
        pytest.param([lo.tasks(-200, (CLIENT, lo.SEMAPHORE), (CLIENT, lo.TIMER))], id="that disagree"),
        pytest.param([lo.tasks(-200, (CLIENT, lo.SEMAPHORE), pid=9)], id="of another process"),
    ],
)
def test_what_no_reading_tells_stays_unknown(told):
    verdict = judge(coroutine(), *told)
    assert verdict.mechanism is None
    assert verdict.summary == "97 % of it its coroutine was suspended, no telling in what"
    assert facts(verdict)["suspended_in"] == "a place that is not known"
    assert "kernel_function" not in facts(verdict)


EVENT = c.Frame("Event.wait", f"{lo.ASYNCIO}/locks.py", 210)
DRIVER = c.Frame("fetch", f"{c.SITE}/some_driver/client.py", 20)
STREAM = c.Frame("StreamReader._wait_for_data", f"{lo.ASYNCIO}/streams.py", 522)


def test_a_signal_of_its_own_code_is_one_and_that_of_a_library_may_be_anything():
    own = judge(coroutine(), *readings((EVENT, c.own("ready", "app.py", 90))))
    assert own.summary == "waited 300 ms for a signal in ready() at app.py:90 (97 %)"
    library = judge(coroutine(), *readings((EVENT, DRIVER, c.own("ready", "app.py", 90))))
    assert library.mechanism is None
    assert facts(library)["suspended_in"] == "ready() at app.py:90"


def test_who_waits_for_the_data_of_a_stream_waits_for_another_process():
    verdict = judge(coroutine(), *readings((STREAM, DRIVER, c.own("load", "app.py", 95))))
    assert verdict.summary == "waited 300 ms for another process in load() at app.py:95 (97 %)"


def test_a_chain_that_does_not_tell_what_is_at_least_a_place():
    verdict = judge(coroutine(), *readings(lo.UNTOLD))
    assert verdict.mechanism is None
    assert facts(verdict)["suspended_in"] == "gathers() at app.py:80"


def test_a_task_of_the_server_beside_it_says_nothing():
    """One that reads the connection, and whose chain tells nothing."""
    both = [lo.tasks(-200, (CLIENT, lo.UNTOLD), (CLIENT, lo.SEMAPHORE))]
    assert judge(coroutine(), *both).mechanism == "pool"


def test_a_task_that_another_one_waits_for_is_the_inner_part_of_it():
    """Up to Python 3.11 `wait_for` makes a task of its own of what is waited for."""
    condition = (c.Frame("Condition.wait", f"{lo.ASYNCIO}/locks.py", 267),)
    outer = (c.Frame("wait_for", f"{lo.ASYNCIO}/tasks.py", 479), *lo.PSYCOPG[1:5])
    outer = tuple(msgspec.structs.replace(one, file=one.file.replace("/pool.py", "/pool_async.py")) for one in outer)
    for whole in (outer, condition + outer):
        told = [lo.tasks(at_ms, (CLIENT, condition), (CLIENT, whole)) for at_ms in range(-310, -20, 50)]
        verdict = judge(coroutine(), *told)
        assert verdict.summary == "waited 300 ms for a connection of psycopg_pool in order() at shop.py:41 (97 %)"


def test_clients_of_unix_sockets_have_no_names():
    unix = [lo.tasks(-200, ("unix:?", lo.SEMAPHORE))]
    assert judge(coroutine(remote="unix:?"), *unix).mechanism is None


def test_a_wait_that_the_kernel_told_gets_its_stack_and_keeps_its_bucket():
    wait = m.wait("calls", 300, call=None, started_ns=c.at(-320))
    [request] = judged(coroutine(wait, other=0, calls=300), *readings(lo.TIMER))
    assert request.verdict.mechanism == "dependency"
    assert request.frames[0].function == "poll"


def test_suspended_time_makes_a_verdict_less_sure():
    waits = (lo.suspended(80, -320), m.wait("sleep", 220, call=None, started_ns=c.at(-230)))
    sure = judge(coroutine(waits[1], other=0, sleep=220, disk=80))
    less = judge(coroutine(*waits, other=80, sleep=220))
    assert less.mechanism == sure.mechanism == "sleep"
    assert less.confidence < sure.confidence


def test_a_sleep_that_was_inferred_from_a_timer_may_turn_out_as_a_permit():
    """The loop woke by the clock: that may have been another task's."""
    wait = m.wait("sleep", 300, call=None, detail="suspended", started_ns=c.at(-320))
    [request] = judged(coroutine(wait, other=0, sleep=300), *readings(lo.SEMAPHORE))
    assert request.verdict.mechanism == "pool"
    assert (request.ledger["lock"], request.ledger["sleep"]) == (300 * m.MS, 0)
    [request] = judged(coroutine(wait, other=0, sleep=300), *readings(lo.TIMER))
    assert request.verdict.mechanism == "sleep"
    assert request.record.waits[0].detail is None
    [inferred] = judged(coroutine(wait, other=0, sleep=300))
    assert inferred.verdict.mechanism == "sleep"
    assert inferred.verdict.confidence < request.verdict.confidence


def test_a_wait_that_was_one_thing_after_the_other_is_cut_between_the_readings():
    """It waited for a thread, and then for what that did: nothing was seen in between but by its task."""
    told = [*readings(lo.TO_THREAD, until_ms=-150), *readings(lo.TO_THREAD[2:], from_ms=-110)]
    [request] = judged(coroutine(), *told)
    assert request.ledger["queue"] == 185 * m.MS
    assert request.ledger["other"] == 115 * m.MS
    assert [(one.bucket, one.blocked_ns // m.MS) for one in request.record.waits] == [("queue", 185), ("other", 115)]
    assert request.verdict.mechanism == "queue"
    assert sum(one.spent_ns for one in request.stacks) == request.ledger.total_ns


def short_ones(kept_ms=30, period_ms=60, count=40):
    """Requests that wait for a permit for 30 ms, then sleep for 15: of each second one its task is looked at."""
    for number in range(count):
        end_ms = number * 100.0
        waits = (lo.suspended(kept_ms, end_ms - 50), lo.suspended(15, end_ms - 17))
        if number % 2:
            yield lo.tasks(end_ms - 40, (CLIENT, lo.SEMAPHORE))
        if number % 4 == 0:
            yield lo.tasks(end_ms - 10, (CLIENT, lo.TIMER))
        yield lo.tasks(end_ms - 1 - period_ms % 7)
        yield coroutine(*waits, number=number, at_ms=end_ms, on_cpu=5)


def test_of_many_short_waits_those_that_were_looked_at_stand_for_the_others():
    view, judged_ones = correlate(m.info(), short_ones())
    unknown = sum(one.verdict.mechanism is None for one in judged_ones)
    assert unknown >= 10
    [endpoint] = view.endpoints
    assert endpoint.verdict.mechanism == "pool"
    assert 0.5 < endpoint.verdict.share < 0.7
    assert "are estimated, from those of its tasks that were looked at" in text(endpoint.verdict, "estimated_ms")
    assert endpoint.ledger["lock"] > endpoint.ledger["sleep"] > endpoint.ledger["other"] == 0
    assert 0 <= endpoint.ledger.unaccounted_ns < len(BUCKETS)


def test_what_came_before_the_first_reading_was_like_what_came_after_it():
    """Each waits for a permit for 80 ms and sleeps for 30; to the kernel it is one wait that a timer ended."""
    records = []
    for number in range(20):
        end_ms = number * 150.0
        wait = m.wait("sleep", 110, call=None, detail="suspended", started_ns=c.at(end_ms - 111))
        if number >= 10:
            records += [lo.tasks(end_ms - 90, (CLIENT, lo.SEMAPHORE)), lo.tasks(end_ms - 45, (CLIENT, lo.SEMAPHORE))]
            records += [lo.tasks(end_ms - 15, (CLIENT, lo.TIMER))]
        records.append(coroutine(wait, number=number, at_ms=end_ms, other=0, sleep=110, on_cpu=5))
    verdict = correlate(m.info(), records)[0].verdict
    assert verdict.mechanism == "pool"
    assert verdict.share == pytest.approx(80 / 115, abs=0.05)
    assert facts(verdict)["estimated_ms"] == pytest.approx(40, abs=3)
    before = correlate(m.info(), [one for one in records if hasattr(one, "target")])[0].verdict
    assert before.mechanism == "sleep"


@pytest.mark.parametrize(("chain", "mechanism"), [(lo.SEMAPHORE, None), (lo.TIMER, "sleep")])
def test_one_that_nobody_looked_at_did_not_surely_sleep_where_others_wait_for_permits(chain, mechanism):
    """To the kernel each is one wait that a timer ended; the last one's task was not looked at."""
    records = []
    for number in range(12):
        end_ms = number * 150.0
        wait = m.wait("sleep", 110, call=None, detail="suspended", started_ns=c.at(end_ms - 111))
        records.append(lo.tasks(end_ms - 60, *([(CLIENT, chain)] if number < 11 else [])))
        records.append(coroutine(wait, number=number, at_ms=end_ms, other=0, sleep=110, on_cpu=5))
    *_, last = correlate(m.info(), records)[1]
    assert last.verdict.mechanism == mechanism


def test_nothing_is_estimated_where_nobody_looked():
    records = [one for one in short_ones() if hasattr(one, "target")]
    verdict = correlate(m.info(), records)[0].verdict
    assert verdict.mechanism is None
    assert verdict.summary.endswith("its coroutine was suspended, no telling in what")


def served_one_after_the_other(count=12, *, ends_first=True):
    """Holders that sleep for 60 ms with a permit, each with one that waits for it: it goes on when that one ends."""
    for number in range(count):
        end_ms = number * 100.0
        held = lo.followed(1000 + number, end_ms, sleep=62, target=f"/hold/{number}", remote="127.0.0.1:9")
        wait = lo.suspended(58, end_ms - 58.1)
        waited = lo.followed(
            number, end_ms + 2, other=58, on_cpu=2, waits=(wait,), target=f"/permit/{number}", remote=CLIENT
        )
        by_chance = lo.followed(2000 + number, end_ms + (1 if number % 4 == 0 else 30), on_cpu=1, target="/fast")
        yield lo.tasks(end_ms - 30, (CLIENT, lo.SEMAPHORE))
        yield from (held, waited) if ends_first else (waited, held)
        yield by_chance


@pytest.mark.parametrize("ends_first", [True, False])
def test_who_always_ends_when_a_wait_does_gave_it_back(ends_first):
    """Nothing is seen of a permit's way from one coroutine to the next; the holder may be told after who waited."""
    view, _ = correlate(m.info(), served_one_after_the_other(ends_first=ends_first))
    verdict = next(one.verdict for one in view.endpoints if one.route == "/permit/{}")
    assert verdict.mechanism == "pool"
    assert text(verdict, "giver") == (
        "100 % of that time ended at the very moment at which a request of GET /hold/{} did: it gave it back"
    )
    [link] = verdict.chain
    assert (link.kind, link.name) == ("request", "GET /hold/{}")
    assert link.share > 0.9


def test_who_ends_there_by_chance_did_not():
    """Two kinds of requests ended at such moments, neither of them at most."""
    records = []
    for number in range(12):
        end_ms = number * 100.0
        wait = lo.suspended(58, end_ms - 58.1)
        waited = lo.followed(number, end_ms + 2, other=58, on_cpu=2, waits=(wait,), target="/permit", remote=CLIENT)
        near = lo.followed(1000 + number, end_ms, on_cpu=1, target=f"/{'abc'[number % 3]}")
        records += [lo.tasks(end_ms - 30, (CLIENT, lo.SEMAPHORE)), near, waited]
    view, _ = correlate(m.info(), records)
    verdict = next(one.verdict for one in view.endpoints if one.route == "/permit")
    assert "giver" not in facts(verdict)


def test_who_ends_all_the_time_ends_there_too_and_gave_nothing():
    """A thousand requests a second of another endpoint: some end at any moment."""
    records = []
    for number in range(10):
        end_ms = number * 100.0
        records += [
            lo.followed(10_000 + number * 100 + k, end_ms - 60 + k, on_cpu=0.2, target="/fast") for k in range(70)
        ]
        held = lo.followed(1000 + number, end_ms - 1, sleep=62, target="/hold", remote="127.0.0.1:9")
        wait = lo.suspended(58, end_ms - 58.1)
        waited = lo.followed(number, end_ms + 2, other=58, on_cpu=2, waits=(wait,), target="/permit", remote=CLIENT)
        records += [lo.tasks(end_ms - 30, (CLIENT, lo.SEMAPHORE)), held, waited]
    view, _ = correlate(m.info(), sorted(records, key=lambda one: one.at_ns))
    verdict = next(one.verdict for one in view.endpoints if one.route == "/permit")
    assert facts(verdict)["giver"] == "GET /hold"
    without = [one for one in records if getattr(one, "target", "") != "/hold"]
    view, _ = correlate(m.info(), sorted(without, key=lambda one: one.at_ns))
    verdict = next(one.verdict for one in view.endpoints if one.route == "/permit")
    assert "giver" not in facts(verdict)


def test_what_the_giver_had_waited_for_itself_was_anothers():
    """A line of two: the second one gets the permit 1 ms before it ends, and had waited for the one that held it."""
    records = []
    for number in range(10):
        end_ms = number * 100.0
        held = lo.followed(1000 + number, end_ms, sleep=62, target="/hold", remote="127.0.0.1:9")
        first, second = (
            lo.followed(
                number * 10 + place,
                end_ms + 2 + place,
                other=50 + 2 * place,
                on_cpu=2,
                waits=(lo.suspended(50 + 2 * place, end_ms - 50.1),),
                target="/permit",
                remote=CLIENT,
            )
            for place in range(2)
        )
        records += [lo.tasks(end_ms - 30, (CLIENT, lo.SEMAPHORE)), held, first, second]
    view, _ = correlate(m.info(), records)
    verdict = next(one.verdict for one in view.endpoints if one.route == "/permit")
    assert facts(verdict)["giver"] == "GET /hold"


def test_the_memory_of_givers_is_bounded():
    givers = Givers()
    for number in range(10_000):
        wait = m.wait("lock", 50, call=None, started_ns=c.at(number - 50))
        record = lo.followed(number, number, lock=50, on_cpu=1, waits=(wait,) * 3, pid=number % 1000)
        givers.served(record, ("GET", f"/{number}"))
    assert len(givers) <= 2 * 4096
    assert all(len(one.pending) <= 128 and len(one.ends) <= 128 for one in givers._processes.values())


def judged(record, *before):
    correlator = Correlator(m.info(slow_ms=1))
    for one in before:
        correlator.feed(one)
    return correlator.feed(record)


CHAINS = st.sampled_from([lo.SEMAPHORE, lo.MUTEX, lo.TIMER, lo.TO_THREAD, lo.UNTOLD, ()])
WAITS = st.builds(
    lambda ms, from_ms, is_suspended: (
        lo.suspended(ms, from_ms) if is_suspended else m.wait("lock", ms, started_ns=c.at(from_ms))
    ),
    st.integers(-5, 400),
    st.integers(-600, 100),
    st.booleans(),
)


@given(
    st.lists(WAITS, max_size=6),
    st.lists(st.tuples(st.integers(-600, 100), CHAINS), max_size=8),
    st.integers(-50, 900),
    st.sampled_from(["one", "followed", "shared"]),
)
def test_whatever_is_read_the_ledger_adds_up_as_before(waits, read, other_ms, threads):
    tasks = Tasks()
    for at_ms, chain in sorted(read, key=lambda one: one[0]):
        tasks.take(lo.tasks(at_ms, (CLIENT, chain)))
    record = m.served(1, 0, ms=1000, other=other_ms, lock=50, waits=tuple(waits), threads=threads)
    refined, looks = refine(record, tasks)
    assert sum(refined.booked_ns) == sum(record.booked_ns)
    assert len(refined.waits) >= len(record.waits)
    assert sum(one.blocked_ns for one in refined.waits) == sum(one.blocked_ns for one in record.waits)
    assert all(one.blocked_ns >= 0 for one in refined.waits if one not in record.waits)
    assert all(ns >= 0 for times in looks[1:] for ns in times.values())
    assert sum(looks.changes().values()) == 0
    for bucket in BUCKETS:
        at = BUCKETS.index(bucket)
        assert refined.booked_ns[at] >= record.booked_ns[at] or bucket in ("other", "sleep")
    if threads != "followed":
        assert refined.booked_ns == record.booked_ns


def test_the_same_is_seen_live_and_in_a_replay():
    """A recording holds the records as they came: what was made of them is made anew."""
    records = [*readings(lo.SEMAPHORE), *(coroutine(number=n, at_ms=n) for n in range(8))]
    once, again = (correlate(m.info(), records) for _ in range(2))
    assert once == again
    assert once[0].verdict.mechanism == "pool"
    coded = [msgspec.json.decode(msgspec.json.encode(one), type=type(one)) for one in records]
    assert correlate(m.info(), coded) == once


def test_an_endpoint_names_its_pool_and_who_has_it():
    had = m.served(100, -400, calls=800, target="/report", tid=4400)
    records = [had] + [
        msgspec.structs.replace(waiting(lo.PSYCOPG, waker=Waker(4313, 4400, "w", 100)), id=n, target="/order")
        for n in range(8)
    ]
    view, _ = correlate(m.info(), records)
    verdict = next(one.verdict for one in view.endpoints if one.route == "/order")
    assert verdict.mechanism == "pool"
    assert verdict.summary.endswith("97 % of it waits for a connection of psycopg_pool in order() at shop.py:41")
    assert facts(verdict)["giver"] == "GET /report"


def test_a_pools_wait_is_marked_by_what_it_is_for():
    [request] = judged(waiting(lo.PSYCOPG))
    assert [pooled(wait) for wait in request.record.waits] == ["a connection of psycopg_pool"]
    assert {one.mechanism for one in request.stacks if one.bucket == "lock"} == {"pool"}
