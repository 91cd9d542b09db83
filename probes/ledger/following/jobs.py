"""What a worker thread does for a request: from the wake-up by its event loop until it tells that loop."""

from __future__ import annotations

from copy import copy as copied
from operator import add
from typing import TYPE_CHECKING

from perfwatch.probes.records import BUCKETS

if TYPE_CHECKING:
    from perfwatch.probes.ledger.following.ways import Way

FIGURES = 16
"""`BUCKETS`, then the quota's part of `run_queue`, and the collector's of `on_cpu`."""
NOTHING = (0,) * FIGURES
RUN_QUEUE = BUCKETS.index("run_queue")
_LOCK, _GIL = BUCKETS.index("lock"), BUCKETS.index("gil")
_IN_VAIN = (_LOCK, _GIL, RUN_QUEUE)
VAIN_NS = 100_000
"""A thread that was woken for work that another one took has run less, when it waits again."""


class Job:
    """One piece of work in a worker thread."""

    __slots__ = (
        "booked_ns",
        "certain",
        "done_ns",
        "handed_ns",
        "held",
        "is_vain",
        "lent",
        "owner",
        "ran_ns",
        "rested_ns",
        "started_ns",
        "tid",
    )

    def __init__(self, tid: int, owner: Way | None, handed_ns: int | None, started_ns: int, *, certain: bool) -> None:
        self.tid = tid
        self.owner = owner
        """None: a worker took it from its queue by itself, and for whom shows when it is done."""
        self.handed_ns = handed_ns
        """When an idle worker was woken for it; None: it had waited until a worker was free."""
        self.started_ns = self.ran_ns = started_ns
        """When its thread was there for it, and had a CPU."""
        self.done_ns: int | None = None
        self.rested_ns: int | None = None
        """When its thread waited for a lock last: was that for its next job, this one was done then."""
        self.booked_ns = [0] * FIGURES
        self.is_vain = False
        """Its thread found nothing to do: another one was faster."""
        self.lent: Way | None = None
        """Whose it was until its thread found nothing to do; it may have waited for a lock of its code."""
        self.certain = certain
        """Nobody else than the owner could have given it."""
        self.held: list[object] = []
        """Events of its time, to be told when its owner is known."""

    def add(self, booked_ns: tuple[int, ...]) -> None:
        """Book what its thread did since the last step."""
        self.booked_ns = list(map(add, self.booked_ns, booked_ns))

    @property
    def is_over(self) -> bool:
        """Whether it was done, or nothing was found to do."""
        return self.done_ns is not None or self.is_vain

    @property
    def request(self) -> int | None:
        """For which request it is, by its id, if that is known for sure by now: it was given to it, or answered it."""
        way = self.owner
        if way is None:
            return None
        if self.done_ns is None:
            return way.id if self.certain and self.handed_ns is not None else None
        return way.id if self.certain or way.answered_by == self.tid else None

    @property
    def did_nothing(self) -> bool:
        """Whether its thread has done hardly more than to wait for a CPU, the interpreter, and a lock."""
        return sum(self.booked_ns[:-2]) - sum(self.booked_ns[place] for place in _IN_VAIN) < VAIN_NS

    def lies_in(self, since_ns: int) -> bool:
        """Whether most of it was after a moment, when it was done."""
        done_ns = self.done_ns or self.started_ns
        return 2 * (done_ns - max(self.started_ns, since_ns)) >= done_ns - self.started_ns

    def let_go(self) -> None:
        """Take in that its thread found nothing to do: another one was faster."""
        self.is_vain = True
        if self.owner:
            if self.owner.job is self:
                self.owner.job = None
            self.lent, self.owner = self.owner, None

    def take_back(self) -> bool:
        """Undo that nothing was found to do, if nobody else does it; whether it was undone."""
        way, self.lent = self.lent, None
        self.is_vain = False
        if way is None or not way.is_suspended or way.has_answered:
            return False
        self.owner, way.job = way, self
        return True

    def go_on(self, booked_ns: tuple[int, ...], since_ns: int, until_ns: int) -> None:
        """Take in that it was not done, but waited for a lock."""
        self.add(booked_ns)
        self.booked_ns[_LOCK] += until_ns - since_ns
        self.rested_ns = self.done_ns = None

    def begin_at(self, at_ns: int) -> None:
        """Leave out what lies before: its thread was woken for a job that another one took, and found this one.

        Until it found that, it waited: for a CPU, then for the interpreter to go on, and hardly did anything.
        """
        whole_ns = (self.done_ns or at_ns) - self.started_ns
        left_ns = before_ns = at_ns - self.started_ns
        if not 0 < before_ns < whole_ns:
            return
        for place, most_ns in ((RUN_QUEUE, self.ran_ns - self.started_ns), (_GIL, left_ns), (RUN_QUEUE, left_ns)):
            waited_ns = min(left_ns, max(most_ns, 0), self.booked_ns[place])
            self.booked_ns[place] -= waited_ns
            left_ns -= waited_ns
        kept_ns = whole_ns - before_ns
        self.booked_ns = [ns * kept_ns // (kept_ns + left_ns) for ns in self.booked_ns]
        self.started_ns, self.handed_ns = at_ns, None

    def with_more(self, booked_ns: tuple[int, ...]) -> Job:
        """Return a copy of a job that goes on, with what its thread did since its last step."""
        more = copied(self)
        more.add(booked_ns)
        return more

    def part(self, since_ns: int, until_ns: int) -> list[int]:
        """Return what of its time lies in between, each bucket in proportion."""
        done_ns = self.done_ns or until_ns
        whole, part = done_ns - self.started_ns, min(until_ns, done_ns) - max(since_ns, self.started_ns)
        if part <= 0 or whole <= 0:
            return [0] * FIGURES
        return self.booked_ns if part == whole else [ns * part // whole for ns in self.booked_ns]
