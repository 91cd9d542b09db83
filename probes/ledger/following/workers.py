"""What worker threads do for requests: a loop hands them a job, and they tell it when they are done.

A job's owner is known at its start if nobody else can have given it. Else it is guessed (`owners.py`), and shows by who
answers or goes on when it is done: what belongs to it is told then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.following.jobs import NOTHING, Job
from perfwatch.probes.ledger.following.ways import of_job

if TYPE_CHECKING:
    from perfwatch.probes.ledger.following.held import Held
    from perfwatch.probes.ledger.following.lanes import Lane
    from perfwatch.probes.ledger.following.ways import Way
    from perfwatch.probes.ledger.step_events import StepEvent


MAX_UNANSWERED: Final = 64
LATE_NS: Final = 30_000_000
"""So late, at most, a worker that has lost its CPU wakes its loop, which may have found before that it is done."""
_USUALLY: Final = 4
EARLY_NS: Final = 1_000_000
"""A worker that answers is done with one request so long after its answer, at most, before it turns to the next."""


class Handed(NamedTuple):
    """A thread was woken, maybe with work for it."""

    owner: Way | None
    lane: Lane
    at_ns: int
    is_certain: bool


class Workers:
    """The jobs of all worker threads."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._handed: dict[int, Handed] = {}
        self._unanswered: deque[tuple[int, int, int]] = deque(maxlen=MAX_UNANSWERED)

    def forget(self, tid: int) -> None:
        """Let go of a thread."""
        self._handed.pop(tid, None)

    def hand(self, handed: Handed, tid: int) -> None:
        """Take in that a thread was woken that slept; it was woken once, and runs once."""
        self._handed.setdefault(tid, handed)

    def go_on(self, lane: Lane, handed: Handed) -> None:
        """Take in that a thread was woken before it slept: in the midst of a job for a lock, else for a new one."""
        if lane.job is None or lane.job.is_over:
            lane.is_worker = True
            _start(lane, handed, handed.at_ns)

    def begin(self, lane: Lane, step: StepEvent) -> Way | None:
        """Take in that a thread runs which was woken: with a job, or it had waited for another worker's lock."""
        if step.bytes:
            return self._take_next(lane, step)
        handed = self._handed.pop(step.tid, None)
        lane.is_worker = True
        if lane.given_by:
            lane.given_by.rested.pop(lane.tid, None)
        if handed is None or handed.lane.is_worker:
            lane.given_by = lane.given_by or (handed.lane.given_by if handed else None)
            return _woken_by_another(lane, step)
        if lane.job and not lane.job.is_over:
            lane.job.add(step.booked_ns)
            self._finish(lane, lane.job, step.other)
        owner = _start(lane, handed, step.at_ns)
        if lane.job:
            lane.job.ran_ns = step.at_ns
        return owner

    def notify(self, lane: Lane, step: StepEvent) -> Way | None:
        """Take in that a worker tells its loop: the job is done."""
        job = _work(lane)
        job.add(step.booked_ns)
        if job.owner is None and job.handed_ns and job.did_nothing:  # it was kept from telling what it did before
            _in_vain(lane, job, step)
            return None
        if lane.given_by:
            lane.given_by.told_jobs += 1
        return self._done(lane, job, step)

    def _done(self, lane: Lane, job: Job, step: StepEvent) -> Way | None:
        self._held.give(job)
        self._finish(lane, job, step.at_ns)
        lane.told_ns = step.at_ns
        return job.owner

    def rest(self, lane: Lane, step: StepEvent) -> Way | None:
        """Take a worker's job for done: some servers tell their loop so in ways that cannot be seen."""
        if lane.given_by:
            lane.given_by.rested[lane.tid] = step.at_ns
        was_over = lane.job is None or lane.job.is_over
        job = _work(lane)
        job.rested_ns = step.at_ns
        job.add(step.booked_ns)
        if (was_over or job.handed_ns) and job.did_nothing:
            _in_vain(lane, job, step)
            return None
        if lane.given_by:
            lane.given_by.untold_jobs += 1
        return self._done(lane, job, step)

    def answer(self, lane: Lane, way: Way, step: StepEvent) -> None:
        """Settle that a worker's job was for the request that it answers itself; it goes on."""
        job = _work(lane)
        if way.found_ns and not way.has_answered and self._is_another(way, job):
            way.is_whole = False
        if job.owner and job.owner.job is job:
            job.owner.job = None
        job.owner, way.answered_by = way, lane.tid
        job.add(step.booked_ns)
        job.done_ns = step.at_ns
        job.begin_at(way.began_ns)
        self._held.give(job)
        self._finish(lane, job, step.at_ns)
        way.ran(step.at_ns, step.at_ns, NOTHING, lane)
        lane.take_up(Job(lane.tid, None if step.other & steps.IS_ALL else way, None, step.at_ns, certain=True))
        lane.told_ns = step.at_ns

    def act(self, lane: Lane, step: StepEvent) -> Way | None:
        """Take a step that a worker makes for the job that it has; tells for whom, if that is certain already."""
        job = _work(lane)
        job.add(step.booked_ns)
        lane.told_ns = step.at_ns
        return job.owner if job.certain else None

    def leave(self, way: Way, at_ns: int) -> None:
        """Take in that a request which waited for a worker has ended, and one may still have it."""
        self._unanswered.append((way.lane.pid, way.found_ns, at_ns))

    def _is_another(self, way: Way, job: Job) -> bool:
        """Whether what a worker took up before it answers a request may have been another, which showed nowhere."""
        if job.started_ns < way.found_ns - EARLY_NS:
            return True
        return any(
            pid == way.lane.pid and found_ns <= way.found_ns and ended_ns > job.started_ns
            for pid, found_ns, ended_ns in self._unanswered
        )

    def _take_next(self, lane: Lane, step: StepEvent) -> Way | None:
        """Begin what a worker does that has waited for a request to answer."""
        lane.is_worker = True
        lane.take_up(Job(lane.tid, None, None, step.since_ns, certain=False))
        lane.told_ns = step.since_ns
        self._held.forget(lane.tid)
        return None

    def _finish(self, lane: Lane, job: Job, at_ns: int) -> None:
        job.done_ns = at_ns
        if lane.given_by:
            lane.given_by.freed_ns = at_ns
        way = job.owner
        if way and way.answered_ns > job.started_ns:  # it was over before that was seen
            if way.job is job:
                way.job = None
            way = job.owner = None
        if way is None and (late := _late(lane.given_by, job, at_ns)):
            job.owner = late
            late.was_done(job)
            self._held.tell_job(job, late.id)
            return
        if way:
            way.came.append(of_job(job))
            if way.job is job:
                way.job = None
            self._held.tell_job(job, way.id)
        if lane.given_by:
            lane.given_by.expect(way or job)


def _start(lane: Lane, handed: Handed, at_ns: int) -> Way | None:
    """Begin a job that a loop has handed over."""
    lane.given_by = handed.lane
    job = Job(lane.tid, handed.owner, handed.at_ns, handed.at_ns, certain=handed.is_certain)
    lane.take_up(job)
    lane.told_ns = at_ns
    if handed.owner:
        handed.owner.job = job
    return handed.owner


def _in_vain(lane: Lane, job: Job, step: StepEvent) -> None:
    """Take in that a worker found nothing to do."""
    job.let_go()
    lane.told_ns = step.at_ns


def _late(lane: Lane | None, job: Job, at_ns: int) -> Way | None:
    """Find who has answered already, and waited for this job."""
    if lane is None:
        return None
    for way in lane.wanting:
        if way.answered_ns > job.started_ns and at_ns - way.answered_ns < LATE_NS and job.lies_in(way.began_ns):
            lane.wanting.remove(way)
            return way
    return None


def _is_taken_back(job: Job) -> bool:
    """Whether its owner has not gone on, or not with it."""
    return job.owner is not None and (job.owner.takes_back(job) or _was_swapped(job))


def _is_untold(lane: Lane, job: Job) -> bool:
    """Undo that a job was done that nobody has, where workers usually tell their loop; whether it was undone."""
    loop = lane.given_by
    if loop is None or job not in loop.ready or loop.told_jobs <= _USUALLY * loop.untold_jobs:
        return False
    loop.ready.remove(job)
    return True


def _was_swapped(job: Job) -> bool:
    """Whether another worker answered a job's owner: of two that were woken the first to run took the first task.

    Then this one has a job that goes on, and whose shows at its end.
    """
    if job.owner is None or job.owner.answered_by in (None, job.tid):
        return False
    job.owner = None
    return True


def _woken_by_another(lane: Lane, step: StepEvent) -> Way | None:
    """Go on with a worker that another one woke: it waited for a lock in its job, or for the next in their queue."""
    job = lane.job
    if job and job.lent:
        if job.take_back():
            job.go_on(step.booked_ns, step.other, step.since_ns)
        else:
            job = None
    elif job and job.rested_ns and (_is_untold(lane, job) or _is_taken_back(job)):
        job.go_on(step.booked_ns, step.other, step.since_ns)
    if job is None or job.is_over:  # an idle one is woken for what comes next in their queue
        since_ns = step.since_ns or step.at_ns
        job = Job(lane.tid, None, since_ns, since_ns, certain=False)
        lane.take_up(job)
    lane.told_ns = step.at_ns
    return job.owner


def _work(lane: Lane) -> Job:
    """Return the job that a worker does; one that it took by itself began when the last was done."""
    if lane.job is None or lane.job.is_over:
        return lane.take_up(Job(lane.tid, None, None, lane.told_ns, certain=False))
    return lane.job
