"""The sampled fidelity as a probe: the ledger's stand-in where BPF is not allowed.

It reads the states of the tree's threads 100 times a second, takes the requests from packets (CAP_NET_RAW), and matches
the two. Without packets it says what the threads did, and nothing of requests. The target is neither stopped nor
written to. Cost with 33 threads: 2 % of a core at rest, 9 % at 80 slow requests a second, 30 % at 300, for matching.
"""

from __future__ import annotations

import platform
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.thread_files import OpenFiles, ThreadFiles
from perfwatch.probes.records import ListenerSample, Loss
from perfwatch.probes.sampled.classify import Classifier
from perfwatch.probes.sampled.processes import ProcessTree
from perfwatch.probes.sampled.reading import Reader
from perfwatch.probes.sampled.requests import Requests
from perfwatch.probes.sampled.rests import Lasted, Spans
from perfwatch.probes.sampled.runtimes import Runtimes
from perfwatch.probes.sampled.sockets import SocketTable, ports_of
from perfwatch.probes.sampled.totals import Totals
from perfwatch.probes.wire.requests import RequestCapture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.records import Record
    from perfwatch.probes.wire.exchanges import WireRequest
    from perfwatch.probes.wire.requests import Captured

TREE_NS: Final = 100_000_000
REQUESTS_NS: Final = 50_000_000
IN_FLIGHT_NS: Final = 250_000_000
TOTALS_NS: Final = 1_000_000_000
LEARN_NS: Final = 200_000_000
"""What threads did is looked at so much later: by then the ends of most requests have been told."""
_WITHOUT_PACKETS: Final = "requests: which were served, and what each waited for; only threads are seen"
_WITHOUT_CALLS: Final = "what threads wait in: locks, calls to peers and requests cannot be told apart"


class SampledProbe:
    """Follows one process tree. `interpreter_of` gives a process's Python, or None if it has none."""

    name = "sampled"
    timed: frozenset[int] = frozenset()
    """Processes whose collections it tells: none."""
    period_s = 0.01

    def __init__(self, pid: int, interpreter_of: Callable[[int], Interpreter | None]) -> None:
        self.pid = pid
        open_files = OpenFiles()
        self._tree = ProcessTree(pid, open_files)
        self._runtimes = Runtimes(interpreter_of)
        self._sockets = SocketTable()
        self._classifier = Classifier(platform.machine(), self._sockets, self._runtimes.get)
        self._reader = Reader(self._classifier, open_files)
        self._requests = Requests(pid, self._reader, self._sockets)
        self._totals = Totals(self._reader)
        self._capture: RequestCapture | None = None
        self._open: tuple[WireRequest, ...] = ()  # those that have no answer yet
        self._spans = Spans()
        self._due = dict.fromkeys((TREE_NS, REQUESTS_NS, IN_FLIGHT_NS, TOTALS_NS), 0)
        self._in_flight = 0
        self._told_listeners: dict[str, tuple[int, int]] = {}
        self._stack = ExitStack()

    def availability(self) -> Availability:
        """Say whether the target's system calls may be read, and its packets. Opens a packet socket and closes it."""
        if not (roots.PROC / str(self.pid) / "stat").exists():
            return Availability(
                "unavailable",
                f"process {self.pid} is not to be seen",
                "everything",
                "run perfwatch as root, or as the target's user",
            )
        try:
            ThreadFiles(roots.PROC / str(self.pid), OpenFiles(0)).read("syscall")
        except (Unavailable, Vanished, OSError):
            return Availability(
                "limited",
                "the target belongs to another user, or ptrace is restricted (Yama)",
                _WITHOUT_CALLS,
                "run perfwatch as the target's user, or as root (CAP_SYS_PTRACE)",
            )
        try:
            with RequestCapture(self.pid, list):
                return AVAILABLE
        except (Unavailable, Vanished) as why:
            remedy = why.remedy if isinstance(why, Unavailable) else "attach to a process that lives"
            return Availability("limited", str(getattr(why, "reason", why)), _WITHOUT_PACKETS, remedy)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._tree.close)
            stack.callback(self._reader.close)
            stack.callback(self._sockets.close)
            try:
                self._tree.open()
            except Vanished as why:
                raise Unavailable(str(why), "attach to a process that lives") from None
            self._sockets.refresh(0, self._tree.pids)
            self._runtimes.look(0, self._tree.pids, ())
            self._capture = self._open_capture(stack)
            self._reader.read(self._tree.pids)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Read all threads; return the requests that were matched, and every 250 ms those that are open."""
        records: list[Record] = []
        self._requests.since_ns = self._requests.since_ns or now_ns  # much may have been opened since the packets
        if self._is_due(TREE_NS, now_ns):
            changes = self._tree.update(now_ns)
            records += changes
            executed = [change.pid for change in changes if change.change == "executed"]
            self._runtimes.look(now_ns, self._tree.pids, executed)
        self._reader.read(self._tree.pids)
        self._look_at_sockets(now_ns)
        if self._is_due(REQUESTS_NS, now_ns):
            self._take_requests(now_ns, records)
            if self._is_due(IN_FLIGHT_NS, now_ns):
                self._show_open(now_ns, records)
        if self._is_due(TOTALS_NS, now_ns):
            records += self._totals.take(now_ns, with_requests=self._capture is not None)
            self._sample_listeners(now_ns, records)
            self._requests.forget()
        return records

    def drain(self, now_ns: int) -> Sequence[Record]:
        """Return what is left at the end of a recording."""
        records = list(self.read(now_ns))
        self._take_requests(now_ns, records)
        records += self._totals.take(now_ns, with_requests=self._capture is not None)
        return [*records, *self._requests.settle(self._open, now_ns, all_of_them=True)]

    def listeners(self) -> list[str]:
        """Addresses that the target listens on."""
        return sorted(self._sockets.listeners)

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the tree that live."""
        return self._tree.pids

    def _look_at_sockets(self, now_ns: int) -> None:
        if self._requests.wants_look(self._open, now_ns):
            self._sockets.want()
        if self._sockets.refresh(now_ns, self._tree.pids):
            self._classifier.settle()
            self._requests.look(self._open)

    def _open_capture(self, stack: ExitStack) -> RequestCapture | None:
        try:
            return stack.enter_context(RequestCapture(self.pid, lambda: ports_of(self._sockets.listeners)))
        except (Unavailable, Vanished):
            return None  # `availability` says so

    def _is_due(self, period_ns: int, now_ns: int) -> bool:
        if now_ns < self._due[period_ns]:
            return False
        self._due[period_ns] = now_ns + period_ns
        return True

    def _take_requests(self, now_ns: int, to: list[Record]) -> None:
        if self._capture is None:
            return
        try:
            captured = self._capture.read(now_ns)
        except (Unavailable, Vanished, Malformed) as why:
            self._capture, self._open = None, ()
            to.append(Loss(now_ns, self.name, 1, f"packets can no longer be read: {why}"))
            return
        self._open = tuple(request for request in captured.open if request.status is None)
        lost = captured.lost + self._requests.add(captured.finished)
        if lost:
            to.append(Loss(now_ns, self.name, lost, "packets were lost, or came faster than they were read"))
        if captured.followed >= 1:
            self._learn(now_ns, captured)
        to += self._requests.settle(self._open, now_ns)

    def _learn(self, now_ns: int, captured: Captured) -> None:
        """Learn where threads wait for work, from when there were requests."""
        ended = [_lasted(each, now_ns) for each in captured.finished]
        self._spans.add(ended, [each.arrived_ns for each in captured.open])
        is_quiet = not captured.open and not captured.finished
        for process in self._reader.processes.values():
            for thread in process.threads.values():
                thread.rests.learn(thread.timeline, self._spans, now_ns - LEARN_NS)
                if is_quiet:
                    thread.rests.look(thread.timeline, now_ns - REQUESTS_NS)

    def _show_open(self, now_ns: int, to: list[Record]) -> None:
        if self._open or self._in_flight:
            self._in_flight = len(self._open)
            to.append(self._requests.in_flight(self._open, now_ns))

    def _sample_listeners(self, now_ns: int, to: list[Record]) -> None:
        deepest: dict[str, tuple[int, int]] = {}
        for socket in self._sockets.listening:
            backlog, limit = deepest.get(socket.local, (0, 0))
            deepest[socket.local] = (max(backlog, socket.recv_q), max(limit, socket.send_q))
        for address, figures in deepest.items():
            if self._told_listeners.get(address) != figures:
                self._told_listeners[address] = figures
                to.append(ListenerSample(now_ns, address, *figures))


def _lasted(request: WireRequest, now_ns: int) -> Lasted:
    ended_ns = request.ended_ns or now_ns
    return Lasted(request.arrived_ns, request.answered_ns or ended_ns, ended_ns)
