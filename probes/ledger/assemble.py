"""From the kernel's events to records: a request gets its waits and stacks, its first line is parsed and dropped.

Holds what is known of requests that may still change: their long waits, their code, and the end that was told last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from perfwatch.probes.frames import GcPause, StackTable
from perfwatch.probes.ledger import accounts
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger.code_events import WOKE
from perfwatch.probes.ledger.following.flow import Flow
from perfwatch.probes.ledger.request_code import RequestCode
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.records import BUCKETS, OpenRequest, ServedRequest, Wait, Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from perfwatch.probes.frames import Frame
    from perfwatch.probes.ledger.code_events import PauseEvent, StackEvent
    from perfwatch.probes.ledger.step_events import StepEvent
    from perfwatch.probes.ledger.symbols import KernelSymbols

MAX_WAITS: Final = 512
"""As many long waits of one request are kept; what comes after them is counted (`waits_lost`)."""
MAX_WOKE: Final = 1024
_KNOWN: Final = {"one", "followed"}
_ON_CPU: Final = BUCKETS.index("on_cpu")
_RUN_QUEUE: Final = BUCKETS.index("run_queue")


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
    ) -> None:
        """`head_of` gives the first bytes of a request that is under way, by connection and id; empty: it is not."""
        self._heads: dict[int, bytes] = {}
        self._open_head_of = head_of
        self._naming = accounts.Naming(
            unix_name, lambda connection, id_: self._heads.get(id_) or head_of(connection, id_)
        )
        self._woke: dict[int, Placed] = {}  # stacks of wakers of lanes, by the moment
        self._machine = machine
        self._symbols = symbols
        self._unix_name = unix_name
        self._waits: dict[int, list[Wait]] = {}
        self._waits_lost: dict[int, int] = {}
        self._code: dict[int, RequestCode] = {}
        self._told: dict[int, int] = {}  # id -> ended_ns, of requests closed provisionally
        self._absent: set[int] = set()
        self._flow = Flow(self._owned)

    def expect(self, events: Iterable[ev.Event]) -> None:
        """Look at the events that are to come: an earlier one may name a request that a later one tells."""
        self._heads = {event.id: event.head for event in events if isinstance(event, ev.RequestEvent)}

    def add_step(self, event: StepEvent) -> None:
        """Follow a step of an event loop or a worker."""
        self._flow.take(event)

    def doubt(self) -> None:
        """Give up on what is under way in event loops: steps were lost."""
        self._flow.doubt()

    def end_process(self, pid: int) -> None:
        """Forget the threads of a process that has ended."""
        self._flow.end_process(pid)

    def _head_of(self, connection: int, id_: int) -> bytes:
        return self._heads.get(id_) or self._open_head_of(connection, id_)

    def _owned(self, event: object, request: int) -> None:
        """Take what a lane did, now that it is known for whom."""
        if isinstance(event, ev.WaitEvent):
            woke = self._woke.pop(event.woken_ns, None)
            if woke:
                self._owned(woke, request)
            self._keep_wait(event._replace(request=request))
        elif isinstance(event, Placed):
            self._code.setdefault(request, RequestCode()).add(event.stack, event.frames)

    def add_stack(self, event: StackEvent, frames: tuple[Frame, ...]) -> None:
        """Keep a stack until its request ends."""
        if not event.request:
            self._hold_stack(Placed(event, frames))
            return
        self._code.setdefault(event.request, RequestCode()).add(event, frames)

    def _hold_stack(self, placed: Placed) -> None:
        """Keep the stack of a lane until its owner is known."""
        if placed.stack.role != WOKE:
            self._flow.hold(placed.stack.tid, placed.stack.at_ns, placed)
        elif len(self._woke) < MAX_WOKE:
            self._woke[placed.stack.at_ns] = placed

    def add_wait(self, event: ev.WaitEvent) -> None:
        """Keep a wait until its request ends."""
        if event.request:
            self._keep_wait(event)
        else:
            self._flow.hold(event.tid, event.started_ns, event)

    def _keep_wait(self, event: ev.WaitEvent) -> None:
        waits = self._waits.setdefault(event.request, [])
        if len(waits) >= MAX_WAITS:
            self._waits_lost[event.request] = self._waits_lost.get(event.request, 0) + 1
            return
        bucket = BUCKETS[event.bucket]
        code = self._code.get(event.request)
        stack, waker_stack = code.of_wait(event.started_ns, event.woken_ns) if code else (None, None)
        waits.append(
            Wait(
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
        )

    def served(self, event: ev.RequestEvent, now_ns: int) -> ServedRequest | None:
        """Make the record of a request that has ended; None if the very same was told before."""
        final = bool(event.flags & ev.FINAL)
        told = self._told.pop(event.id, None)
        waits = self._waits.get(event.id, [])
        lost = self._waits_lost.get(event.id, 0)
        code = self._code.get(event.id)
        if final:
            self._code.pop(event.id, None)
            self._waits.pop(event.id, None)
            self._waits_lost.pop(event.id, None)
        else:
            self._told[event.id] = event.ended_ns
        if told == event.ended_ns:
            return None
        method, target = ev.parse_request_line(event.head)
        account = self._account(event, waits, method, target)
        threads = account.threads
        code = code if threads in _KNOWN else None
        return ServedRequest(
            at_ns=now_ns,
            id=event.id,
            connection=event.connection,
            pid=event.pid,
            tid=event.tid,
            arrived_ns=event.arrived_ns,
            started_ns=event.started_ns,
            ended_ns=event.ended_ns,
            method=method,
            target=target,
            status=ev.parse_status(event.status),
            booked_ns=account.booked_ns,
            peers=account.peers,
            waits=account.waits,
            received_bytes=event.received_bytes,
            sent_bytes=event.sent_bytes,
            local=event.local.text(self._unix_name),
            remote=event.remote.text(self._unix_name),
            outcome=_outcome(event.flags),
            threads=threads,
            waits_lost=lost,
            throttled_ns=account.throttled_ns,
            gc_ns=account.gc_ns,
            code=code.table() if code else StackTable(),
            ran=code.ran(event.ended_ns) if code else (),
            culprits=account.culprits,
            protocol=event.protocol,
        )

    def _account(
        self, event: ev.RequestEvent, waits: list[Wait], method: str | None, target: str | None
    ) -> accounts.Account:
        """Make out where its time went: by its one thread, or by its way through several."""
        if event.flags & ev.BY_STEPS:
            way = self._flow.way(event.id)
            if way is None or not way.is_whole:
                return accounts.unknown(event, "shared")
            way.line = (method, target)
            if not event.flags & ev.ANSWERED:
                way.ended(event.ended_ns)
            if event.flags & ev.FINAL:
                self._flow.forget(event.id)
            return accounts.of_way(way, event, waits, self._naming)
        if event.flags & (ev.SHARED | ev.SEVERAL):
            return accounts.unknown(event, "shared" if event.flags & ev.SHARED else "several")
        return accounts.of_thread(event, waits, self._unix_name)

    def open(
        self, event: ev.RequestEvent, thread: ev.ThreadState | None, now_ns: int, stack: Iterable[Frame] = ()
    ) -> OpenRequest:
        """Describe a request that has not ended; `thread` is what its thread does now, if it still serves it.

        `stack` is what that thread waits in, the innermost frame first; what it runs was told before.
        """
        method, target = ev.parse_request_line(event.head)
        own = thread if thread and thread.request == event.id else None
        threads = "shared" if own and own.loops else _threads(event.flags)
        bucket, since_ns, booked = _present(own, event, now_ns)
        code = self._code.get(event.id)
        if bucket == _ON_CPU and code:
            stack = code.running(since_ns)
        return OpenRequest(
            id=event.id,
            pid=event.pid,
            tid=event.tid,
            arrived_ns=event.arrived_ns,
            started_ns=event.started_ns,
            method=method,
            target=target,
            booked_ns=accounts.with_queue(booked, event, exact=threads == "one"),
            state=BUCKETS[bucket],
            state_since_ns=since_ns,
            call=name_of(self._machine, own.call) if own and own.state == ev.BLOCKED else None,
            detail=f"{own.futex:#x}" if own and own.state == ev.BLOCKED and own.futex else None,
            peer=own.peer.text(self._unix_name) if own and own.state == ev.BLOCKED and own.peer.known else None,
            local=event.local.text(self._unix_name),
            threads=threads,
            throttled_ns=(own or event).throttled_ns if threads == "one" else 0,
            gc_ns=(own or event).gc_ns if threads == "one" else 0,
            stack=tuple(stack) if threads == "one" else (),
        )

    def is_told(self, stage: ev.RequestStage) -> bool:
        """Whether this end of the request was told already."""
        return self._told.get(stage.id) == stage.ended_ns

    def forget_all_but(self, ids: set[int]) -> None:
        """Drop what is kept for requests whose last event was lost: those that were not there the last time either."""
        absent = {id_ for kept in (self._waits, self._waits_lost, self._told, self._code) for id_ in kept.keys() - ids}
        for gone in absent & self._absent:
            self._waits.pop(gone, None)
            self._waits_lost.pop(gone, None)
            self._told.pop(gone, None)
            self._code.pop(gone, None)
        self._absent = absent - self._absent
        self._flow.forget_all_but(ids)
        self._woke.clear()

    def _detail(self, event: ev.WaitEvent) -> str | None:
        if event.futex:
            return f"{event.futex:#x}"
        return self._symbols.sleeper(event.stack) if BUCKETS[event.bucket] == "other" else None


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


def _present(thread: ev.ThreadState | None, event: ev.RequestEvent, now_ns: int) -> tuple[int, int, tuple[int, ...]]:
    """Tell what the thread does now (a bucket), since when, and its ledger with that booked up to now.

    The thread's entry is read while it changes: a figure may be of a moment earlier. Good enough for what is in flight.
    """
    if thread is None:
        return BUCKETS.index("other"), event.started_ns, event.booked_ns
    booked = list(thread.booked_ns)
    bucket, since_ns = _ON_CPU, thread.since_ns
    if thread.state == ev.PREEMPTED:
        bucket = _RUN_QUEUE
    elif thread.state == ev.BLOCKED:
        bucket = thread.bucket if thread.bucket < len(BUCKETS) else BUCKETS.index("other")
    booked[bucket] += max(now_ns - since_ns, 0)
    return bucket, since_ns, tuple(booked)


def _outcome(flags: int) -> Literal["answered", "aborted", "died"]:
    if flags & ev.DIED:
        return "died"
    return "aborted" if flags & ev.ABORTED else "answered"


def _threads(flags: int) -> Literal["one", "shared", "several"]:
    if flags & (ev.SHARED | ev.BY_STEPS):
        return "shared"
    return "several" if flags & ev.SEVERAL else "one"
