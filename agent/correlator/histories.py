"""What each thread of the target does and did: the last minute, or a window; a cell for each reading of /proc.

A cell divides the time between two readings: on a CPU and runnable as the scheduler counts it; of the rest the waits of
the requests that the thread served, as the ledger booked them; and what then is left is what its stacks between the two
say, if it ran meanwhile, else what the second reading found it doing. That is one look at the end of a second: what it
found within a request is no word on the time without one, which is told by the look before. A request is told when it
is over, and corrects the cells that it lies in.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.lines import line_before
from perfwatch.agent.correlator.rates import grown, part
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.thread_past import ThreadPast
from perfwatch.agent.correlator.thread_state import blocked_in, doing_of
from perfwatch.agent.model_threads import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.code import Code, Sighting
    from perfwatch.agent.correlator.context import Traffic
    from perfwatch.agent.model import Frame, OpenRequest, ServedRequest
    from perfwatch.agent.model_threads import Bucket, Doing
    from perfwatch.probes.records import InFlight
    from perfwatch.probes.samples import ThreadsSample, ThreadState

KEPT: Final = 60
"""Cells of a thread."""
MAX_THREADS: Final = 1024
"""In all; as many as the probe reads."""
_LATELY_NS: Final = 10_000_000_000
MINUTE_NS: Final = 60_000_000_000
_PER_PROCESS: Final = 256
_MAX_WAITS: Final = 512
_AWAKE: Final = frozenset({"on_cpu", "run_queue", "gil", "disk", "fault"})
"""What a thread that serves requests does between them, other than waiting for the next."""


class Cell:
    """The time between two readings of a thread."""

    __slots__ = ("_told", "from_ns", "is_inside", "ran_ns", "rest", "until_ns", "waited_ns", "waits")

    def __init__(self, from_ns: int, until_ns: int, rest: Doing | None, counted: tuple[int | None, int | None]) -> None:
        """`rest` is what the second reading found, `counted` what it ran, and what it could have run."""
        self.from_ns, self.until_ns, self.rest = from_ns, until_ns, rest
        self.ran_ns, self.waited_ns = counted
        self.waits: dict[Bucket, int] = {}
        self.is_inside = False
        """The second reading fell into a request."""
        self._told: Stretch | None = None

    def book(self, bucket: Bucket, from_ns: int, until_ns: int) -> None:
        """Take in a wait, as far as it lies here."""
        within_ns = min(until_ns, self.until_ns) - max(from_ns, self.from_ns)
        if within_ns > 0:
            self.waits[bucket] = self.waits.get(bucket, 0) + within_ns
            self._told = None

    def inside(self, from_ns: int, rest: Doing | None) -> None:
        """Take in that the reading fell into a request that began then, and what the thread did before that."""
        self.is_inside = True
        if self.from_ns < from_ns:
            self.rest, self._told = rest, None

    @property
    def told(self) -> Stretch:
        """For how long it did what."""
        if self._told is None:
            spent = sorted(self._spent().items(), key=lambda one: -one[1])
            self._told = Stretch(self.from_ns, self.until_ns, tuple([one for one in spent if one[1] > 0]))
        return self._told

    def _spent(self) -> dict[Doing | None, int]:
        left_ns = self.until_ns - self.from_ns
        counted: list[tuple[Doing, int]] = [("on_cpu", self.ran_ns or 0), ("run_queue", self.waited_ns or 0)]
        spent: dict[Doing | None, int] = {}
        for doing, ns in (*counted, *self.waits.items()):
            spent[doing] = min(ns, left_ns)
            left_ns -= spent[doing]
        spent[self.rest] = spent.get(self.rest, 0) + left_ns
        return spent


class History:
    """One thread."""

    __slots__ = (
        "_ahead",
        "_kept",
        "_past",
        "_served",
        "_used",
        "_whole",
        "at_ns",
        "cells",
        "doing",
        "pid",
        "since_ns",
        "state",
    )

    def __init__(self, pid: int, state: ThreadState, at_ns: int, doing: Doing | None, *, whole: bool = False) -> None:
        """`whole`: more than the last minute is kept."""
        self._whole = ThreadPast() if whole else None
        self.pid, self.state, self.at_ns, self.doing = pid, state, at_ns, doing
        self.since_ns: int | None = None
        self.cells: deque[Cell] = deque(maxlen=KEPT)
        self._ahead: deque[tuple[Bucket, int, int]] = deque(maxlen=_MAX_WAITS)
        """Waits that end after the last reading."""
        self._kept: deque[tuple[int, int]] = deque(maxlen=_MAX_WAITS)
        """(when it gave the lock up, for how long a request had waited for that)"""
        self._served: tuple[int, int] | None = None
        """The last request: its id, and until when it was told."""
        self._past: tuple[Stretch, ...] | None = None
        self._used: tuple[float | None, float | None] | None = None

    def read(
        self, state: ThreadState, at_ns: int, doing: Doing | None, blocked: Doing | None, *, is_inside: bool
    ) -> None:
        """Take in a reading, and what the thread was blocked on before it, by its stacks, if it ran in between."""
        before, from_ns = self.state, self.at_ns
        ran_ns = grown(before.run_ns, state.run_ns)
        if self._served is not None and not is_inside:
            doing, blocked = _without_a_request(doing), _without_a_request(blocked)
        stayed = doing == self.doing and ran_ns == 0 and doing != "on_cpu"
        self.since_ns = (from_ns if self.since_ns is None else self.since_ns) if stayed else None
        cell = Cell(from_ns, at_ns, blocked or doing, (ran_ns, grown(before.wait_ns, state.wait_ns)))
        cell.is_inside = is_inside
        for wait in self._ahead:
            cell.book(*wait)
        while self._ahead and self._ahead[0][2] <= at_ns:
            self._ahead.popleft()
        if self._whole is not None:
            self._whole.count(at_ns - from_ns, cell.ran_ns, cell.waited_ns)
            if len(self.cells) == KEPT:
                self._whole.add(self.cells[0].told)
        self.cells.append(cell)
        self.state, self.at_ns, self.doing = state, at_ns, doing
        self._past = self._used = None

    def keeps(self, until_ns: int, kept_ns: int) -> None:
        """Take in that a request waited for a lock of this thread."""
        self._kept.append((until_ns, kept_ns))

    def kept(self, now_ns: int) -> tuple[int, int]:
        """Return how many did so in the last minute, or all the while, and for how long."""
        while self._whole is None and self._kept and self._kept[0][0] < now_ns - MINUTE_NS:
            self._kept.popleft()
        return len(self._kept), sum(ns for _, ns in self._kept)

    def served(self, record: ServedRequest) -> None:
        """Take in a request that it served from its begin to its end; of one that is corrected what is new."""
        from_ns = record.started_ns
        if self._served is not None and self._served[0] == record.id:
            from_ns = self._served[1]
        self._served, self._past = (record.id, record.ended_ns), None
        for wait in record.waits[-_MAX_WAITS:]:
            if wait.blocked_ns > 0 and wait.started_ns >= from_ns:
                self._wait(wait.bucket, wait.started_ns, wait.started_ns + wait.blocked_ns)
        before = (one.rest for one in reversed(self.cells) if one.until_ns < record.started_ns and not one.is_inside)
        for cell in self._cells_since(record.started_ns):
            if cell.until_ns <= record.ended_ns:
                cell.inside(record.started_ns, next(before, None) or "idle")

    def _wait(self, bucket: Bucket, from_ns: int, until_ns: int) -> None:
        for cell in self._cells_since(from_ns):
            cell.book(bucket, from_ns, until_ns)
        if until_ns > self.at_ns:
            self._ahead.append((bucket, from_ns, until_ns))

    def _cells_since(self, from_ns: int) -> Iterator[Cell]:
        for cell in reversed(self.cells):
            if cell.until_ns < from_ns:
                return
            yield cell

    @property
    def past(self) -> tuple[Stretch, ...]:
        """The cells, as they are told; made anew only where one has changed."""
        if self._past is None:
            earlier = () if self._whole is None else self._whole.told
            self._past = (*earlier, *[cell.told for cell in self.cells])
        return self._past

    @property
    def used(self) -> tuple[float | None, float | None]:
        """The shares of its last 10 s, or of all, in which it ran, and could have; None where that is not counted."""
        if self._used is None and self._whole is not None:
            ran_ns, waited_ns, lived_ns = self._whole.ran_ns, self._whole.waited_ns, self._whole.lived_ns
            self._used = (part(ran_ns, lived_ns), part(waited_ns, lived_ns)) if lived_ns else (None, None)
        if self._used is None:
            lately = [cell for cell in self._cells_since(self.at_ns - _LATELY_NS) if cell.ran_ns is not None]
            lived_ns = sum(cell.until_ns - cell.from_ns for cell in lately)
            ran_ns, waited_ns = (sum(cell.ran_ns or 0 for cell in lately), sum(cell.waited_ns or 0 for cell in lately))
            self._used = (part(ran_ns, lived_ns), part(waited_ns, lived_ns)) if lived_ns else (None, None)
        return self._used


class Histories:
    """The threads that the newest reading of each process has."""

    def __init__(self, *, whole: bool = False) -> None:
        """`whole`: of each, more than the last minute is kept."""
        self._whole = whole
        self._of: dict[int, dict[int, History]] = {}
        self.open: dict[int, OpenRequest] = {}
        """By thread: the requests that threads of their own serve."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def all(self) -> Iterator[History]:
        """Yield them by process and number."""
        for pid in sorted(self._of):
            yield from self._of[pid].values()

    def sample(self, sample: ThreadsSample, code: Code) -> None:
        """Take in the threads of a process; costs 4 us each, and 0.1 ms for one that ran (its stacks are in `code`)."""
        before = self._of.pop(sample.pid, {})
        room = min(_PER_PROCESS, MAX_THREADS - len(self))
        self._of = {pid: kept for pid, kept in self._of.items() if _newest(kept) > sample.at_ns - _LATELY_NS}
        told = sorted(sample.threads[: max(room, 0)], key=lambda one: one.tid)
        if told:
            self._of[sample.pid] = {one.tid: self._read(before.get(one.tid), one, sample, code) for one in told}

    def _read(self, history: History | None, state: ThreadState, sample: ThreadsSample, code: Code) -> History:
        doing, at_ns = doing_of(state, code.stack_of(state.tid)), sample.at_ns
        if history is None or at_ns <= history.at_ns or (state.run_ns or 0) < (history.state.run_ns or 0):
            return History(sample.pid, state, at_ns, doing, whole=self._whole)
        ran = state.run_ns != history.state.run_ns
        blocked = blocked_in(_found(code.sightings(state.tid, Span(history.at_ns, at_ns)))) if ran else None
        history.read(state, at_ns, doing, blocked, is_inside=state.tid in self.open)
        return history

    def flying(self, record: InFlight) -> None:
        """Take in what is in flight now."""
        self.open = {one.tid: one for one in record.requests if one.threads == "one"}

    def served(self, record: ServedRequest, traffic: Traffic, *, is_new: bool) -> None:
        """Take in a request that has ended; costs 1 us, 1 us for each wait, and 5 us for one at a lock.

        `is_new`: it is no correction of one that was told before.
        """
        if is_new:
            self._blame(record, traffic)
        if record.threads != "one":
            return
        if (opened := self.open.get(record.tid)) is not None and opened.id == record.id:
            del self.open[record.tid]
        history = self._of.get(record.pid, {}).get(record.tid)
        if history is not None:
            history.served(record)

    def _blame(self, record: ServedRequest, traffic: Traffic) -> None:
        """Tell those who had the locks that it waited for."""
        for wait in [one for one in record.waits if one.bucket == "lock" and one.waker is not None][-_MAX_WAITS:]:
            for kept in line_before(record.code, wait, traffic):
                history = self._of.get(kept.holder.pid, {}).get(kept.holder.tid)
                if history is not None and kept.kept_ns > 0:
                    history.keeps(kept.until_ns, kept.kept_ns)


def _found(sightings: Sequence[Sighting]) -> Iterator[tuple[Sequence[Frame], int]]:
    """Yield the stacks of a thread that did not hold the interpreter lock, and how often each was found."""
    tables = {id(one.table): one.table for one in sightings}
    for (table, place), times in Counter((id(one.table), one.place) for one in sightings if not one.holds_gil).items():
        yield tables[table].stack(place), times


def _without_a_request(doing: Doing | None) -> Doing | None:
    """Return what a thread does that serves requests, and none at present."""
    return doing if doing is None or doing in _AWAKE else "idle"


def _newest(histories: dict[int, History]) -> int:
    return max((one.at_ns for one in histories.values()), default=0)
