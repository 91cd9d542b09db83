"""A thread that serves several requests: its time, cut into stretches, each of one owner."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.ledger.step_events import LONG_NS

if TYPE_CHECKING:
    from perfwatch.probes.ledger.following.jobs import Job
    from perfwatch.probes.ledger.following.ways import Came, Way

MAX_STRETCHES: Final = 20_000
RECENT: Final = 64
"""Of so many it is looked first whether a moment lies in one: most do, and the others are in no cache."""
MAX_READY: Final = 1024
MAX_PASSED: Final = 256
MAX_CAUSES: Final = 2
MAX_JOBS: Final = 8


class Kept(NamedTuple):
    """A long stretch of a loop."""

    started_ns: int
    ended_ns: int
    owner: Way | None
    ran: float
    """How much of it the loop had a CPU, or waited for something else: 0..1."""


class Lane:
    """One thread, as far as its steps tell; times are CLOCK_MONOTONIC nanoseconds."""

    def __init__(self, pid: int, tid: int, at_ns: int) -> None:
        self.pid = pid
        self.tid = tid
        self.told_ns = at_ns
        """All before was told."""
        self.reads = False
        """Its last step took what had come: a loop does that for all at once, at the beginning of a turn."""
        self.polled_ns = self.polled_before_ns = at_ns
        """When it looked for events last, and the time before that: what runs now became ready in the turn between."""
        self.woken_ns: int | None = None
        """When the wait that ended last was ended; None once something said why."""
        self.wakes = False
        """It has waited for events, and nothing of what it does since was told."""
        self.actor: Way | None = None
        """Who runs now, as far as is known."""
        self.has_answered = False
        """The last step was an answer."""
        self.ready: deque[Way | Job] = deque()
        """What something came for and who has not acted since, in the order in which it came: a loop's own order. A job
        stands for whoever waits for it."""
        self.passed: deque[Way] = deque(maxlen=MAX_PASSED)
        """Who had his turn and left no trace: it may still come, some turns of the loop later."""
        self.unclaimed: deque[Came] = deque(maxlen=MAX_PASSED)
        """Answers of which it is not known for whom they came, since the loop was idle."""
        self.open: dict[int, Way] = {}
        """Requests that have not answered, by id."""
        self.causes: tuple[Way | Job, ...] = ()
        """Whom something came for since the loop was idle, the first two: if it is one, all that is done is for it."""
        self.freed_ns = 0
        """When a worker of this loop was done with a job last; 0: the loop has had its turn since."""
        self.rested: dict[int, int] = {}
        """Workers of this loop that wait for work, and since when."""
        self.told_jobs = self.untold_jobs = 0
        """How many of its workers' jobs ended with a word to it, and how many only with the worker's rest."""
        self.wanting: deque[Way] = deque(maxlen=MAX_PASSED)
        """Who answered while its worker had not told yet that its work was done: its loop may be faster than that."""
        self.is_worker = False
        self.job: Job | None = None
        """Of a worker: what it does."""
        self._jobs: deque[Job] = deque(maxlen=MAX_JOBS)
        self.given_by: Lane | None = None
        """Of a worker: the loop that woke it last."""
        self._ends: list[int] = []
        self._sums: list[tuple[int, int]] = []  # to the end of each: how long it was busy, and without a CPU of that
        self._busy_sum_ns = self._queued_sum_ns = 0
        self._before = (0, 0)  # the same, until the first that is remembered
        self._long: list[Kept] = []

    def take_up(self, job: Job) -> Job:
        """Let a worker have its next job."""
        self.job = job
        self._jobs.append(job)
        return job

    def job_at(self, at_ns: int) -> Job | None:
        """Return what a worker did at a moment, not long ago."""
        job = next((job for job in reversed(self._jobs) if job.started_ns <= at_ns), None)
        return job if job and at_ns <= (job.done_ns or at_ns) else None

    def close(self, until_ns: int, owner: Way | None, queued_ns: int) -> None:
        """End the stretch that began when the last one was told; for `queued_ns` of it, it had no CPU."""
        length = until_ns - self.told_ns
        if length <= 0:
            return
        self._busy_sum_ns += length
        if queued_ns:
            self._queued_sum_ns += min(length, queued_ns)
        self._ends.append(until_ns)
        self._sums.append((self._busy_sum_ns, self._queued_sum_ns))
        if length - queued_ns >= LONG_NS:
            self._long.append(Kept(self.told_ns, until_ns, owner, 1 - queued_ns / length))
        self.told_ns = until_ns
        if len(self._ends) > MAX_STRETCHES:
            self._drop_half()

    def _drop_half(self) -> None:
        half = MAX_STRETCHES // 2
        self._before = self._sums[half - 1]
        del self._ends[:half], self._sums[:half]
        self._long = [kept for kept in self._long if kept.ended_ns > self._ends[0]]

    def busy_ns(self, since_ns: int, until_ns: int) -> tuple[int, int]:
        """Tell how long it was busy in between, and without a CPU for how much of that; by ended stretches."""
        ends = self._ends
        if not ends or since_ns >= ends[-1]:
            return 0, 0
        recent = len(ends) - RECENT
        first = bisect_right(ends, since_ns, recent if recent > 0 and ends[recent] <= since_ns else 0)
        ran_before, queued_before = self._until(since_ns, first)
        if until_ns >= ends[-1]:
            return self._busy_sum_ns - ran_before, self._queued_sum_ns - queued_before
        ran, queued = self._until(until_ns, bisect_right(ends, until_ns, first))
        return ran - ran_before, queued - queued_before

    def keepers(self, since_ns: int, until_ns: int) -> list[tuple[Way | None, int]]:
        """Tell whose the long stretches in between were, and how much of each lies there."""
        found = []
        for kept in reversed(self._long):
            if kept.ended_ns <= since_ns:
                break
            held_ns = min(kept.ended_ns, until_ns) - max(kept.started_ns, since_ns)
            if held_ns > 0:
                found.append((kept.owner, int(held_ns * kept.ran)))
        return found

    def expect(self, one: Way | Job) -> None:
        """Note that something came for a request: it will run when its turn comes."""
        if len(self.causes) < MAX_CAUSES and one not in self.causes:
            self.causes = (*self.causes, one)
        if one not in self.ready and len(self.ready) < MAX_READY:
            self.ready.append(one)
        if one in self.passed:
            self.passed.remove(one)  # type: ignore[arg-type]  # a job is in none

    def had_turn(self, way: Way, at_ns: int) -> None:
        """Note that a request has had its turn, of which nothing was seen."""
        way.turned_ns = at_ns
        self.passed.append(way)

    def _until(self, at_ns: int, place: int) -> tuple[int, int]:
        """Tell how long it was busy, from the first stretch that is known until then, and how long without a CPU.

        `place` is that of the first stretch which ends later.
        """
        busy_ns, queued_ns = self._sums[place]
        before = self._sums[place - 1] if place else self._before
        length = busy_ns - before[0]
        inside = at_ns - self._ends[place] + length
        if inside <= 0:
            return before
        queued_ns -= before[1]
        return before[0] + inside, before[1] + (queued_ns * inside // length if queued_ns else 0)
