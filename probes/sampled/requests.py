"""From requests that packets told to records: each is matched to the thread that served it, and gets its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.records import InFlight, OpenRequest, ServedRequest
from perfwatch.probes.sampled.matching import Matcher
from perfwatch.probes.sampled.outcome import Outcome, outcome
from perfwatch.probes.sampled.sending import handed_over, is_slow_to_leave
from perfwatch.probes.sampled.spans import Match, Question, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.records import Bucket
    from perfwatch.probes.sampled.reading import Reader, Thread
    from perfwatch.probes.sampled.sockets import SocketTable
    from perfwatch.probes.wire.exchanges import WireRequest

SETTLED_NS: Final = 100_000_000
"""A request is matched this long after its end: its thread has been read since, and who else ended then is known."""
FEWEST_READINGS: Final = 2
"""A request that spans fewer is not matched: there would be nothing in its ledger."""
READ_NS: Final = 20_000_000
"""So long after its packet a request is in its socket at the latest, unless it was read from there."""
MAX_OPEN: Final = 64
MAX_BESIDE: Final = 16
"""So many requests that go on are matched beside those that have ended: who serves them does not serve these."""
MAX_QUESTIONS: Final = 128
"""So many are matched at a time; more are left unmatched."""
MAX_WAITING: Final = 4096


class Requests:
    """Holds finished requests until they can be matched."""

    def __init__(self, root: int, reader: Reader, sockets: SocketTable) -> None:
        self._root = root
        self.since_ns = 0
        """What ended before threads were read again and again is not told: all that is known of it is its length."""
        self._reader = reader
        self._sockets = sockets
        self._matcher = Matcher()
        self._waiting: list[WireRequest] = []
        self._read_ns: dict[int, int] = {}  # when an open request was first known to have been read

    def add(self, finished: Sequence[WireRequest]) -> int:
        """Take what has ended; returns how many more there were than can be kept."""
        told = [request for request in finished if (request.ended_ns or 0) >= self.since_ns]
        room = MAX_WAITING - len(self._waiting)
        self._waiting += told[:room]
        self._matcher.note(_span(request) for request in finished)
        return max(len(told) - room, 0)

    def settle(self, open_: Sequence[WireRequest], now_ns: int, *, all_of_them: bool = False) -> list[ServedRequest]:
        """Return the requests whose thread has been read since their end; `open_` are those that go on."""
        until_ns = now_ns if all_of_them else now_ns - SETTLED_NS
        due = [self._corrected(request) for request in self._waiting if (request.ended_ns or 0) <= until_ns]
        if not due:
            return []
        later = [request for request in self._waiting if (request.ended_ns or 0) > until_ns]
        self._waiting = later
        matches = self._match([*due, *later[:MAX_BESIDE], *open_[:MAX_BESIDE]], now_ns)
        served = [self._served(request, matches, now_ns) for request in due]
        kept = {request.id for request in (*later, *open_)}
        self._read_ns = {request: at_ns for request, at_ns in self._read_ns.items() if request in kept}
        return served

    def look(self, open_: Sequence[WireRequest]) -> None:
        """Note which of the open requests had been read when the table of sockets was made."""
        for request in open_[:MAX_OPEN]:
            if request.arrived_ns + READ_NS < self._sockets.made_ns and self._sockets.is_read(
                request.local, request.remote
            ):
                self._read_ns.setdefault(request.id, self._sockets.made_ns)

    def wants_look(self, open_: Sequence[WireRequest], now_ns: int) -> bool:
        """Whether there are requests that have been open for a while, and may not have been read."""
        waiting = (request for request in open_[:MAX_OPEN] if request.id not in self._read_ns)
        return any(request.arrived_ns + READ_NS < now_ns for request in waiting)

    def _corrected(self, request: WireRequest) -> WireRequest:
        if not is_slow_to_leave(request):
            return request
        corrected = handed_over(request, self._threads_for(request))
        if corrected is not request:
            self._matcher.note([_span(corrected)])
        return corrected

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
        owners = self._owners(request)
        return [thread for thread in self._threads() if not owners or thread.pid in owners]

    def _owners(self, request: WireRequest) -> frozenset[int]:
        inode = self._sockets.connection(request.local, request.remote)
        return frozenset(self._sockets.owners(inode) if inode else ())

    def _number_of(self, request: WireRequest) -> int:
        """Return the kernel's number of its connection; that of the capture where it is closed already."""
        inode = self._sockets.connection(request.local, request.remote)
        return (self._sockets.cookie(inode) if inode else None) or request.connection

    def _match(self, requests: Sequence[WireRequest], now_ns: int) -> dict[int, Match]:
        """Match those that are long enough to have been seen."""
        threads: dict[frozenset[int], list[Thread]] = {}
        questions: list[Question] = []
        for request in requests:
            if self._reader.count_rounds(request.arrived_ns, request.ended_ns or now_ns) >= FEWEST_READINGS:
                owners = self._owners(request)
                if owners not in threads:
                    threads[owners] = self._threads_for(request)
                questions.append(Question(_span(request), threads[owners]))
        return self._matcher.match(questions[:MAX_QUESTIONS], now_ns)

    def _outcome(self, request: WireRequest, matches: dict[int, Match], now_ns: int) -> Outcome:
        return outcome(request, matches.get(request.id, Match()), self._read_ns.get(request.id), self._root, now_ns)

    def _served(self, request: WireRequest, matches: dict[int, Match], now_ns: int) -> ServedRequest:
        found = self._outcome(request, matches, now_ns)
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
        found = self._outcome(request, matches, now_ns)
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
    return Span(request.id, (request.local, request.remote), request.arrived_ns, request.ended_ns, request.answered_ns)
