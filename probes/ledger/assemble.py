"""From the kernel's events to records: a request gets its waits and stacks, its first line is parsed and dropped.

Holds what is known of requests that may still change: their long waits, their code, and the end that was told last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from msgspec.structs import replace

from perfwatch.probes.frames import GcPause, StackTable
from perfwatch.probes.ledger import accounts, heads, under_way
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.calls import Calls, placed
from perfwatch.probes.ledger.code_events import WOKE
from perfwatch.probes.ledger.exchanges import Exchange
from perfwatch.probes.ledger.following.flow import Flow
from perfwatch.probes.ledger.http2.connection import Begun, Forgotten
from perfwatch.probes.ledger.http2.streams import Streams
from perfwatch.probes.ledger.request_code import RequestCode
from perfwatch.probes.ledger.sights import Sights
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.records import BUCKETS, OpenRequest, ServedRequest, ThreadWait, Wait, Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from perfwatch.probes.frames import Frame, TasksSample
    from perfwatch.probes.ledger.code_events import PauseEvent, StackEvent
    from perfwatch.probes.ledger.exchanges import Rest
    from perfwatch.probes.ledger.following.jobs import Job
    from perfwatch.probes.ledger.frame_events import FrameEvent
    from perfwatch.probes.ledger.http2.connection import Told
    from perfwatch.probes.ledger.step_events import StepEvent
    from perfwatch.probes.ledger.symbols import KernelSymbols

MAX_WAITS: Final = 512
"""As many long waits of one request are kept; what comes after them is counted (`waits_lost`)."""
MAX_WOKE: Final = 1024
_KNOWN: Final = {"one", "followed"}
_NO_CODE: Final = StackTable()


class Kept:
    """What came of a request that may go on."""

    __slots__ = ("code", "ended_by", "waits", "waits_lost")

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.ended_by: dict[int, Job] = {}
        """By place in `waits`: what the worker did that ended one; for whom may show later."""
        self.waits_lost = 0
        self.code: RequestCode | None = None


_NOTHING: Final = Kept()


class Waited(NamedTuple):
    """A wait of a lane, and what the worker did that ended it."""

    event: ev.WaitEvent
    ended_by: Job | None


class Placed(NamedTuple):
    """A stack, and what its frames are."""

    stack: StackEvent
    frames: tuple[Frame, ...]


class Assembler:
    """Makes records of events; one for each run of the ledger."""

    def __init__(
        self,
        machine: str,
        symbols: KernelSymbols,
        unix_name: Callable[[bytes], str | None],
        head_of: Callable[[int, int], bytes],
        rest_of: Callable[[int], Rest | None] = lambda _: None,
    ) -> None:
        """`head_of` gives the first bytes of a request that is under way, by connection and id; empty: it is not."""
        self._expected: Iterable[ev.Event] = ()
        self._heads: dict[int, bytes] | None = None  # of those that are expected, once it is asked for
        self._open_head_of = head_of
        self._naming = accounts.Naming(unix_name, self._head_of)
        self._woke: dict[int, Placed] = {}  # stacks of wakers of lanes, by the moment
        self._machine = machine
        self._symbols = symbols
        self._unix_name = unix_name
        self._kept: dict[int, Kept] = {}
        self._told: dict[int, int] = {}  # id -> ended_ns, of requests closed provisionally
        self._absent: set[int] = set()
        self._calls = Calls(unix_name, rest_of)
        self._flow = Flow(self._owned, self._calls.move)
        self._sights = Sights(unix_name)
        self._streams = Streams()

    def expect(self, events: Iterable[ev.Event]) -> None:
        """Look at the events that are to come: an earlier one may name a request that a later one tells."""
        self._expected, self._heads = events, None

    def add_step(self, event: StepEvent) -> None:
        """Follow a step of an event loop or a worker, or of a connection that the process opened itself."""
        if event.step == steps.READ and event.other == ev.NO_LINE:  # within TLS it is seen only after the read
            event = replace(event, other=ev.line_kind(self._head_of(event.connection, event.request)))
        if event.ends is None:
            self._flow.take(event)
            return
        if event.is_late or (event.ends and event.request):  # it changes nothing in whose a loop's time was
            self._calls.take(event, event.request or self._calls.owner_of(event.connection))
            return
        begun = self._calls.take(event, None)
        owner = self._flow.take(event, begun.operation if begun else None)
        if begun and owner:
            self._calls.give(begun, owner)
        elif begun:  # a worker's, of which it shows later for whom it works
            self._flow.hold(event.tid, event.at_ns - 1, begun)

    def witness(self, samples: Sequence[TasksSample], remote_of: Callable[[int], str | None]) -> None:
        """Take in what was seen of tasks, when all steps until then were taken.

        `remote_of` gives the client's address of an accepted connection, while a request of it is under way.
        """
        self._sights.settle(samples, self._flow, remote_of)

    def add_frame(self, event: FrameEvent) -> list[ev.RequestEvent]:
        """Follow a frame of HTTP/2; returns the requests that end with it."""
        return self._of_streams(self._streams.take(event))

    def release(self, until_ns: int) -> list[ev.RequestEvent]:
        """Return the streams that ended with writes before a moment."""
        return self._of_streams(self._streams.release(until_ns))

    def settle(self, now_ns: int) -> list[ev.RequestEvent]:
        """Return the streams of events that have begun, and send no more for now."""
        return self._of_streams(self._streams.settle(now_ns))

    def under_way(self) -> list[ev.RequestEvent]:
        """Return the streams that have not ended; the kernel keeps only the other requests."""
        return self._streams.under_way()

    def _of_streams(self, told: list[Told]) -> list[ev.RequestEvent]:
        ended = []
        for each in told:
            if isinstance(each, ev.RequestEvent):
                self._flow.end(each.id, each.ended_ns, is_known=not each.flags & ev.SEVERAL)
                ended.append(each)
            elif isinstance(each, Begun):
                self._flow.take(each.step)
                if way := self._flow.way(each.step.request):
                    way.line = ev.parse_request_line(each.line)
            elif isinstance(each, Forgotten):
                self._flow.undo(each.request)
            else:
                self._flow.take(each)
        return ended

    def doubt(self) -> None:
        """Give up on what is under way in event loops: steps were lost."""
        self._flow.doubt()
        self._streams.doubt()

    def end_process(self, pid: int, at_ns: int) -> list[ev.RequestEvent]:
        """Forget the threads of a process that has ended; returns the streams that it leaves."""
        left = self._of_streams(self._streams.end_process(pid, at_ns))
        self._flow.end_process(pid)
        return left

    def _head_of(self, connection: int, id_: int) -> bytes:
        if self._heads is None:
            self._heads = {event.id: event.head for event in self._expected if isinstance(event, ev.RequestEvent)}
        return self._heads.get(id_) or self._open_head_of(connection, id_)

    def _code_of(self, request: int) -> RequestCode:
        kept = self._kept.setdefault(request, Kept())
        if kept.code is None:
            kept.code = RequestCode()
        return kept.code

    def _owned(self, event: object, request: int) -> None:
        """Take what a lane did, now that it is known for whom."""
        if isinstance(event, Waited):
            woke = self._woke.pop(event.event.woken_ns, None)
            if woke:
                self._owned(woke, request)
            self._keep_wait(event, request)
        elif isinstance(event, Placed):
            self._code_of(request).add(event.stack, event.frames)
        elif isinstance(event, Exchange):
            self._calls.give(event, request)

    def add_stack(self, event: StackEvent, frames: tuple[Frame, ...]) -> None:
        """Keep a stack until its request ends."""
        if not event.request or event.request == ev.KEEPER:
            self._hold_stack(Placed(event, frames))
            return
        self._code_of(event.request).add(event, frames)

    def _hold_stack(self, placed: Placed) -> None:
        """Keep the stack of a lane until its owner is known."""
        if placed.stack.role != WOKE:
            self._flow.hold(placed.stack.tid, placed.stack.at_ns, placed)
        elif len(self._woke) < MAX_WOKE:
            self._woke[placed.stack.at_ns] = placed

    def thread_wait(self, event: ev.WaitEvent, now_ns: int) -> ThreadWait:
        """Make the record of a wait of a thread that serves no request."""
        woke = self._woke.pop(event.woken_ns, None)
        frames = woke.frames if woke else ()
        code = StackTable(frames, (tuple(range(len(frames))),)) if frames else _NO_CODE
        return ThreadWait(now_ns, event.pid, event.tid, self._wait(event, None, 0 if frames else None), code)

    def add_wait(self, event: ev.WaitEvent) -> None:
        """Keep a wait until its request ends."""
        by = event.waker
        waited = Waited(event, self._flow.job_at(by.tid, event.woken_ns) if by and not by.request else None)
        if event.request:
            self._keep_wait(waited, event.request)
        else:
            self._flow.hold(event.tid, event.started_ns, waited)

    def _keep_wait(self, waited: Waited, request: int) -> None:
        kept, event = self._kept.setdefault(request, Kept()), waited.event
        if len(kept.waits) >= MAX_WAITS:
            kept.waits_lost += 1
            return
        if waited.ended_by:
            kept.ended_by[len(kept.waits)] = waited.ended_by
        stack, waker_stack = kept.code.of_wait(event.started_ns, event.woken_ns) if kept.code else (None, None)
        kept.waits.append(self._wait(event, stack, waker_stack))

    def _wait(self, event: ev.WaitEvent, stack: int | None, waker_stack: int | None) -> Wait:
        bucket = BUCKETS[event.bucket]
        return Wait(
            started_ns=event.started_ns,
            blocked_ns=event.blocked_ns,
            runnable_ns=event.runnable_ns,
            bucket=bucket,
            call=name_of(self._machine, event.call),
            detail=self._detail(event),
            peer=event.peer.text(self._unix_name) if bucket == "calls" and event.peer.known else None,
            waker=_waker(event.waker),
            throttled_ns=event.throttled_ns,
            ahead=_waker(event.ahead) if 2 * event.throttled_ns < event.runnable_ns else None,
            stack=stack,
            waker_stack=waker_stack,
        )

    def served(self, event: ev.RequestEvent, now_ns: int) -> ServedRequest | None:
        """Make the record of a request that has ended; None if the very same was told before."""
        id_, ended_ns = event.id, event.ended_ns
        told = self._told.pop(id_, None)
        kept = self._kept.get(id_, _NOTHING)
        calls = self._calls.of(id_, ended_ns)
        calls_lost = self._calls.lost(id_) if calls else 0
        if event.flags & ev.FINAL:
            self._forget(id_)
        else:
            self._told[id_] = ended_ns
        if told == ended_ns:
            return None
        method, target = ev.parse_request_line(event.head)
        account = self._account(event, _settled(kept), method, target)
        threads = account.threads
        is_known = threads in _KNOWN
        code = kept.code if is_known else None
        return ServedRequest(  # by position: 29 names cost as much as all else here
            now_ns,
            id_,
            event.connection,
            event.pid,
            event.tid,
            event.arrived_ns,
            event.started_ns,
            ended_ns,
            method,
            target,
            ev.parse_status(event.status),
            account.booked_ns,
            account.peers,
            account.waits,
            event.received_bytes,
            event.sent_bytes,
            event.local.text(self._unix_name),
            event.remote.text(self._unix_name),
            _outcome(event.flags),
            threads,
            kept.waits_lost,
            account.throttled_ns,
            "exact",
            account.gc_ns,
            code.table() if code else _NO_CODE,
            code.ran(ended_ns) if code else (),
            placed(calls, kept.waits) if calls and is_known else (),
            calls_lost if is_known else 0,
            account.culprits,
            event.protocol,
            event.grpc_status,
            heads.asked(event.head),
            heads.body(event.answer) if event.answer else None,
        )

    def _account(
        self, event: ev.RequestEvent, waits: list[Wait], method: str | None, target: str | None
    ) -> accounts.Account:
        """Make out where its time went: by its one thread, or by its way through several."""
        if event.flags & ev.BY_STEPS:
            way = self._flow.way(event.id)
            if way and way.found_ns and not (way.is_whole and way.has_answered):
                self._flow.forget(event.id)
                return accounts.unknown(event, "several")
            if event.flags & ev.SEVERAL:  # nobody saw that the thread which answered was given work
                return accounts.unknown(event, "several")
            if way is None or not way.is_whole:
                return accounts.unknown(event, "shared")
            way.line = (method, target)
            if not event.flags & ev.ANSWERED:
                way.ended(event.ended_ns)
            if event.flags & ev.FINAL:
                self._flow.forget(event.id)
            return accounts.of_way(way, event, waits, self._naming)
        if event.flags & (ev.SHARED | ev.SEVERAL):
            self._flow.forget(event.id)
            return accounts.unknown(event, "shared" if event.flags & ev.SHARED else "several")
        return accounts.of_thread(event, waits, self._unix_name)

    def thread_of(self, event: ev.RequestEvent) -> int | None:
        """Tell which thread works for a request that has not ended; None: none does, it waits."""
        if not event.flags & ev.BY_STEPS:
            return event.tid
        way = self._flow.way(event.id)
        return way.thread if way else None

    def open(
        self, event: ev.RequestEvent, thread: ev.ThreadState | None, now_ns: int, stack: tuple[Frame, ...] = ()
    ) -> OpenRequest:
        """Describe a request that has not ended; `thread` is what its thread does now.

        `stack` is what that thread waits in, the innermost frame first; what it runs was told before.
        """
        way = self._flow.way(event.id) if event.flags & ev.BY_STEPS else None
        if way and way.is_whole:
            now = under_way.of_way(way, thread, now_ns)
        else:
            now = under_way.of_thread(event, thread, now_ns)
        kept = self._kept.get(event.id)
        if now.state == "on_cpu" and kept and kept.code:
            stack = kept.code.running(now.since_ns)
        return under_way.request(now, event, stack, self._unix_name, self._machine)

    def is_told(self, stage: ev.RequestStage) -> bool:
        """Whether this end of the request was told already."""
        return self._told.get(stage.id) == stage.ended_ns

    def forget_all_but(self, ids: set[int]) -> None:
        """Drop what is kept for requests whose last event was lost: those that were not there the last time either."""
        absent = (self._kept.keys() | self._told.keys() | self._calls.requests) - ids
        for gone in absent & self._absent:
            self._told.pop(gone, None)
            self._forget(gone)
        self._absent = absent - self._absent
        self._flow.forget_all_but(ids)
        self._woke.clear()

    def _forget(self, id_: int) -> None:
        self._kept.pop(id_, None)
        self._calls.forget(id_)

    def _detail(self, event: ev.WaitEvent) -> str | None:
        if event.futex:
            return f"{event.futex:#x}"
        return self._symbols.sleeper(event.stack) if BUCKETS[event.bucket] == "other" else None


def _settled(kept: Kept) -> list[Wait]:
    """Say whom the workers served that ended waits, as far as that has shown by now."""
    waits = kept.waits
    for place, job in kept.ended_by.items():
        waker, request = waits[place].waker, job.request
        if waker and request is not None:
            waits[place] = replace(waits[place], waker=replace(waker, request=request))
    return waits


def pause(event: PauseEvent, now_ns: int) -> GcPause:
    """Make the record of a run of the garbage collector."""
    return GcPause(
        at_ns=now_ns,
        pid=event.pid,
        tid=event.tid,
        started_ns=event.started_ns,
        paused_ns=event.ended_ns - event.started_ns,
        cpu_ns=event.cpu_ns,
        generation=event.generation,
        request=event.request,
        source="probe",
        collected=event.collected,
    )


def _waker(who: ev.Who | None) -> Waker | None:
    return Waker(who.pid, who.tid, who.name, who.request or None) if who else None


def _outcome(flags: int) -> Literal["answered", "aborted", "died"]:
    if flags & ev.DIED:
        return "died"
    return "aborted" if flags & ev.ABORTED else "answered"
