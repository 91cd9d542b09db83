"""Whose is each step? A request is followed through loops and workers by what is seen of it from outside.

A stretch of a loop's thread ends at a step. One that ends in an answer is that request's; one that ends in an act that
names nobody (a call on an idle connection, work for a worker) is the next one's in the loop's order: the oldest that
something came for and that has not acted since, and of several one of a kind that is known to act so. Else it is whose
it was when it began. Where a later step shows that an owner was wrong, what comes for it is handed to the right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.following.connections import Connection
from perfwatch.probes.ledger.following.habits import Act, Habits
from perfwatch.probes.ledger.following.held import Held
from perfwatch.probes.ledger.following.jobs import RUN_QUEUE, Job
from perfwatch.probes.ledger.following.lanes import Lane
from perfwatch.probes.ledger.following.owners import CALLS, Owners, acts_of
from perfwatch.probes.ledger.following.ways import Came, Way, of_job
from perfwatch.probes.ledger.following.witnesses import Witnesses, is_under_way
from perfwatch.probes.ledger.following.workers import Handed, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from perfwatch.probes.ledger.following.held import Sink
    from perfwatch.probes.ledger.step_events import StepEvent

_READS: Final = {steps.READ, steps.RECEIVED, steps.NOTICED}
_HANDS: Final[Act] = (steps.HANDED, None, None)
_AT_ONCE_NS: Final = 100_000
_HANDS_SOME: Final = 0.1
"""So often a request of a kind hands work over at least, if it may be that it waited for a worker."""
_SENDS: Final[Act] = (steps.SENT, None, None)
MAX_CONNECTIONS: Final = 4096
FORGET_NS: Final = 60_000_000_000


class Flow:
    """Follows the requests of all lanes that are watched."""

    def __init__(self, sink: Sink, moved: Callable[[int, int], None]) -> None:
        """Take with `moved` a connection whose call turned out to be another's, and the right owner's id."""
        self._held = Held(sink)
        self._workers = Workers(self._held)
        self._moved = moved
        self._lanes: dict[int, Lane] = {}
        self._ways: dict[int, Way] = {}
        self._connections: dict[int, Connection] = {}
        self._absent: set[int] = set()
        self._habits = Habits()
        self._owners = Owners(self._habits)
        self._witnesses = Witnesses(self._habits, moved)
        self._act: Act = (0, None, None)

        self._takers: Final[dict[int, Callable[[Lane, StepEvent], Way | None]]] = {
            steps.READ: self._read,
            steps.ANSWERED: self._answer,
            steps.IDLED: self._idle,
            steps.HANDED: self._hand,
            steps.TOOK: self._workers.begin,
            steps.NOTIFIED: self._workers.notify,
            steps.NOTICED: self._notice,
            steps.RESTED: self._workers.rest,
            steps.CONNECTING: self._ask,
            steps.CONNECTED: self._connected,
            steps.SENT: self._ask,
            steps.RECEIVED: self._hear,
            steps.CLOSED: self._hang_up,
            steps.FOUND: self._find,
        }

    def take(self, step: StepEvent, asked: str | None = None) -> int | None:
        """Take the next step; returns the id of the request that it was for, None where that is not known.

        `asked`: what is asked by it on a connection that the process opened.
        """
        if step.ends:
            peer = step.ends.peer
            self._act = (CALLS, peer, None) if step.step == steps.CONNECTING else (step.step, peer, asked)
        lane = self._lanes.get(step.tid)
        if lane is None:
            lane = self._lanes[step.tid] = Lane(step.pid, step.tid, step.at_ns - sum(step.booked_ns[:14]))
        kind = step.step
        owner = self._takers[kind](lane, step)
        lane.has_answered = kind == steps.ANSWERED
        lane.reads = kind in _READS
        return owner.id if owner else None

    def hold(self, tid: int, at_ns: int, event: object) -> None:
        """Keep an event of a lane until it is known whose time it was in."""
        self._held.hold(tid, at_ns, event)

    def way(self, id_: int) -> Way | None:
        """Return what is known of a request."""
        return self._ways.get(id_)

    def job_at(self, tid: int, at_ns: int) -> Job | None:
        """Return what a worker did at a moment, not long ago; None if nothing, or it is none."""
        lane = self._lanes.get(tid)
        return lane.job_at(at_ns) if lane else None

    def served(self) -> list[tuple[int, int, int]]:
        """Return the requests that are followed: process, id, and the connection that they came on."""
        return [(way.lane.pid, way.id, way.connection) for way in self._ways.values()]

    def opened(self, unix_name: Callable[[bytes], str | None]) -> dict[str, int]:
        """Return the connections that the processes opened themselves, by their local addresses."""
        return {one.local.text(unix_name): number for number, one in self._connections.items() if one.local}

    def witness(self, ids: Iterable[int], number: int, at_ns: int) -> None:
        """Take in that one of some requests, of the same client, was seen to wait on a connection at a moment."""
        known = self._connections[number]
        ways = [self._ways[id_] for id_ in ids]
        under_way = [way for way in ways if is_under_way(way, at_ns)]
        has_gone_on = any(way.began_ns >= at_ns for way in ways)
        if len(under_way) == 1 and not has_gone_on:
            self._witnesses.take(under_way[0], number, known, at_ns)

    def look(self, ids: Iterable[int], at_ns: int, *, is_asleep: bool) -> None:
        """Take in that one of some requests of the same client waited for an answer at a moment, or for a timer."""
        under_way = [way for way in (self._ways[id_] for id_ in ids) if is_under_way(way, at_ns)]
        if len(under_way) == 1:
            self._witnesses.look(under_way[0], self._connections, at_ns, is_asleep=is_asleep)

    def end(self, id_: int, at_ns: int, *, is_known: bool) -> None:
        """Take in that a request has ended; one that waited for a worker may still be had by one, if none is known."""
        way = self._ways.get(id_)
        if way and way.found_ns and not (is_known and way.has_answered):
            self._workers.leave(way, at_ns)

    def undo(self, id_: int) -> None:
        """Take back that a request was read: it was none."""
        way = self._ways.get(id_)
        if way and way in way.lane.ready:
            way.lane.ready.remove(way)
        self.forget(id_)

    def forget(self, id_: int) -> None:
        """Drop a request that was told for good."""
        way = self._ways.pop(id_, None)
        if way is None:
            return
        way.lane.open.pop(id_, None)
        for connection in way.calling:
            known = self._connections.get(connection)
            if known and known.owner is way:
                del self._connections[connection]
        way.calling.clear()

    def forget_all_but(self, ids: set[int]) -> None:
        """Drop requests whose end was not told: those that were not there the last time either."""
        absent = self._ways.keys() - ids
        for gone in absent & self._absent:
            self.forget(gone)
        self._absent = absent - self._absent
        self._forget_workers()
        if len(self._connections) > MAX_CONNECTIONS:  # those whose end was not told
            self._connections = {key: one for key, one in self._connections.items() if one.owner and one.owner.calling}

    def _forget_workers(self) -> None:
        """Drop workers that have rested for long, or have ended: some programs start a thread for each job."""
        latest_ns = max((lane.told_ns for lane in self._lanes.values()), default=0)
        for tid, lane in list(self._lanes.items()):
            rests = lane.is_worker and (lane.job is None or lane.job.done_ns is not None)
            if rests and latest_ns - lane.told_ns > FORGET_NS:
                self._forget_lane(tid)

    def _forget_lane(self, tid: int) -> None:
        loop = self._lanes.pop(tid).given_by
        if loop:
            loop.rested.pop(tid, None)
        self._held.forget(tid)
        self._workers.forget(tid)

    def doubt(self) -> None:
        """Give up on what is under way: steps were lost."""
        for way in self._ways.values():
            way.is_whole = False

    def end_process(self, pid: int) -> None:
        """Forget the lanes of a process that has ended."""
        for tid in [tid for tid, lane in self._lanes.items() if lane.pid == pid]:
            self._forget_lane(tid)

    # --- whose a stretch is

    def _close(self, lane: Lane, step: StepEvent, owner: Way | None, until_ns: int | None = None) -> None:
        """End the stretch that this step ends, and book it to its owner."""
        until_ns, booked_ns = step.at_ns if until_ns is None else until_ns, step.booked_ns
        if owner:
            owner.ran(lane.told_ns, until_ns, booked_ns, lane)
            lane.woken_ns, lane.actor = None, owner
        lane.wakes = False
        if lane.tid in self._held.lanes:
            self._held.tell(lane.tid, lane.told_ns, owner.id if owner else None)
        lane.close(until_ns, owner, booked_ns[RUN_QUEUE])

    def _named(self, lane: Lane, way: Way) -> Way:
        """Settle who acts: this one. Who stood before it in the loop's order has run before it, and left no trace."""
        is_next = way in lane.ready
        if is_next:
            _pass(lane, way)
        if way.job and not way.job.is_over and any(map(_is_free, lane.ready)):
            way.job.owner, way.job = None, None  # it went on with another one's
        if way.is_suspended and not way.is_resumed(lane.told_ns):
            if is_next:
                self._explain_by_job(lane, way)
            elif way is not lane.actor:
                self._explain(lane, way)
        return way

    def _lacks_job(self, lane: Lane, way: Way) -> bool:
        """Whether a request that goes on may have waited for a worker which has not told its end."""
        may = (way.job or way.is_suspended) and self._habits.may(way.kind, _HANDS)
        return may and not way.is_resumed(lane.told_ns)

    def _explain(self, lane: Lane, way: Way) -> None:
        """Find what came for a request that acts without any of it: it was thought to be for another."""
        for one in lane.ready:
            if isinstance(one, Job):
                if self._claim_job(lane, one, way):
                    return
            elif came := next((came for came in one.came if self._may_be_for(way, came)), None):
                lane.ready.remove(one)
                self._correct(one, way, came)
                return
        if came := next((came for came in lane.unclaimed if self._may_be_for(way, came)), None):
            lane.unclaimed.remove(came)
            self._claim(came, way)
            return
        self._queue(lane, way)

    def _explain_by_job(self, lane: Lane, way: Way) -> None:
        """Find the job that was done for a request, for which something else came too."""
        for one in lane.ready:
            if isinstance(one, Job) and self._claim_job(lane, one, way):
                return

    def _claim_job(self, lane: Lane, job: Job, way: Way) -> bool:
        """Give a job that nobody has to a request, if it can have been for that."""
        if not (job.lies_in(way.began_ns) and self._habits.may(way.kind, _HANDS)):
            return False
        lane.ready.remove(job)
        self._give(job, way)
        return True

    def _queue(self, lane: Lane, way: Way) -> None:
        """Take it that its work stood behind other work of a worker, which told of all that it had done by one word.

        uvloop joins what is told before it has looked. How long that work took is not known, only for what it waited.
        """
        hands = self._habits.often(way.kind, _HANDS) >= _HANDS_SOME and not way.done.get(_HANDS)
        if hands and lane.freed_ns >= lane.polled_before_ns and not _had_worker(lane):
            way.came.append(Came(lane.freed_ns, "queue", certain=False))
            self._habits.did(way.kind, _HANDS)
            way.done[_HANDS] = 1

    def _may_be_for(self, way: Way, came: Came) -> bool:
        """Whether something that came for another can have been for this one."""
        asks = self._habits.may if came.job else self._habits.is_likely
        return not came.certain and asks(way.kind, self._act_of(came))

    def _act_of(self, came: Came) -> Act:
        if came.job:
            return _HANDS
        known = self._connections.get(came.connection)
        return known.act if known else _SENDS

    def _give(self, job: Job, way: Way) -> None:
        """Settle whom a worker's job was for."""
        if job.handed_ns is None and not way.done.get(_HANDS):  # nobody was seen to hand it over
            self._habits.did(way.kind, _HANDS)
            way.done[_HANDS] = 1
        job.owner = way
        way.came.append(of_job(job))

    def _correct(self, taken: Way, way: Way, came: Came) -> None:
        """Hand on what came for one request: it was another's, as its answer shows."""
        taken.came.remove(came)
        if came.job:
            self._give(came.job, way)
        else:
            self._claim(came, way)

    def _claim(self, came: Came, way: Way) -> None:
        way.came.append(came)
        known = self._connections.get(came.connection)
        if known:
            known.owner = way
        self._moved(came.connection, way.id)

    # --- steps of loops

    def _read(self, lane: Lane, step: StepEvent) -> Way | None:
        arrived_ns = step.since_ns or step.at_ns
        if (way := self._ways.get(step.request)) is None:
            way = self._ways[step.request] = Way(step.request, step.connection, arrived_ns, lane, step.other)
            self._habits.lives(step.other)
            lane.open[way.id] = way
        way.came.append(Came(arrived_ns, "receive"))
        self._turn(lane, step, way)
        lane.expect(way)
        return way

    def _answer(self, lane: Lane, step: StepEvent) -> Way | None:
        way = self._ways.get(step.request)
        if way is None:
            self._close(lane, step, lane.actor)
            return None
        if not lane.is_worker and (way.found_ns or lane is not way.lane):
            way.is_whole = False  # when it was taken up was not seen
            lane.is_worker = not way.found_ns  # it has had work ever since it was looked at
        if way.found_ns and not lane.is_worker:
            self._close(lane, step, lane.actor)
        elif lane.is_worker:
            self._workers.answer(lane, way, step)
        else:
            if way is not lane.actor or lane.ready:
                self._named(lane, way)
            if not way.has_answered and self._lacks_job(lane, way):
                lane.wanting.append(way)
            self._close(lane, step, way)
        way.answered(step.at_ns)
        lane.open.pop(way.id, None)
        if way in lane.passed:
            lane.passed.remove(way)
        return way

    def _idle(self, lane: Lane, step: StepEvent) -> Way | None:
        self._close(lane, step, _runner(lane), step.since_ns)
        while lane.ready and _came_ns(lane.ready[0]) < step.since_ns:
            first = lane.ready.popleft()  # had its turn before the loop went idle
            if isinstance(first, Way):
                lane.had_turn(first, step.since_ns)
        lane.unclaimed.clear()
        for one in lane.ready:
            if isinstance(one, Way):
                one.woke(step.other)
        lane.told_ns = lane.polled_ns = lane.polled_before_ns = step.other  # from there on the loop could run
        lane.freed_ns = max(lane.freed_ns, step.other) if lane.freed_ns >= step.since_ns else 0
        lane.woken_ns = None if lane.ready else step.other
        lane.actor = None
        lane.causes = tuple(lane.ready)[:2]
        lane.wakes = True
        return None

    def _turn(self, lane: Lane, step: StepEvent, way: Way | None) -> None:
        """Let a loop turn to what has come; if it wakes up for that, its waking is a part of it."""
        self._close(lane, step, way if lane.wakes else _runner(lane))
        if not lane.reads:
            lane.polled_before_ns, lane.polled_ns = lane.polled_ns, step.at_ns
        lane.actor = way
        lane.woken_ns = None

    def _notice(self, lane: Lane, step: StepEvent) -> Way | None:
        first = lane.ready[0] if lane.ready else None
        self._turn(lane, step, first if isinstance(first, Way) else None)
        return None

    def _hand(self, lane: Lane, step: StepEvent) -> Way | None:
        if lane.job and lane.job.done_ns is None:
            self._workers.act(lane, step)
            owner, certain = lane.job.owner, lane.job.certain
        elif lane.is_worker:
            owner, certain = None, False
            lane.told_ns = step.at_ns
        else:
            owner, certain = self._owners.next(lane, _HANDS)
            self._close(lane, step, owner)
        handed = Handed(owner, lane, step.at_ns, certain)
        if step.bytes:  # it has not slept
            self._workers.go_on(self._lanes.setdefault(step.other, Lane(step.pid, step.other, step.at_ns)), handed)
        else:
            self._workers.hand(handed, step.other)
        return owner

    def _find(self, lane: Lane, step: StepEvent) -> Way | None:
        """Note a request that waits for a worker who will answer it."""
        arrived_ns = step.since_ns or step.at_ns
        way = self._ways[step.request] = Way(step.request, step.connection, arrived_ns, lane, step.other)
        way.found_ns = step.at_ns
        return way

    # --- connections that the process opened

    def _ask(self, lane: Lane, step: StepEvent) -> Way | None:
        known = self._connections.get(step.connection)
        owner: Way | None
        if lane.is_worker:
            return self._workers.act(lane, step)
        for act in acts_of(self._act) if step.step == steps.SENT else ():
            self._habits.taken(act)
        giver = self._giver(lane, known, step.connection)
        if known and known.owner and not giver and self._goes_on(lane, known.owner, step.connection):
            owner, certain = self._named(lane, known.owner), known.certain
            self._owners.did(owner, self._act)
        else:
            owner, certain = self._owners.next(lane, self._act, giver)
        self._close(lane, step, owner)
        if owner and len(lane.open) == 1:
            self._habits.alone(owner.kind, self._act, known.act if known and known.owner is owner else None)
        self._connections[step.connection] = Connection(
            owner, self._act, step.at_ns, step.ends.local if step.ends else None, certain=certain
        )
        if owner:
            owner.calling[step.connection] = step.ends.peer if step.ends else None
        return owner

    def _goes_on(self, lane: Lane, way: Way, connection: int) -> bool:
        """Whether what is sent belongs to an exchange that is under way, or who sent the last one sends another."""
        if connection in way.calling:
            return True
        return self._acts(lane, way) and not way.has_answered and self._habits.is_likely(way.kind, self._act)

    def _giver(self, lane: Lane, known: Connection | None, connection: int) -> Way | None:
        """Return whose turn it is, if it has just given this connection back to somebody who waited for it."""
        way = known.owner if known else None
        if known is None or way is None or connection in way.calling or not self._acts(lane, way):
            return None
        return way if self._owners.gives(lane, way, self._act, known.act) else None

    @staticmethod
    def _acts(lane: Lane, way: Way) -> bool:
        """Whether it is a request's turn; else it may have given its connection back."""
        return (way is lane.actor and not lane.has_answered) or way in lane.ready

    def _hear(self, lane: Lane, step: StepEvent) -> Way | None:
        known = self._connections.get(step.connection)
        way = known.owner if known else None
        if lane.is_worker:
            return self._workers.act(lane, step)
        if known:
            known.is_answered = True
        if way:
            self._deliver(lane, way, step)
        elif known:
            lane.unclaimed.append(self._came(step, known))
        self._turn(lane, step, way)
        return way

    def _connected(self, _: Lane, step: StepEvent) -> Way | None:
        """Take the kernel's own doing: who waits for it acts next on this very connection, and is not looked for."""
        known = self._connections.get(step.connection)
        if known and known.owner and step.since_ns:
            known.owner.came.append(self._came(step, known))
        return known.owner if known else None

    @staticmethod
    def _came(step: StepEvent, known: Connection | None) -> Came:
        peer = step.ends.peer if step.ends else None
        certain = known is None or known.certain
        asked_ns = known.asked_ns if known else 0
        return Came(step.since_ns or step.at_ns, "calls", peer, None, step.connection, certain, asked_ns)

    def _deliver(self, lane: Lane, way: Way, step: StepEvent) -> None:
        """Note that a connection has something for a request."""
        way.calling.pop(step.connection, None)
        way.came.append(self._came(step, self._connections.get(step.connection)))
        lane.expect(way)

    def _hang_up(self, lane: Lane, step: StepEvent) -> Way | None:
        known = self._connections.pop(step.connection, None)
        way = known.owner if known else None
        if any(step.booked_ns):
            if lane.is_worker:
                return self._workers.act(lane, step)
            self._close(lane, step, _runner(lane))
        if way and step.connection in way.calling:
            self._deliver(lane, way, step)
        return way


def _runner(lane: Lane) -> Way | None:
    """Tell for whom a loop runs, unless that is shown by an act: not for one that a worker works for, or has since."""
    way = lane.actor
    return None if way and (way.job or any(came.job for came in way.came)) else way


def _pass(lane: Lane, way: Way) -> None:
    """Let a request have its turn, and those that stood before it; jobs stay, for their order is not known."""
    jobs: list[Way | Job] = []
    while (first := lane.ready.popleft()) is not way:
        if isinstance(first, Way):
            lane.had_turn(first, lane.told_ns)
        else:
            jobs.append(first)
    lane.ready.extendleft(reversed(jobs))


def _is_free(one: Way | Job) -> bool:
    """Whether it is a job of which it is not known for whom it was."""
    return isinstance(one, Job) and one.owner is None


def _had_worker(lane: Lane) -> bool:
    """Whether a worker of a loop had nothing to do before one became free."""
    return any(since_ns < lane.freed_ns - _AT_ONCE_NS for since_ns in lane.rested.values())


def _came_ns(one: Way | Job) -> int:
    """Tell when something came that it has not used yet; 0: it has."""
    if isinstance(one, Job):
        return one.done_ns or 0
    return one.came[-1].at_ns if one.came else 0
