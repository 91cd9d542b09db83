"""From requests that packets told to records: each is matched to the thread that served it, and gets its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.records import BUCKETS, InFlight, OpenRequest, ServedRequest
from perfwatch.probes.sampled.booking import Book, Booked, common
from perfwatch.probes.sampled.matching import Match, Matcher, Question, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.records import Bucket, Threads
    from perfwatch.probes.sampled.reading import Reader, Thread
    from perfwatch.probes.sampled.sockets import SocketTable
    from perfwatch.probes.wire.exchanges import WireRequest

SETTLED_NS: Final = 100_000_000
"""A request is matched this long after its end: its thread has been read since, and who else ended then is known."""
FEWEST_READINGS: Final = 2
"""A request that spans fewer is not matched: there would be nothing in its ledger."""
MAX_OPEN: Final = 64
MAX_BESIDE: Final = 16
"""So many requests that go on are matched beside those that have ended: who serves them does not serve these."""
MAX_QUESTIONS: Final = 128
"""So many are matched at a time; more are left unmatched."""
MAX_ALIKE: Final = 8
LEAST_ALIKE: Final = 0.5
"""Where several threads could have served a request, what all of them did is booked, if it is that much of it."""
MAX_WAITING: Final = 4096
_QUEUE: Final = BUCKETS.index("queue")
_NOTHING: Final = Booked((0,) * len(BUCKETS), (), 0, ())


class _Found(NamedTuple):
    """Who serves a request, since when, and what was booked for it."""

    pid: int
    tid: int
    started_ns: int
    threads: Threads
    booked: Booked
    thread: Thread | None


class Requests:
    """Holds finished requests until they can be matched."""

    def __init__(self, root: int, reader: Reader, sockets: SocketTable) -> None:
        self._root = root
        self._reader = reader
        self._sockets = sockets
        self._matcher = Matcher()
        self._waiting: list[WireRequest] = []

    def add(self, finished: Sequence[WireRequest]) -> int:
        """Take what has ended; returns how many more there were than can be kept."""
        room = MAX_WAITING - len(self._waiting)
        self._waiting += finished[:room]
        self._matcher.note(_span(request) for request in finished)
        return max(len(finished) - room, 0)

    def settle(self, open_: Sequence[WireRequest], now_ns: int, *, all_of_them: bool = False) -> list[ServedRequest]:
        """Return the requests whose thread has been read since their end; `open_` are those that go on."""
        until_ns = now_ns if all_of_them else now_ns - SETTLED_NS
        due = [request for request in self._waiting if (request.ended_ns or 0) <= until_ns]
        if not due:
            return []
        later = [request for request in self._waiting if (request.ended_ns or 0) > until_ns]
        self._waiting = later
        matches = self._match([*due, *later[:MAX_BESIDE], *open_[:MAX_BESIDE]], now_ns)
        return [self._served(request, matches, now_ns) for request in due]

    def in_flight(self, requests: Sequence[WireRequest], now_ns: int) -> InFlight:
        """Describe those that are open, oldest first."""
        shown = requests[:MAX_OPEN]
        matches = self._match([*shown[:MAX_BESIDE], *self._waiting[:MAX_BESIDE]], now_ns)
        return InFlight(now_ns, len(requests), tuple(self._open(request, matches, now_ns) for request in shown))

    def forget(self) -> None:
        """Drop what is remembered of threads that are gone."""
        self._matcher.forget_all_but(self._threads())

    def _threads(self) -> list[Thread]:
        return [thread for process in self._reader.processes.values() for thread in process.all_threads()]

    def _threads_for(self, request: WireRequest) -> list[Thread]:
        """Return the threads of the processes that have its connection open; all where that is not known."""
        inode = self._sockets.connection(request.local, request.remote)
        owners = self._sockets.owners(inode) if inode else set()
        return [thread for thread in self._threads() if not owners or thread.pid in owners]

    def _number_of(self, request: WireRequest) -> int:
        """Return the kernel's number of its connection; that of the capture where it is closed already."""
        inode = self._sockets.connection(request.local, request.remote)
        return (self._sockets.cookie(inode) if inode else None) or request.connection

    def _match(self, requests: Sequence[WireRequest], now_ns: int) -> dict[int, Match]:
        """Match those that are long enough to have been seen."""
        questions = [
            Question(_span(request), self._threads_for(request))
            for request in requests
            if self._reader.count_rounds(request.arrived_ns, request.ended_ns or now_ns) >= FEWEST_READINGS
        ]
        return self._matcher.match(questions[:MAX_QUESTIONS], now_ns)

    def _find(self, request: WireRequest, matches: dict[int, Match], now_ns: int) -> _Found:
        """Return who serves it, and what it waited for."""
        match = matches.get(request.id, Match())
        end_ns = request.ended_ns or now_ns
        booked = [
            self._booked(request, service.thread, service.start_ns, end_ns)
            for service in match.services[:MAX_ALIKE]
            if service.start_ns is not None
        ]
        if len(match.services) == 1 and booked:
            thread, start_ns = match.services[0].thread, match.services[0].start_ns or request.arrived_ns
            return _Found(thread.pid, thread.tid, start_ns, "one", booked[0], thread)
        pids = {service.thread.pid for service in match.services}
        pid = pids.pop() if len(pids) == 1 else self._root
        if match.loop:
            return _Found(match.loop.pid, match.loop.tid, request.arrived_ns, "shared", _NOTHING, None)
        if booked and len(booked) == len(match.services):
            alike = common(booked)
            if sum(alike.booked_ns) >= LEAST_ALIKE * (end_ns - request.arrived_ns):
                started_ns = request.arrived_ns + alike.booked_ns[_QUEUE]
                return _Found(pid, pid, started_ns, "one", alike, None)
        return _Found(pid, pid, request.arrived_ns, "unmatched", _NOTHING, None)

    def _booked(self, request: WireRequest, thread: Thread, start_ns: int, end_ns: int) -> Booked:
        span = _span(request)
        book = Book(thread.rests.is_rest, lambda state: state.connections == (span.connection,))
        book.add(thread.timeline, start_ns, end_ns)
        return book.balance(queue_ns=start_ns - request.arrived_ns)

    def _served(self, request: WireRequest, matches: dict[int, Match], now_ns: int) -> ServedRequest:
        found = self._find(request, matches, now_ns)
        return ServedRequest(
            at_ns=now_ns,
            id=request.id,
            connection=self._number_of(request),
            pid=found.pid,
            tid=found.tid,
            arrived_ns=request.arrived_ns,
            started_ns=found.started_ns,
            ended_ns=request.ended_ns or now_ns,
            method=request.method,
            target=request.target,
            status=request.status,
            booked_ns=found.booked.booked_ns,
            peers=found.booked.peers,
            waits=found.booked.waits,
            received_bytes=request.received_bytes,
            sent_bytes=request.sent_bytes,
            local=request.local,
            remote=request.remote,
            outcome=request.outcome or "answered",
            threads=found.threads,
            waits_lost=found.booked.waits_lost,
            fidelity="sampled",
        )

    def _open(self, request: WireRequest, matches: dict[int, Match], now_ns: int) -> OpenRequest:
        found = self._find(request, matches, now_ns)
        state = found.thread.timeline.state if found.thread else None
        asleep = state if state and state.bucket else None
        doing: Bucket = "on_cpu" if state and state.is_running else "other"
        return OpenRequest(
            id=request.id,
            pid=found.pid,
            tid=found.tid,
            arrived_ns=request.arrived_ns,
            started_ns=found.started_ns,
            method=request.method,
            target=request.target,
            booked_ns=found.booked.booked_ns,
            state=asleep.bucket if asleep and asleep.bucket else doing,
            state_since_ns=found.thread.timeline.asleep_since_ns if found.thread else request.arrived_ns,
            call=asleep.call if asleep else None,
            detail=asleep.detail if asleep else None,
            peer=asleep.peer if asleep else None,
            local=request.local,
            threads=found.threads,
        )


def _span(request: WireRequest) -> Span:
    return Span(request.id, (request.local, request.remote), request.arrived_ns, request.ended_ns)
