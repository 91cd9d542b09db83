"""Makes a request's record say what it waited for, where its stacks or its tasks know: before its ledger is read.

What was booked to `other` or `sleep` because a coroutine was suspended goes to the bucket of what its chain of awaits
says: `lock` for a pool, a permit, a signal or a lock, `queue` for a job that no thread has begun, `sleep` for a timer.
Nothing is booked twice, and what no reading tells stays. A wait for what others give back is marked in its detail:
`pool: a permit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.permits import Awaited, awaited
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import BUCKETS, Bucket
from perfwatch.probes.frames import StackTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.permits import Kind
    from perfwatch.agent.correlator.tasks import Tasks
    from perfwatch.agent.model import Frame, ServedRequest, Wait

SUSPENDED: Final = "suspended"
_MARK: Final = "pool: "
_BOOKED_TO: Final[dict[Kind, Bucket]] = {
    "pool": "lock",
    "permit": "lock",
    "room": "lock",
    "item": "lock",
    "signal": "lock",
    "lock": "lock",
    "worker": "queue",
    "sleep": "sleep",
}
_MAX_WAITS: Final = 512


def pooled(wait: Wait) -> str | None:
    """Return what a wait was for that others had and gave back (`a permit in order()`); None of any other wait."""
    is_marked = wait.bucket == "lock" and wait.detail is not None and wait.detail.startswith(_MARK)
    return wait.detail[len(_MARK) :] if is_marked and wait.detail else None


def is_suspended(wait: Wait) -> bool:
    """Whether nothing that was seen tells what its coroutine waited for: `other`, or `sleep` where a timer came."""
    return wait.detail == SUSPENDED and wait.bucket in ("other", "sleep")


def refine(record: ServedRequest, tasks: Tasks) -> ServedRequest:
    """Return the record with what is known of its waits; costs nothing where none is suspended or for a lock."""
    if not any(_may_say_more(record, wait) for wait in record.waits):
        return record
    refining = _Refining(record)
    for wait in record.waits[:_MAX_WAITS]:
        refining.take(wait, tasks)
    return refining.made()


def _may_say_more(record: ServedRequest, wait: Wait) -> bool:
    return wait.bucket == "lock" or (record.threads == "followed" and wait.stack is None and wait.bucket != "loop")


class _Refining:
    """A record in the making."""

    def __init__(self, record: ServedRequest) -> None:
        self._record = record
        self._waits: list[Wait] = []
        self._booked = list(record.booked_ns)
        self._frames = {frame: place for place, frame in reversed([*enumerate(record.code.frames)])}
        self._all_frames = list(record.code.frames)
        self._stacks = list(record.code.stacks)
        self._added: dict[tuple[Frame, ...], int] = {}

    def take(self, wait: Wait, tasks: Tasks) -> None:
        """Add a wait, as it is or as it turns out to be."""
        record = self._record
        frames = record.code.stack(wait.stack)
        known = awaited(frames) if frames and wait.bucket == "lock" else None
        if not frames and record.threads == "followed" and wait.bucket != "loop":
            span = Span(wait.started_ns, wait.started_ns + wait.blocked_ns)
            found = tasks.suspended(record.pid, record.remote, span)
            if found is not None:
                frames, known = found
                wait = msgspec.structs.replace(wait, stack=self._place(frames))
        if known is not None and is_suspended(wait):
            wait = self._moved(wait, known.kind)
        if known is not None and wait.bucket == "lock" and _is_permit(record, wait, known):
            wait = msgspec.structs.replace(wait, detail=_MARK + _named(known, frames))
        self._waits.append(wait)

    def made(self) -> ServedRequest:
        """Return the record."""
        waits = (*self._waits, *self._record.waits[_MAX_WAITS:])
        code = StackTable(tuple(self._all_frames), tuple(self._stacks)) if self._added else self._record.code
        return msgspec.structs.replace(self._record, waits=waits, booked_ns=tuple(self._booked), code=code)

    def _moved(self, wait: Wait, kind: Kind) -> Wait:
        """Book a wait to where it belongs, if all of it was booked."""
        bucket, before = _BOOKED_TO[kind], BUCKETS.index(wait.bucket)
        if not 0 <= wait.blocked_ns <= self._booked[before]:
            return wait
        self._booked[before] -= wait.blocked_ns
        self._booked[BUCKETS.index(bucket)] += wait.blocked_ns
        return msgspec.structs.replace(wait, bucket=bucket, detail=None)

    def _place(self, frames: tuple[Frame, ...]) -> int:
        """Return the place of a stack in the table, a new one for a new stack."""
        if frames not in self._added:
            for frame in frames:
                if frame not in self._frames:
                    self._frames[frame] = len(self._all_frames)
                    self._all_frames.append(frame)
            self._added[frames] = len(self._stacks)
            self._stacks.append(tuple(self._frames[frame] for frame in frames))
        return self._added[frames]


def _is_permit(record: ServedRequest, wait: Wait, known: Awaited) -> bool:
    """Whether others had what it waited for; an item of a queue only where another request put it there."""
    if known.kind != "item":
        return known.is_permit
    return wait.waker is not None and wait.waker.request not in (None, record.id)


def _named(known: Awaited, frames: Sequence[Frame]) -> str:
    """Name a pool; a permit by the function that waits for it, which tells it from others."""
    frame = None if known.kind == "pool" else telling(frames)
    return known.what if frame is None else f"{known.what} in {at(frame.function, frame.file, 0)}"
