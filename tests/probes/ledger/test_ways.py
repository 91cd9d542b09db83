"""Where the time of a followed request goes: made-up steps of loops and workers, and whatever steps come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.addresses import Address
from perfwatch.probes.ledger.following.flow import FORGET_NS, Flow
from perfwatch.probes.ledger.following.lanes import MAX_STRETCHES, Lane
from perfwatch.probes.ledger.step_events import Ends, StepEvent
from perfwatch.probes.records import BUCKETS

LOOP, WORKERS = 100, (201, 202)
PEER, OWN = Address(2, 5432, bytes(16)), Address(2, 50_000, bytes(16))
ENDS = Ends(OWN, PEER, b"")
MS = 1_000_000


class Process:
    """An event loop and its workers; each step tells how long its thread has done what since its last one."""

    def __init__(self):
        self.moved, self.told = [], []
        self.flow = Flow(lambda event, owner: self.told.append((event, owner)), lambda *where: self.moved.append(where))
        self.now_ns = 1000 * MS
        self.last_ns = dict.fromkeys((LOOP, *WORKERS), self.now_ns)

    def step(self, kind, tid=LOOP, *, after_ms=0.1, since_ns=0, other=0, spent=None, **fields):
        """Let time pass, spent on the CPU or as `spent` says, and tell a step."""
        self.now_ns += int(after_ms * MS)
        booked = dict.fromkeys(BUCKETS, 0) | {"on_cpu": self.now_ns - self.last_ns[tid]}
        for bucket, ms in (spent or {}).items():
            booked[bucket] += int(ms * MS)
            booked["on_cpu"] -= int(ms * MS)
        self.last_ns[tid] = self.now_ns
        values = {"connection": 0, "request": 0, "bytes": 0, "ends": None} | fields
        event = StepEvent(
            at_ns=self.now_ns,
            pid=LOOP,
            tid=tid,
            step=kind,
            since_ns=since_ns,
            other=other,
            booked_ns=(*booked.values(), 0, 0),
            **values,
        )
        return self.flow.take(event)

    def reads(self, request, *, arrived_ms=0.0, kind=1, **more):
        """Take in a request whose first byte came so long ago."""
        since_ns = self.now_ns + int(more.get("after_ms", 0.1) * MS) - int(arrived_ms * MS)
        return self.step(steps.READ, request=request, connection=request, since_ns=since_ns, other=kind, **more)

    def answers(self, request, tid=LOOP, **more):
        """Send a response, and return the request's ledger in milliseconds, without the empty buckets."""
        self.step(steps.ANSWERED, tid, request=request, connection=request, **more)
        return self.ledger(request)

    def ledger(self, request):
        """Return where the time of a request went, in milliseconds."""
        way = self.flow.way(request)
        way.book()
        booked = zip(BUCKETS, way.booked_ns, strict=False)
        return {bucket: round(ns / MS, 3) for bucket, ns in booked if ns}

    def idles(self, for_ms=10.0, woken_ms=0.0, since_ns=None):
        """Wait for events, since an earlier moment or for so long, and run again so long after one came."""
        if since_ns is None:
            since_ns = self.now_ns
            self.now_ns += int((for_ms - woken_ms) * MS)
        woken_ns = self.now_ns
        self.last_ns[LOOP] += self.now_ns + int(woken_ms * MS) - since_ns
        self.step(steps.IDLED, after_ms=woken_ms, since_ns=since_ns, other=woken_ns)
        self.last_ns[LOOP] = woken_ns

    def hands(self, worker):
        """Give work to a worker that rests; return since when it has it, and whose it is."""
        if worker in self.flow._lanes:
            self.step(steps.RESTED, worker)
        owner = self.step(steps.HANDED, other=worker)
        self.last_ns[worker] = self.now_ns
        assert self.step(steps.TOOK, worker, after_ms=0, since_ns=self.now_ns, other=self.now_ns) == owner
        return self.now_ns, owner

    def notified(self, worker, since_ns, **more):
        """Let a worker be done, for which the loop has waited since then."""
        self.step(steps.NOTIFIED, worker, **more)
        self.idles(since_ns=since_ns)
        self.step(steps.NOTICED)


@pytest.fixture(name="process")
def process_of_one_loop():
    process = Process()
    process.reads(1)
    process.answers(1)
    process.idles()
    return process


def test_what_waits_while_another_blocks_the_loop_has_that_for_its_keeper(process):
    process.reads(2)
    process.answers(2, after_ms=60, spent={"sleep": 59})
    process.reads(3, arrived_ms=50)
    assert process.answers(3, after_ms=1) == {"loop": pytest.approx(50, abs=0.2), "on_cpu": 1}
    ((keeper, held_ns),) = process.flow.way(3).keepers.items()
    assert (keeper.id, held_ns) == (2, pytest.approx(49.9 * MS, abs=0.2 * MS))
    assert process.ledger(2)["sleep"] == 59


def test_a_loop_without_a_cpu_keeps_nobody(process):
    process.reads(2)
    process.answers(2, after_ms=60, spent={"run_queue": 60})
    process.reads(3, arrived_ms=50)
    assert process.answers(3)["run_queue"] == pytest.approx(50, abs=0.2)
    assert not process.flow.way(3).keepers


def test_an_answer_is_waited_for_until_it_can_be_read_and_then_the_loop(process):
    process.reads(2)
    assert process.step(steps.SENT, connection=7, ends=ENDS) == 2
    process.idles(20)
    process.reads(3)
    answered_ns = process.now_ns
    process.answers(3, after_ms=30)
    assert process.step(steps.RECEIVED, connection=7, ends=ENDS, since_ns=answered_ns) == 2
    ledger = process.answers(2)
    assert ledger["calls"] == pytest.approx(20.1, abs=0.2)
    assert ledger["loop"] == pytest.approx(30, abs=0.2)
    assert process.flow.way(2).peers == {PEER: [pytest.approx(20.1 * MS, abs=0.2 * MS), 1]}


def test_a_worker_does_what_it_was_woken_for(process):
    process.reads(2)
    since_ns, owner = process.hands(WORKERS[0])
    assert owner == 2
    process.notified(WORKERS[0], since_ns, after_ms=25, spent={"sleep": 20})
    ledger = process.answers(2)
    assert (ledger["sleep"], ledger["on_cpu"]) == (20, pytest.approx(5.4, abs=0.2))


def test_a_job_is_not_for_one_that_has_answered(process):
    """Its worker's word, and its answer before that, are still in the loop's order when the next job is handed over."""
    process.reads(2, kind=2)
    process.hands(WORKERS[0])
    process.answers(2, WORKERS[0], after_ms=5)
    process.reads(3, kind=3)
    assert process.hands(WORKERS[1])[1] == 3


def test_what_a_worker_does_is_told_for_whom_it_answers(process):
    """Its loop handed it over with two requests at hand, and the other one's kind is known to have such work done."""
    for number in range(12):
        process.reads(500 + number, kind=2)
        process.hands(WORKERS[0])
        process.answers(500 + number, WORKERS[0])
        process.idles()
    process.told.clear()
    process.reads(2, kind=2)
    process.reads(3, kind=3)
    assert process.hands(WORKERS[0])[1] == 2
    assert process.step(steps.SENT, WORKERS[0], connection=7, ends=ENDS) is None
    process.flow.hold(WORKERS[0], process.now_ns, "a call")
    process.answers(3, WORKERS[0], after_ms=5)
    assert process.told == [("a call", 3)]


def test_a_worker_that_was_woken_for_what_another_took_waits_for_nobody_until_it_finds_work(process):
    process.reads(2)
    since_ns, _ = process.hands(WORKERS[0])
    process.answers(2)
    process.idles(8)
    process.reads(3)
    spent = {"gil": (process.now_ns - since_ns) / MS, "sleep": 20}
    ledger = process.answers(3, WORKERS[0], after_ms=21, spent=spent)
    assert (ledger["sleep"], ledger["on_cpu"]) == (20, pytest.approx(1, abs=0.2))


def test_what_waits_behind_another_job_is_queued(process):
    """The second job wakes nobody: its worker is busy, and takes it when the first is done."""
    process.reads(2)
    process.hands(WORKERS[0])
    process.reads(3)
    process.notified(WORKERS[0], process.now_ns, after_ms=40, spent={"sleep": 40})
    process.answers(2)
    process.notified(WORKERS[0], process.now_ns, after_ms=40, spent={"sleep": 39})
    ledger = process.answers(3)
    assert ledger["queue"] == pytest.approx(40, abs=0.5)
    assert ledger["sleep"] == pytest.approx(39, abs=0.5)


def used_to_hand(process):
    """Let requests of a kind hand over work, and no others be under way."""
    for number in range(4):
        worker = WORKERS[number % 2]
        process.reads(500 + number)
        process.notified(worker, process.hands(worker)[0], after_ms=5, spent={"sleep": 4})
        process.answers(500 + number)
        process.step(steps.RESTED, worker)
        process.idles()


def chained(process, worker, other):
    """Let a worker wake another one that rests, for what else is in their queue."""
    process.step(steps.HANDED, worker, other=other, after_ms=0.01)
    process.last_ns[other] = process.now_ns
    process.step(steps.TOOK, other, after_ms=0, since_ns=process.now_ns, other=process.now_ns)


def hands_two(process):
    """Let two requests hand over work at once; return since when."""
    used_to_hand(process)
    process.reads(2)
    process.reads(3)
    since_ns, _ = process.hands(WORKERS[0])
    chained(process, *WORKERS)
    return since_ns


def test_a_worker_that_another_one_woke_does_the_next_job(process):
    """Two were put in a queue before the first worker ran: it wakes the second, as CPython's SimpleQueue does."""
    since_ns = hands_two(process)
    process.step(steps.RESTED, WORKERS[0], after_ms=40, spent={"sleep": 40})
    process.step(steps.RESTED, WORKERS[1], after_ms=0.1, spent={"sleep": 40})
    process.idles(since_ns=since_ns)
    process.step(steps.NOTICED)
    for request in (2, 3):
        ledger = process.answers(request)
        assert ledger["sleep"] == pytest.approx(40, abs=0.5)
        assert ledger.get("queue", 0) == pytest.approx(0, abs=0.5)


def test_one_that_was_woken_for_what_another_took_has_no_job(process):
    """A worker that was done just then took it; who was woken for it finds nothing, and waits again."""
    used_to_hand(process)
    process.reads(2)
    since_ns, _ = process.hands(WORKERS[0])
    process.step(steps.NOTIFIED, WORKERS[1], after_ms=0.01)  # done with what was before, and takes the next at once
    process.step(steps.RESTED, WORKERS[0], after_ms=0.01)
    process.step(steps.NOTIFIED, WORKERS[1], after_ms=40, spent={"sleep": 40})
    process.idles(since_ns=since_ns)
    process.step(steps.NOTICED)
    ledger = process.answers(2)
    assert ledger["sleep"] == pytest.approx(40, abs=0.5)


def test_a_loop_may_go_on_before_its_worker_has_told_it(process):
    """It finds in its own list that the job is done, while the worker waits for a CPU to wake it."""
    used_to_hand(process)
    process.reads(2)
    since_ns, _ = process.hands(WORKERS[0])
    process.now_ns += 40 * MS
    process.idles(since_ns=since_ns)
    process.step(steps.ANSWERED, request=2, connection=2)
    process.step(steps.NOTIFIED, WORKERS[0], after_ms=3, spent={"sleep": 40, "run_queue": 3})
    ledger = process.ledger(2)
    assert ledger["sleep"] == pytest.approx(37, abs=1)  # the last 3 ms in proportion
    assert ledger.get("other", 0) == 0


def test_a_loop_that_something_else_has_woken_waits_for_its_worker(process):
    """A timer ends its wait while the worker has the interpreter: nobody has to wake it when the job is done."""
    used_to_hand(process)
    process.reads(2)
    process.hands(WORKERS[0])
    process.idles(30)
    process.step(steps.RESTED, WORKERS[0], after_ms=5, spent={"sleep": 35})
    ledger = process.answers(2, after_ms=0.5, spent={"gil": 5})
    assert ledger["sleep"] == pytest.approx(35, abs=0.5)


def test_jobs_are_told_in_another_order_than_the_loop_goes_on(process):
    since_ns = hands_two(process)
    process.step(steps.NOTIFIED, WORKERS[1], after_ms=40, spent={"sleep": 40})
    process.step(steps.NOTIFIED, WORKERS[0], after_ms=0.1, spent={"sleep": 40})
    process.idles(since_ns=since_ns)
    process.step(steps.NOTICED)
    assert process.answers(2)["sleep"] == pytest.approx(40, abs=0.5)
    assert process.answers(3)["sleep"] == pytest.approx(40, abs=0.5)


def test_what_a_turn_without_a_trace_did_is_not_waited_for_until_the_next(process):
    """It began to wait when those that stood behind it in the loop's order acted."""
    process.reads(2)
    process.reads(3)
    process.answers(3)
    process.idles(50)
    process.reads(4)
    process.answers(4, after_ms=30)
    process.reads(5)
    ledger = process.answers(2)
    assert ledger["other"] == pytest.approx(50, abs=1)
    assert ledger["loop"] == pytest.approx(30, abs=1)


def test_of_two_workers_the_first_to_run_has_the_first_task_and_a_lock_in_the_other_goes_on(process):
    """Both wait for the lock of a third; each answers the request that the other one was woken for."""
    first, second = WORKERS
    process.reads(2)
    process.reads(3)
    process.hands(first)
    process.hands(second)
    for worker in WORKERS:
        process.step(steps.RESTED, worker)
    waited_since_ns = process.now_ns
    process.now_ns += 50 * MS
    for worker, request in ((second, 2), (first, 3)):
        process.last_ns[worker] = process.now_ns
        process.step(steps.TOOK, worker, after_ms=0, since_ns=process.now_ns, other=waited_since_ns)
        process.answers(request, worker)
    for request in (2, 3):
        ledger = process.ledger(request)
        assert ledger["lock"] == pytest.approx(50, abs=0.5)
        assert ledger.get("queue", 0) == pytest.approx(0, abs=0.5)


def test_whom_a_worker_served_at_a_moment_shows_when_it_answers(process):
    worker, _ = WORKERS
    process.step(steps.FOUND, request=2, connection=2)
    process.step(steps.TOOK, worker, since_ns=process.now_ns, other=process.now_ns)
    process.now_ns += 20 * MS
    released = process.flow.job_at(worker, process.now_ns)
    assert released.request is None
    process.answers(2, worker, after_ms=5)
    assert released.request == 2
    process.step(steps.RESTED, worker)
    process.step(steps.TOOK, worker, since_ns=process.now_ns, other=process.now_ns)
    assert process.flow.job_at(worker, process.now_ns).request is None  # it may be another's
    assert process.flow.job_at(worker, process.now_ns - 100 * MS) is None
    assert process.flow.job_at(LOOP, process.now_ns) is None


def test_whom_a_worker_serves_is_not_told_where_it_is_guessed(process):
    process.reads(2)
    process.reads(3)
    _, owner = process.hands(WORKERS[0])
    job = process.flow.job_at(WORKERS[0], process.now_ns)
    assert (job.owner.id, job.request) == (owner, None)
    process.step(steps.NOTIFIED, WORKERS[0])
    assert job.request is None


def test_for_whom_a_job_of_the_only_request_is_known_at_once(process):
    process.reads(2)
    process.hands(WORKERS[0])
    assert process.flow.job_at(WORKERS[0], process.now_ns).request == 2


def test_jobs_that_are_told_by_one_word_were_queued_behind_the_first(process):
    """uvloop joins wake-ups: the worker has done three jobs when the loop looks, and told it of the first."""
    for number in range(4):
        process.reads(500 + number)
        process.notified(WORKERS[0], process.hands(WORKERS[0])[0])
        process.answers(500 + number)
        process.idles()
    process.reads(2)
    since_ns, _ = process.hands(WORKERS[0])
    process.reads(3)
    process.reads(4, kind=2)
    process.step(steps.NOTIFIED, WORKERS[0], after_ms=60, spent={"sleep": 60})
    process.step(steps.RESTED, WORKERS[0])
    process.idles(since_ns=since_ns + MS)
    process.answers(2)
    assert process.answers(3)["queue"] == pytest.approx(60, abs=2)
    assert process.answers(4)["other"] == pytest.approx(60, abs=2)  # its kind has no work done by workers


def test_a_worker_that_was_never_idle_is_followed_from_its_first_answer_on(process):
    """Of what it answers first nobody has seen the beginning; what it takes next had waited until then."""
    worker = WORKERS[0]
    process.reads(2)
    process.reads(3)
    process.last_ns[worker] = process.now_ns + 40 * MS  # nothing is known of what it did until its answer
    process.answers(2, worker, after_ms=40)
    assert not process.flow.way(2).is_whole
    ledger = process.answers(3, worker, after_ms=30, spent={"sleep": 29})
    assert process.flow.way(3).is_whole
    assert ledger["queue"] == pytest.approx(40, abs=0.5)
    assert (ledger["sleep"], ledger["on_cpu"]) == (29, pytest.approx(1, abs=0.2))


def test_a_timer_that_ends_the_loops_wait_was_slept_for_and_what_else_resumes_is_not_known(process):
    process.reads(2)
    process.idles(30)
    assert process.answers(2)["sleep"] == pytest.approx(30, abs=0.2)
    process.reads(3)
    process.idles(30)
    process.reads(4)
    process.answers(4, after_ms=5)
    ledger = process.answers(3)
    assert ledger["other"] == pytest.approx(30, abs=0.2)
    assert ledger["loop"] == pytest.approx(5, abs=0.2)


def test_events_of_a_stretch_are_told_for_whom_it_was(process):
    process.reads(2)
    process.flow.hold(LOOP, process.now_ns + 1, "a wait")
    process.answers(2, after_ms=5)
    assert process.told == [("a wait", 2)]


def test_what_was_under_way_when_steps_were_lost_is_not_whole(process):
    process.reads(2)
    process.flow.doubt()
    process.reads(3)
    assert [process.flow.way(id_).is_whole for id_ in (2, 3)] == [False, True]


def test_threads_that_come_and_go_are_not_kept(process):
    for tid in range(1000, 1400):
        process.reads(tid)
        process.step(steps.HANDED, other=tid)
        process.last_ns[tid] = process.now_ns
        process.step(steps.TOOK, tid, since_ns=process.now_ns)
        process.step(steps.RESTED, tid)
        process.answers(tid)
        process.flow.forget(tid)
    process.now_ns += 2 * FORGET_NS
    process.last_ns[LOOP] = process.now_ns
    process.reads(2)
    process.flow.forget_all_but({2})
    assert len(process.flow._lanes) == 1
    assert not process.flow._workers._handed


def test_a_lane_forgets_what_is_long_past_and_claims_nothing_of_it():
    lane = Lane(LOOP, LOOP, 0)
    for number in range(1, MAX_STRETCHES + 2):
        lane.close(number * MS, None, MS // 2)
    end_ns = (MAX_STRETCHES + 1) * MS
    kept_ms = MAX_STRETCHES // 2 + 1
    assert lane.busy_ns(0, end_ns) == (kept_ms * MS, kept_ms * MS // 2)
    assert lane.busy_ns(end_ns - 10 * MS, end_ns) == (10 * MS, 5 * MS)
    assert lane.busy_ns(0, MS) == (0, 0)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["read", "answer", "idle", "hand", "SENT", "RECEIVED", "CONNECTING", "NOTIFIED", "RESTED"]),
        st.integers(2, 6),
        st.floats(0.001, 30),
    ),
    max_size=60,
)


def act_out(process, told, known, busy):
    """Tell one step of a process, if it can come; `known`: the requests that were read, `busy`: workers."""
    act, number, ms = told
    worker = WORKERS[number % 2]
    if act == "read":
        process.reads(number, after_ms=ms, arrived_ms=ms / 2)
        known.add(number)
    elif act == "answer" and number in known:
        process.answers(number, after_ms=ms)
    elif act == "idle":
        process.idles(ms, ms / 10)
    elif act == "hand":
        process.hands(worker)
        busy.add(worker)
    elif act in {"NOTIFIED", "RESTED"} and worker in busy:
        process.step(getattr(steps, act), worker, after_ms=ms)
    elif act in {"SENT", "RECEIVED", "CONNECTING"}:
        process.step(getattr(steps, act), connection=10 + number, ends=ENDS, after_ms=ms, since_ns=process.now_ns)


@given(ACTS)
def test_whatever_comes_a_ledger_adds_up(acts):
    """Each request's figures are those between its first byte and its last answer; nothing is booked twice."""
    process, known, busy = Process(), set(), set()
    for told in acts:
        act_out(process, told, known, busy)
    for way in map(process.flow.way, known):
        booked_ns = sum(way.booked_ns[: len(BUCKETS)])
        assert booked_ns == pytest.approx(way.booked_until_ns - way.began_ns, abs=1000)
        assert way.booked_until_ns <= process.now_ns
        assert all(ns >= 0 for ns in (*way.booked_ns, *way.so_far(process.now_ns, None).booked_ns))
