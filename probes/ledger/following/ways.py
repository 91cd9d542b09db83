"""One request that is followed: where its time goes, booked stretch by stretch.

Its time is cut at its own stretches, in loops and workers. What lies between two of them is a gap: it waited for what
came (an answer, a worker, more of its own bytes), and from then on for its turn.
"""

from __future__ import annotations

from copy import copy as copied
from operator import add
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.probes.ledger.following.jobs import FIGURES, NOTHING, RUN_QUEUE, Job
from perfwatch.probes.records import BUCKETS, Bucket

if TYPE_CHECKING:
    from perfwatch.probes.ledger.addresses import Address
    from perfwatch.probes.ledger.following.habits import Act
    from perfwatch.probes.ledger.following.lanes import Lane

LONG_WAIT_NS: Final = 1_000_000
MAX_GAPS: Final = 512
MAX_PIECES: Final = 256
"""Of a long answer; what is booked is not changed any more."""
_PLACE: Final = {bucket: place for place, bucket in enumerate(BUCKETS)}
_LOOP: Final = _PLACE["loop"]
_TELLING_NS: Final = 1_000_000
_NOBODYS_NS: Final = 500_000  # less of the loop's time is not asked for its owners


class Came(msgspec.Struct, frozen=True):
    """Something came for a request."""

    at_ns: int
    bucket: Bucket
    """What waiting for it is booked to: `calls`, `receive`."""
    peer: Address | None = None
    job: Job | None = None
    connection: int = 0
    """On which it came; 0: on its own, or from a worker."""
    certain: bool = True
    """It can have been for no other."""
    asked_ns: int = 0
    """When what was answered was asked: before that, nobody waited for it."""


def of_job(job: Job) -> Came:
    """Make what comes of a worker's job, at its end."""
    return Came(job.done_ns or job.started_ns, "other", None, job, 0, job.certain)


def _resumes(came: Came) -> bool:
    return came.job is not None or came.bucket == "calls"


def _explains(came: Came, started_ns: int, ended_ns: int) -> bool:
    """Whether it explains a stretch: a loop that was woken by another thing may be up before its worker is done."""
    return came.at_ns <= started_ns or (
        came.job is not None and came.job.started_ns <= started_ns < came.at_ns <= ended_ns
    )


class Gap(msgspec.Struct, frozen=True):
    """A wait of at least 1 ms between two of its stretches."""

    started_ns: int
    ended_ns: int
    bucket: Bucket
    peer: Address | None
    keeper: Way | None
    """`loop`: whose stretches took most of it."""
    lane: Lane
    is_told: bool
    """What it was for was seen. Else its coroutine waited for something that cannot be seen from outside."""


class Piece(msgspec.Struct, frozen=True):
    """One own stretch, and why it could begin."""

    started_ns: int
    ended_ns: int
    booked_ns: tuple[int, ...]
    came: tuple[Came, ...]
    lane: Lane
    polled_ns: int
    """Since when its loop can have known that it was ready, at most."""
    woken_ns: int | None
    calling: tuple[Address | None, ...]
    """Who had not answered it when it ended: one of them."""
    turned_ns: int = 0
    """When it had had a turn of its loop before, which left no trace; 0: it had none that is known of."""

    @property
    def begun_ns(self) -> int:
        """When it began for its request; until then a loop that was woken early waits for that one's worker."""
        return max([self.started_ns, *(one.at_ns for one in self.came)]) if self.came else self.started_ns

    @property
    def is_suspended(self) -> bool:
        """Whether its coroutine had waited for something that cannot be seen from outside."""
        return not self.came or (self.turned_ns > 0 and not any(map(_resumes, self.came)))


class SoFar(NamedTuple):
    """How things stand with a request that has not ended."""

    booked_ns: tuple[int, ...]
    state: Bucket
    since_ns: int
    peer: Address | None


class Way:
    """A request, from its first byte to the last of its answer."""

    __slots__ = (
        "_answered",
        "_pieces",
        "answered_by",
        "answered_ns",
        "began_ns",
        "booked_ns",
        "booked_until_ns",
        "calling",
        "came",
        "connection",
        "done",
        "found_ns",
        "gaps",
        "id",
        "is_seen",
        "is_whole",
        "job",
        "keepers",
        "kind",
        "lane",
        "line",
        "peers",
        "turned_ns",
    )

    def __init__(self, id_: int, connection: int, arrived_ns: int, lane: Lane, kind: int) -> None:
        self.id = id_
        self.kind = kind
        """Requests of the same method and path have the same."""
        self.connection = connection
        self.lane = lane
        self.line: tuple[str | None, str | None] | None = None
        """Method and path, once they were told."""
        self.is_whole = True
        """No step of it was lost."""
        self.is_seen = False
        """It was seen to wait for an answer."""
        self.answered_ns = 0
        """When it answered last."""
        self.answered_by: int | None = None
        """The worker that answered it; None: its loop did, or nobody yet."""
        self.found_ns = 0
        """When it was read by a thread that does nothing for it; 0: it was not."""
        self.began_ns = self.booked_until_ns = arrived_ns
        self.booked_ns = [0] * FIGURES
        self.peers: dict[Address, list[int]] = {}
        """(ns, waits)"""
        self.keepers: dict[Way | None, int] = {}
        self.gaps: list[Gap] = []
        self.came: list[Came] = []
        self.done: dict[Act, int] = {}
        """How often it acted so."""
        self.job: Job | None = None
        """That a worker does for it now."""
        self.turned_ns = 0
        """When it had had its turn, of which there is no trace; 0: it has left one since."""
        self.calling: dict[int, Address | None] = {}
        """Connections on which it waits for an answer."""
        self._pieces: list[Piece] = []
        self._answered = 0  # so many of them belong to it: what came since its last answer does only if more is sent

    @property
    def is_suspended(self) -> bool:
        """Whether nothing that can be seen is under way for it, or came."""
        return not (self.calling or self.job or any(map(_resumes, self.came)))

    @property
    def has_answered(self) -> bool:
        """Whether at least a part of its answer was sent."""
        return self.answered_ns > 0

    def ran(self, started_ns: int, ended_ns: int, booked_ns: tuple[int, ...], lane: Lane) -> None:
        """Take in a stretch of its own."""
        came: tuple[Came, ...] = ()
        if self.came:
            came = tuple([one for one in self.came if _explains(one, started_ns, ended_ns)])
            if came:  # else all was told before its loop's wait has ended
                self.came = [one for one in self.came if not _explains(one, started_ns, ended_ns)]
        polled_ns, woken_ns = lane.polled_before_ns, lane.woken_ns
        turned_ns, self.turned_ns = self.turned_ns, 0
        self._pieces.append(
            Piece(started_ns, ended_ns, booked_ns, came, lane, polled_ns, woken_ns, self._called(), turned_ns)
        )

    def woke(self, at_ns: int) -> None:
        """Note that what came has woken its loop, if it did: who does so tells of it a little later."""
        self.came = [
            msgspec.structs.replace(one, at_ns=at_ns) if 0 < one.at_ns - at_ns <= _TELLING_NS else one
            for one in self.came
        ]

    def takes_back(self, job: Job) -> bool:
        """Undo that a job was done, unless the request has gone on already; whether it was undone."""
        came = next((one for one in self.came if one.job is job), None)
        if came is None:
            return False
        self.came.remove(came)
        self.job = job
        return True

    def answered(self, at_ns: int) -> None:
        """Take in that all so far belongs to the request."""
        self.answered_ns = at_ns
        self._answered = len(self._pieces)
        if self._answered >= MAX_PIECES:
            self.book()

    def was_done(self, job: Job) -> None:
        """Take in what its worker told only after its loop had gone on with it."""
        for place, piece in enumerate(self._pieces):
            if piece.started_ns > job.started_ns and not piece.came:
                came = msgspec.structs.replace(of_job(job), at_ns=piece.started_ns)
                self._pieces[place] = msgspec.structs.replace(piece, came=(came,))
                return

    def is_resumed(self, at_ns: int) -> bool:
        """Whether it has run without a break until then, since an answer or its worker's end came for it."""
        for piece in reversed(self._pieces):
            if piece.ended_ns != at_ns:
                return False
            if any(map(_resumes, piece.came)):
                return True
            at_ns = piece.started_ns
        return False

    def book(self) -> None:
        """Book all that belongs to the request."""
        for piece in self._pieces[: self._answered]:
            self._book(piece)
        del self._pieces[: self._answered]
        self._answered = 0

    def ended(self, at_ns: int) -> None:
        """Book all until its end, which was none of its own steps."""
        self.answered(at_ns)
        self.book()
        self._fill(at_ns, Piece(at_ns, at_ns, NOTHING, tuple(self.came), self.lane, at_ns, None, self._called()))

    def _called(self) -> tuple[Address | None, ...]:
        return (next(iter(self.calling.values())),) if self.calling else ()

    @property
    def thread(self) -> int | None:
        """The thread that works for it now, by what was told last; None: none does."""
        if self.job:
            return self.job.tid
        return self.lane.tid if self.lane.actor is self else None

    def so_far(self, now_ns: int, running_ns: tuple[int, ...] | None) -> SoFar:
        """Tell where its time went until now, and what it waits for.

        `running_ns` is what the thread that works for it did since its last step; None: none does.
        """
        copy = copied(self)
        copy.booked_ns, copy.came, copy.gaps = list(self.booked_ns), list(self.came), []
        copy.peers, copy.keepers = {}, {}
        copy._pieces = list(self._pieces)  # noqa: SLF001 - its own
        copy.answered(now_ns)
        copy.book()
        since_ns = copy.booked_until_ns
        lane = self.lane
        came = tuple(copy.came)
        if self.job and running_ns:
            came = (*came, Came(now_ns, "other", None, self.job.with_more(running_ns)))
        polled_ns, calling = lane.polled_before_ns, self._called()
        if running_ns and not self.job:
            copy._book(Piece(lane.told_ns, now_ns, running_ns, came, lane, polled_ns, None, calling))  # noqa: SLF001
        else:
            copy._fill(now_ns, Piece(now_ns, now_ns, NOTHING, came, lane, polled_ns, None, calling))  # noqa: SLF001
        state: Bucket = "calls" if self.calling else "loop" if self.came else "other"
        return SoFar(tuple(copy.booked_ns), state, since_ns, next(iter(self.calling.values()), None))

    def _book(self, piece: Piece) -> None:
        if piece.begun_ns > self.booked_until_ns:
            self._fill(piece.begun_ns, piece)
        late_ns = self.booked_until_ns - piece.started_ns  # beside other work of its own
        length = piece.ended_ns - piece.started_ns
        if late_ns >= length > 0:
            return
        booked_ns = piece.booked_ns
        if late_ns > 0:
            booked_ns = tuple(ns * (length - late_ns) // length for ns in booked_ns)
        self.booked_ns = list(map(add, self.booked_ns, booked_ns))
        self.booked_until_ns = max(self.booked_until_ns, piece.ended_ns)

    def _fill(self, until_ns: int, piece: Piece) -> None:
        """Book the gap before a piece."""
        for came in piece.came:
            if came.job:
                self._work(came.job, until_ns, piece)
            else:
                if came.asked_ns:
                    self._wait(min(came.asked_ns, came.at_ns, until_ns), "other", None, is_told=False)
                self._wait(min(came.at_ns, until_ns), came.bucket, came.peer)
        if piece.is_suspended:
            self._suspend(until_ns, piece)
        self._take_turn(until_ns, piece)

    def _suspend(self, until_ns: int, piece: Piece) -> None:
        """Book the time in which its coroutine waited, until its loop can have known that it was ready."""
        self._take_turn(min(piece.turned_ns, until_ns), piece)
        if piece.calling:
            self._wait(until_ns, "calls", piece.calling[0])
        elif piece.woken_ns is not None:
            self._wait(min(piece.woken_ns, until_ns), "sleep", None, is_told=False)
        else:
            self._wait(min(piece.polled_ns, until_ns), "other", None, is_told=False)

    def _wait(self, until_ns: int, bucket: Bucket, peer: Address | None, *, is_told: bool = True) -> None:
        since_ns = self.booked_until_ns
        length = until_ns - since_ns
        if length <= 0:
            return
        self.booked_ns[_PLACE[bucket]] += length
        self.booked_until_ns = until_ns
        if peer:
            told = self.peers.setdefault(peer, [0, 0])
            told[0] += length
            told[1] += 1
        if length >= LONG_WAIT_NS:
            self._keep(Gap(since_ns, until_ns, bucket, peer, None, self.lane, is_told))

    def _work(self, job: Job, until_ns: int, piece: Piece) -> None:
        """Book what a worker did for it, and before that the wait for the worker: `queue`, if none was idle."""
        if job.handed_ns:
            self._take_turn(min(job.handed_ns, until_ns), piece)
        else:
            self._wait(min(job.started_ns, until_ns), "queue", None)
        end_ns = min(job.done_ns or until_ns, until_ns)
        if end_ns <= self.booked_until_ns:
            return
        for place, ns in enumerate(job.part(self.booked_until_ns, end_ns)):
            self.booked_ns[place] += ns
        self.booked_until_ns = end_ns

    def _take_turn(self, until_ns: int, piece: Piece) -> None:
        """Book the rest of a gap, in which it could have run: others kept the loop.

        A loop that waits for events has nothing to do for it: then there was something else that it waited for.
        """
        since_ns, lane = self.booked_until_ns, piece.lane
        length = until_ns - since_ns
        if length <= 0:
            return
        busy_ns, queued_ns = lane.busy_ns(since_ns, until_ns)
        if busy_ns:
            busy_ns = min(busy_ns, length)
            queued_ns = min(queued_ns, busy_ns)
            self.booked_ns[_LOOP] += busy_ns - queued_ns
            self.booked_ns[RUN_QUEUE] += queued_ns  # a loop that has no CPU is nobody's fault
        idle_ns = length - busy_ns
        if idle_ns:
            unseen = self._unseen(piece)
            self.booked_ns[_PLACE[unseen]] += idle_ns
            if idle_ns >= LONG_WAIT_NS:
                self._keep(Gap(since_ns, since_ns + idle_ns, unseen, None, None, lane, is_told=False))
        self.booked_until_ns = until_ns
        if busy_ns - queued_ns < _NOBODYS_NS:
            return
        held: dict[Way | None, int] = {}
        for owner, ns in lane.keepers(since_ns, until_ns):
            if owner is self:  # beside what a worker did for it
                continue
            held[owner] = held.get(owner, 0) + ns
            self.keepers[owner] = self.keepers.get(owner, 0) + ns
        keeper = max(held, key=held.__getitem__, default=None)
        if length >= LONG_WAIT_NS:
            self._keep(Gap(since_ns, until_ns, "loop", None, keeper, lane, is_told=True))

    def _unseen(self, piece: Piece) -> Bucket:
        """Tell what it waits for while its loop idles."""
        if not any(self.booked_ns):
            return "queue"
        return "calls" if piece.calling else "other"

    def _keep(self, gap: Gap) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(gap)
