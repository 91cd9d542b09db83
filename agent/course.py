"""The course of a request: its latency as steps in order of time, each with what it was, where in the code and on whom.

Waits of 1 ms or more were recorded one by one: each is a step, and so is each run between them. What the ledger has
besides is told as sums: calls that were shorter by what they asked, other short waits by their bucket, and what is
unaccounted. So the steps add up to the ledger, bucket by bucket and in all. What ran on a CPU is known as a sum only:
each run has its part of it by its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator import doings
from perfwatch.agent.correlator.booked import within_total
from perfwatch.agent.correlator.calling import divide
from perfwatch.agent.course_step import Step, Stretch, between, length, without
from perfwatch.agent.course_words import Speaker
from perfwatch.agent.model import arrival_of, resumed_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.calling import Slice
    from perfwatch.agent.model import Bucket, Call, OpenRequest, PeerProcess, Request, Wait

_MAX_WAITS: Final = 1_000
_NOTABLE_NS: Final = 50_000


def course_of(request: Request, peers: Sequence[PeerProcess] = ()) -> tuple[Step, ...]:
    """Return the steps of a finished request, sums at the end; costs 10 us for each wait and each call.

    `peers`: the processes of this host that are known to be called.
    """
    course = _Course(request, Speaker(request, peers))
    known = [step for step in (*course.timed(), *course.short_calls(), *course.runs()) if step.spent_ns > 0]
    return (*sorted(known, key=lambda step: step.begin_ns), *course.sums())


def course_of_open(request: OpenRequest, state_ns: int) -> tuple[Step, ...]:
    """Return the steps of a request that has not ended: its queue wait, what came then, its state for so long."""
    came_ns = arrival_of(request)
    began, since = request.started_ns - came_ns, max(request.state_since_ns - came_ns, 0)
    what = " ".join(part for part in (request.call, request.detail) if part)
    whom = f"of {request.peer}" if request.peer else ""
    state = Step(request.state, state_ns, ((since, since + state_ns),), f"{what} still".strip(), "", whom)
    queued = Step("queue", began, ((0, began),), "until a thread read it")
    ran = Step("on_cpu", since - began, ((began, since),), "and waits, so far")
    return (*(step for step in (queued, ran) if step.spent_ns > 0), state)


class _Asked:
    """Time that was spent on calls which asked the same of the same."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self.spent_ns = sum(one.spent_ns for one in slices)
        self.calls = tuple({id(one.call): one.call for one in slices if one.call is not None}.values())


class _Course:
    """One request while its ledger is given to its steps: no bucket can be overdrawn."""

    def __init__(self, request: Request, speaker: Speaker) -> None:
        self._record, self._speaker = request.record, speaker
        self._total_ns = max(request.ledger.total_ns, 0)
        self._since_ns = request.record.ended_ns - self._total_ns
        self._left = within_total(request.ledger)
        self._unaccounted_ns = self._total_ns - sum(self._left.values())
        slices = divide(request.record, self._left["calls"])
        self._slices = _by_wait(slices)
        self._waited = {id(one.call) for one in slices if one.wait is not None}
        self._pieces = list(self._cut())
        self._gaps = between([stretch for stretch, *_ in self._pieces], self._total_ns)
        self._open: list[Stretch] = []
        """Stretches that are not wholly of the bucket that they are told as."""
        self._calling: list[Stretch] = []
        """When short calls were under way."""

    def timed(self) -> Iterator[Step]:
        """Yield the queue and the waits that were told one by one; those for calls by what was asked."""
        for stretch, bucket, wait in self._pieces[: 2 * _MAX_WAITS]:
            spent_ns = self._take(bucket, length(stretch))
            if length(stretch) - spent_ns > _NOTABLE_NS:
                self._open.append(stretch)
            if wait is None:
                yield Step(bucket, spent_ns, (stretch,), "until a thread read it")
            elif bucket == "run_queue":
                yield Step(bucket, spent_ns, (stretch,), *self._speaker.awaited_cpu(wait))
            else:
                groups = self._groups(wait) if bucket == "calls" else []
                known_ns = sum(group.spent_ns for group in groups)
                for group in groups:
                    is_all = len(groups) == 1 and spent_ns - known_ns < _NOTABLE_NS
                    part_ns = spent_ns if is_all else min(group.spent_ns, spent_ns)
                    spent_ns -= part_ns
                    yield self._called(group, part_ns, stretch, wait)
                yield Step(bucket, spent_ns, (stretch,), *self._speaker.waited_for(wait))

    def short_calls(self) -> Iterator[Step]:
        """Yield the calls that were too short to be told as waits: those that asked the same as one step.

        What a call that was waited for spent in short ones besides is of the sums.
        """
        for group in self._groups(None):
            spent_ns = self._take("calls", group.spent_ns)
            stretches = tuple(part for call in group.calls for gap in self._gaps for part in self._within(call, gap))
            self._calling += stretches
            yield Step("calls", spent_ns, stretches, *self._speaker.asked_for(group.calls[0]), count=len(group.calls))

    def _groups(self, wait: Wait | None) -> list[_Asked]:
        """Return what of a wait was for which calls, of None what was in short ones; by what they asked."""
        alike: dict[tuple[str | None, str], list[Slice]] = {}
        for one in self._slices.get(None if wait is None else id(wait), ()):
            if one.call is not None and (wait is not None or id(one.call) not in self._waited):
                alike.setdefault((one.call.operation, one.call.peer), []).append(one)
        return [_Asked(slices) for slices in alike.values()]

    def _called(self, group: _Asked, spent_ns: int, stretch: Stretch, wait: Wait) -> Step:
        """Return the step of calls that a wait was for."""
        parts = tuple(part for call in group.calls for part in self._within(call, stretch))
        told = self._speaker.waited_for(wait, group.calls[0])
        return Step("calls", spent_ns, parts or (stretch,), *told, count=len(group.calls))

    def runs(self) -> Iterator[Step]:
        """Yield the time on a CPU, by the gaps between the waits, after the short calls."""
        free = [parts for gap in self._gaps if (parts := without(gap, self._calling))] or [(gap,) for gap in self._gaps]
        on_cpu_ns, whole_ns, so_far_ns, given_ns = self._left["on_cpu"], sum(map(doings.length, free)), 0, 0
        for parts in free:
            so_far_ns += doings.length(parts)
            spent_ns = on_cpu_ns * so_far_ns // whole_ns - given_ns if whole_ns else 0
            given_ns += self._take("on_cpu", spent_ns)
            yield Step("on_cpu", spent_ns, parts, *self._speaker.ran_in(self._since_ns, parts))

    def sums(self) -> Iterator[Step]:
        """Yield what is left: it lies anywhere in the gaps, and where a wait was not all of one kind."""
        lost = self._record.waits_lost
        what = "not told one by one" if self._open else "in waits below 1 ms"
        what += f", and {lost} that were not delivered" if lost else ""
        where = tuple(sorted((*self._gaps, *self._open)))
        for bucket, left_ns in self._left.items():
            if left_ns > 0:
                yield Step(bucket, left_ns, where, "" if bucket == "on_cpu" else what, is_sum=True)
        if self._unaccounted_ns > 0:
            yield Step(None, self._unaccounted_ns, where, is_sum=True)

    def _cut(self) -> Iterator[tuple[Stretch, Bucket, Wait | None]]:
        """Yield the stretches that are told one by one, none over another."""
        at_ns = 0
        for from_ns, until_ns, bucket, wait in self._told():
            begin, end = max(from_ns - self._since_ns, at_ns), min(until_ns - self._since_ns, self._total_ns)
            if begin < end:
                yield (begin, end), bucket, wait
                at_ns = end

    def _told(self) -> Iterator[tuple[int, int, Bucket, Wait | None]]:
        waits = self._record.waits
        # A loop that was busy with others when it came in: that wait begins before anybody read of it.
        read_ns = min((self._record.started_ns, *(wait.started_ns for wait in waits[:1])))
        yield arrival_of(self._record), read_ns, "queue", None
        for wait in waits:
            woken_ns = wait.started_ns + wait.blocked_ns
            yield wait.started_ns, woken_ns, wait.bucket, wait
            yield woken_ns, resumed_at(wait), "run_queue", wait

    def _within(self, call: Call, stretch: Stretch) -> list[Stretch]:
        return doings.within((stretch,), call.started_ns - self._since_ns, call.ended_ns - self._since_ns)

    def _take(self, bucket: Bucket, spent_ns: int) -> int:
        taken = min(spent_ns, self._left[bucket])
        self._left[bucket] -= taken
        return taken


def _by_wait(slices: Iterable[Slice]) -> dict[int | None, list[Slice]]:
    """Return what each wait was for, by its identity; under None what was in short ones."""
    found: dict[int | None, list[Slice]] = {}
    for one in slices:
        found.setdefault(None if one.wait is None else id(one.wait), []).append(one)
    return found
