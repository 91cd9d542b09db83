"""Makes a request's record say what it waited for, where its stacks or its tasks know: before its ledger is read.

What was booked to `other` or `sleep` because a coroutine was suspended goes to the bucket of what its chain of awaits
says: `lock` for a pool, a permit, a signal or a lock, `queue` for a thread that is free, `sleep` for a timer. So does
what was booked to `calls` for an answer that was another's: who gave back a pooled connection had it from there.
Nothing is booked twice, and what no reading tells stays. A wait for what others give back is marked in its detail:
`pool: a permit`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.correlator.looks import NOBODY, Looks
from perfwatch.agent.correlator.permits import Awaited, awaited
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import BUCKETS, Bucket
from perfwatch.probes.frames import StackTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.permits import Kind
    from perfwatch.agent.correlator.tasks import Suspension, Tasks
    from perfwatch.agent.model import Frame, Mechanism, ServedRequest, Wait

SUSPENDED: Final = "suspended"
_MARK: Final = "pool: "
_BOOKED_TO: Final[dict[Kind, Bucket | None]] = {
    "pool": "lock",
    "permit": "lock",
    "room": "lock",
    "item": "lock",
    "signal": "lock",
    "lock": "lock",
    "worker": "queue",
    "job": None,
    "sleep": "sleep",
    "answer": "calls",
    "upload": "receive",
    "download": "send",
}
"""None: a thread does it, or it has not begun: nobody saw which."""
_MECHANISM: Final[dict[Bucket, Mechanism]] = {
    "lock": "lock",
    "queue": "queue",
    "sleep": "sleep",
    "calls": "dependency",
    "receive": "network",
    "send": "network",
}
_VAGUE: Final[frozenset[Kind]] = frozenset({"signal", "item"})
"""What a library may wait for whatever it does."""
_TURNS: Final = frozenset({"loop", "run_queue"})
_MAX_WAITS: Final = 512


def pooled(wait: Wait) -> str | None:
    """Return what a wait was for that others had and gave back (`a permit in order()`); None of any other wait."""
    is_marked = wait.bucket == "lock" and wait.detail is not None and wait.detail.startswith(_MARK)
    return wait.detail[len(_MARK) :] if is_marked and wait.detail else None


def is_suspended(wait: Wait) -> bool:
    """Whether nothing that was seen tells what its coroutine waited for: `other`, or `sleep` where a timer came."""
    return wait.detail == SUSPENDED and wait.bucket in ("other", "sleep")


class Refined(NamedTuple):
    """A record, and how its tasks were looked at."""

    record: ServedRequest
    looks: Looks


def refine(record: ServedRequest, tasks: Tasks) -> Refined:
    """Return the record with what is known of its waits; costs nothing where none is suspended or for a lock."""
    if not record.waits or not any(_may_say_more(record, wait) for wait in record.waits):
        return Refined(record, NOBODY)
    refining = _Refining(record, tasks)
    for wait in record.waits[:_MAX_WAITS]:
        refining.take(wait)
    return refining.made()


def _may_say_more(record: ServedRequest, wait: Wait) -> bool:
    return wait.bucket == "lock" or _may_be_read(record, wait)


def _may_be_read(record: ServedRequest, wait: Wait) -> bool:
    """Whether it may be a coroutine's, whose task says what it waited in; on its loop it waits for its turn."""
    return record.threads == "followed" and wait.stack is None and wait.call is None and wait.bucket not in _TURNS


class _Refining:
    """A record in the making."""

    def __init__(self, record: ServedRequest, tasks: Tasks) -> None:
        self._record = record
        self._tasks = tasks
        self._period_ns = tasks.period_ns(record.pid)
        self._stream = record.target or "" if record.protocol == "http/2" else None
        """Its path, where it shares its connection with others."""
        self._waits: list[Wait] = []
        self._booked = list(record.booked_ns)
        self._code = _Code(record.code)
        self._looks = NOBODY

    def take(self, wait: Wait) -> None:
        """Add a wait, as it is or as it turns out to be: several, where readings found one thing after another."""
        if not _may_be_read(self._record, wait):
            frames = self._record.code.stack(wait.stack)
            self._waits.append(self._marked(wait, awaited(frames) if wait.bucket == "lock" else None, frames))
            return
        span = Span(wait.started_ns, wait.started_ns + wait.blocked_ns)
        found = self._tasks.suspended(self._record.pid, self._record.remote, span, self._stream)
        if not found:
            wait = self._doubted(wait, span)
            self._waits.append(wait)
            if is_suspended(wait) and wait.blocked_ns > 0:
                self._looks = self._looks.plus(self._unseen(wait))
            return
        for part, suspension in _parts(wait, found):
            self._waits.append(self._known(part, suspension, wait.blocked_ns))

    def made(self) -> Refined:
        """Return the record."""
        waits = (*self._waits, *self._record.waits[_MAX_WAITS:])
        if waits == self._record.waits:
            return Refined(self._record, self._looks)
        code, booked_ns = self._code.table(), tuple(self._booked)
        record = msgspec.structs.replace(self._record, waits=waits, booked_ns=booked_ns, code=code)
        return Refined(record, self._looks)

    def _known(self, wait: Wait, suspension: Suspension, whole_ns: int) -> Wait:
        """Return a wait with what its coroutine was found in; `whole_ns` is how long it was suspended in all."""
        frames, known = suspension
        wait = msgspec.structs.replace(wait, stack=self._code.place(frames))
        if not is_suspended(wait):
            if wait.bucket == "calls" and known is not None and known.is_permit and not self._calls_in(wait):
                wait = self._moved(wait, "lock")
            return self._marked(wait, known, frames)
        is_known = known is not None and (known.by_own or known.kind not in _VAGUE)
        bucket = _BOOKED_TO[known.kind] if known is not None and is_known else None
        if bucket is not None:
            wait = self._marked(self._moved(wait, bucket), known, frames)
        mechanism = None if bucket is None else "pool" if pooled(wait) else _MECHANISM[bucket]
        missed_ns = max(self._period_ns - whole_ns, 0) * wait.blocked_ns // max(whole_ns, 1)
        self._looks = self._looks.plus(Looks(1, {mechanism: wait.blocked_ns}, {mechanism: missed_ns}))
        return wait

    def _calls_in(self, wait: Wait) -> bool:
        """Whether a call of its own was under way for half of a wait; else its answer was that of who had the pool."""
        end_ns = wait.started_ns + wait.blocked_ns
        calls = self._record.calls
        called_ns = sum(max(min(one.ended_ns, end_ns) - max(one.started_ns, wait.started_ns), 0) for one in calls)
        return 2 * called_ns >= wait.blocked_ns

    def _doubted(self, wait: Wait, span: Span) -> Wait:
        """Take a timer for a wait's end only where no stream like it on its connection waited for another thing."""
        if self._stream is None or wait.bucket != "sleep":
            return wait
        if not self._tasks.are_at_odds(self._record.pid, self._record.remote, span, self._stream):
            return wait
        return msgspec.structs.replace(self._moved(wait, "other"), detail=wait.detail)

    def _unseen(self, wait: Wait) -> Looks:
        """Return what is to be said of a wait in which nobody looked."""
        times: dict[Mechanism | None, int] = {"sleep" if wait.bucket == "sleep" else None: wait.blocked_ns}
        is_watched = self._tasks.is_watching(self._record.pid, wait.started_ns)
        return Looks(short_ns=times) if is_watched else Looks(unwatched_ns=times)

    def _marked(self, wait: Wait, known: Awaited | None, frames: Sequence[Frame]) -> Wait:
        """Return a wait marked as one for what others had, if it is."""
        if known is None or wait.bucket != "lock" or not _is_permit(self._record, wait, known):
            return wait
        return msgspec.structs.replace(wait, detail=_MARK + _named(known, frames))

    def _moved(self, wait: Wait, bucket: Bucket) -> Wait:
        """Book a wait to where it belongs, if all of it was booked."""
        before, after = BUCKETS.index(wait.bucket), BUCKETS.index(bucket)
        if not 0 <= wait.blocked_ns <= self._booked[before]:
            return wait
        self._booked[before] -= wait.blocked_ns
        self._booked[after] += wait.blocked_ns
        return msgspec.structs.replace(wait, bucket=bucket, detail=None)


class _Code:
    """A table of stacks that may grow."""

    def __init__(self, code: StackTable) -> None:
        self._code = code
        self._frames: dict[Frame, int] = {}
        self._added: dict[tuple[Frame, ...], int] = {}

    def place(self, frames: tuple[Frame, ...]) -> int:
        """Return the place of a stack, a new one for a new stack."""
        count = len(self._code.frames)
        for frame in frames:
            self._frames.setdefault(frame, count + len(self._frames))
        return self._added.setdefault(frames, len(self._code.stacks) + len(self._added))

    def table(self) -> StackTable:
        """Return it as it is now."""
        if not self._added:
            return self._code
        stacks = tuple(tuple(self._frames[frame] for frame in frames) for frames in self._added)
        return StackTable((*self._code.frames, *self._frames), (*self._code.stacks, *stacks))


def _parts(wait: Wait, found: Sequence[tuple[int, Suspension]]) -> Iterator[tuple[Wait, Suspension]]:
    """Cut a wait where readings found it in something else: half-way between the two."""
    from_ns, end_ns = wait.started_ns, wait.started_ns + wait.blocked_ns
    for (at_ns, suspension), (next_ns, following) in pairwise(found):
        if suspension != following:
            until_ns = (at_ns + next_ns) // 2
            yield _part(wait, from_ns, until_ns, runnable_ns=0), suspension
            from_ns = until_ns
    yield _part(wait, from_ns, end_ns, runnable_ns=wait.runnable_ns), found[-1][1]


def _part(wait: Wait, from_ns: int, until_ns: int, *, runnable_ns: int) -> Wait:
    return msgspec.structs.replace(wait, started_ns=from_ns, blocked_ns=until_ns - from_ns, runnable_ns=runnable_ns)


def _is_permit(record: ServedRequest, wait: Wait, known: Awaited) -> bool:
    """Whether others had what it waited for; an item of a queue only where another request put it there."""
    if known.kind != "item":
        return known.is_permit
    return wait.waker is not None and wait.waker.request not in (None, record.id)


def _named(known: Awaited, frames: Sequence[Frame]) -> str:
    """Name a pool; a permit by the function that waits for it, which tells it from others."""
    frame = None if known.kind == "pool" else telling(frames)
    return known.what if frame is None else f"{known.what} in {at(frame.function, frame.file, 0)}"
