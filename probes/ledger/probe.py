"""The ledger as a probe: attaches to a process tree, follows it, and yields its requests.

Needs root, or CAP_BPF and CAP_PERFMON; Linux 6.3 with BTF (the socket tracepoints); libbpf.so.1. Its cost stands in
docs/benchmarks.md. The target is neither stopped nor written to.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import psutil
from msgspec.structs import replace

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.frames import TasksSample
from perfwatch.probes.ledger import cleartext, collectors
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger.assemble import Assembler, pause
from perfwatch.probes.ledger.code_events import PauseEvent, StackEvent
from perfwatch.probes.ledger.exchanges import CONVERSATION, Rest, parse_rest
from perfwatch.probes.ledger.frame_events import FrameEvent
from perfwatch.probes.ledger.percpu import preempt_count_distance
from perfwatch.probes.ledger.programs import Programs
from perfwatch.probes.ledger.step_events import StepEvent
from perfwatch.probes.ledger.symbols import KernelSymbols
from perfwatch.probes.ledger.waiting import waiting_for_events
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers import uprobes
from perfwatch.probes.readers.calls import NAMES, classes
from perfwatch.probes.readers.libbpf import BpfMap, BpfObject
from perfwatch.probes.readers.perf_event import online_cpus, open_clock
from perfwatch.probes.records import InFlight, ListenerSample, Loss, OpenRequest, ServedRequest, TargetChange
from perfwatch.probes.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.records import Record

CLOCK_NS: Final = 10_000_000
"""Between two looks at what a CPU runs, of its own time."""
SCAN_NS: Final = 250_000_000
WRITES_NS: Final = 1_000_000
"""A write is over so long after it began."""
LISTENERS_NS: Final = 1_000_000_000
MAX_OPEN: Final = 64
SEARCH_NS: Final = 30_000_000_000
NEW_NS: Final = 10_000_000_000
FORGET_NS: Final = 10_000_000_000
_LOSSES: Final = (  # by enum counter
    "requests came faster than they were read",
    "waits came faster than they were read",
    "reads began no HTTP/1 request and no TLS: another protocol, which is not followed",
    "more requests or processes at a time than the ledger holds",
    "stacks came faster than they were read",
    "collector pauses came faster than they were read",
    "steps of event loops came faster than they were read",
    "TLS connections could not be followed record by record: joined in the middle of one, or with early data",
    "HTTP/2 connections could not be followed: encrypted where it cannot be read, or what passed was no frame",
)
_LOST_STEPS: Final = 6
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC


class LedgerProbe:
    """Follows a process tree, or several: `also` has the roots of the others.

    `interpreter_of` gives a process's Python, or None if it has none.
    """

    name = "ledger"
    period_s = 0.1
    """Half of it would cost a third more: what reads a few events at a time has to warm up for each few."""

    def __init__(
        self,
        pid: int,
        interpreter_of: Callable[[int], Interpreter | None],
        *,
        also: Sequence[int] = (),
        times_collections: bool = True,
        reads_clear_text: bool = True,
    ) -> None:
        self._trees = Trees((pid, *also))
        self._reads_clear_text = reads_clear_text
        self._times_collections = times_collections
        self._programs = Programs(interpreter_of)
        self._machine = platform.machine()
        self._changes: list[TargetChange] = []
        self._refused: list[Loss] = []  # what could not be attached
        self._pids: set[int] = set()
        self._looked_into: set[int] = set()  # processes whose collector was tried to be watched
        self._new: dict[int, int] = {}  # processes whose event loops are looked for: until when
        self._searched: dict[int, int] = {}  # processes without an interpreter so far: until when to look
        self._early: list[Record] = []  # taken before the time to read
        self._left: list[ev.RequestEvent] = []  # streams of processes that have ended
        self._next_scan_ns = self._next_listeners_ns = self._next_prune_ns = 0
        self._counted = [0] * len(_LOSSES)
        self._in_flight = -1
        self._told_listeners: dict[str, tuple[int, int, int | None]] = {}

    def availability(self) -> Availability:
        """Load the program and unload it: what the kernel allows, it alone knows. About 0.3 s."""
        try:
            _need_first_pid_namespace()
            with self._object() as bpf:
                bpf.load()
        except Unavailable as why:
            return Availability("unavailable", why.reason, "exact ledgers: where each request's time went", why.remedy)
        return AVAILABLE if uprobes.are_possible() else cleartext.LIMITED

    def __enter__(self) -> Self:
        _need_first_pid_namespace()
        self._bpf = self._object()
        self._collectors = collectors.Collectors(self._bpf)
        self._clear_text = cleartext.ClearText(self._bpf, is_wanted=self._reads_clear_text)
        try:
            self._load()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the requests that ended, and every 250 ms those that have not."""
        records, self._early = self._early, []
        self._take_events(now_ns, records)
        left, self._left = self._left, []
        self._tell_streams([*left, *self._assembler.release(now_ns - WRITES_NS)], now_ns, records)
        if now_ns >= self._next_scan_ns:
            self._next_scan_ns = now_ns + SCAN_NS
            self._search_again(now_ns)
            self._watch_libraries()
            self._look_for_loops(now_ns)
            self._collectors.drop_dear(now_ns)
            self._clear_text.drop_dear(now_ns)
            self._miss(now_ns)
            self._scan(now_ns, records)
            self._count_losses(now_ns, records)
        if now_ns >= self._next_listeners_ns:
            self._next_listeners_ns = now_ns + LISTENERS_NS
            self._sample_listeners(now_ns, records)
        changes, self._changes = self._changes, []
        refused, self._refused = self._refused, []
        return [*self._trees.told(now_ns), *changes, *refused, *records]

    def learn(self, records: Sequence[Record]) -> None:
        """Take in what another probe has just found of asyncio's tasks: which request waits on which connection.

        What the kernel told until then is taken before: a connection that was used anew since says nothing.
        """
        samples = [record for record in records if isinstance(record, TasksSample)]
        if samples:
            self._take_events(time.monotonic_ns(), self._early)
            self._assembler.witness(samples, self._remote_of)

    def drain(self, now_ns: int) -> Sequence[Record]:
        """Return what is left at the end of a recording: also requests that were answered less than 100 ms ago."""
        entries = [data for _, data in self._requests.entries()]  # before the events, which bring their steps
        records = list(self.read(now_ns))
        self._tell_streams(self._assembler.release(now_ns), now_ns, records)
        told = {record.id for record in records if isinstance(record, ServedRequest)}
        for data in entries:
            stage = ev.parse_stage(data)
            is_told = stage.id in told or self._assembler.is_told(stage)  # one that ended in between, by its own event
            if stage.flags & (ev.ANSWERED | ev.FINAL) == ev.ANSWERED and not is_told:
                self._tell(ev.parse_request(data), now_ns, records)
        return records

    def listeners(self) -> list[str]:
        """Addresses that the target listens on."""
        return sorted(ev.parse_listener(value).address.text(self._unix_name) for _, value in self._listeners.entries())

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the tree that live."""
        return frozenset(self._pids)

    @property
    def timed(self) -> frozenset[int]:
        """Those whose collections are told."""
        return self._collectors.pids

    # --- attaching

    def _object(self) -> BpfObject:
        bpf = BpfObject(object_file(self._machine).read_bytes())
        programs = (*collectors.PROGRAMS, *cleartext.PROGRAMS)
        if uprobes.are_possible():
            bpf.expect_uprobes(*programs)
        else:
            bpf.leave_out(*programs)
        return bpf

    def _close(self) -> None:
        self._collectors.close()
        self._clear_text.close()
        self._programs.close()
        self._bpf.close()

    def _load(self) -> None:
        bpf = self._bpf
        bpf.load()
        self._targets = bpf.map("targets", 4, ev.TARGET.size)
        self._requests = bpf.map("requests", 8, ev.MOST_REQUEST_BYTES)
        self._threads = bpf.map("threads", 4, ev.THREAD.size)
        self._listeners = bpf.map("listeners", 8, ev.LISTENER.size)
        self._unix_names = bpf.map("unix_names", 8, ev.UNIX_NAME_BYTES)
        self._conversations = bpf.map("conversations", 8, CONVERSATION.size)
        self._epoll_waiters = bpf.map("epoll_waiters", 4, 4)
        self._counters = bpf.map("counters", 4, 8 * bpf.possible_cpus())
        self._clear_text.open()
        self._assembler = Assembler(
            self._machine, KernelSymbols(roots.KALLSYMS), self._unix_name, self._head_of, self._rest_of
        )
        self._configure(bpf.map("call_classes", 4, 1))
        bpf.open_ring("events")
        bpf.attach()
        self._attach_clocks()
        for target in self._trees.targets:
            self._take_up(target)
        for pid in sorted(self._pids):
            self._find_listeners(pid)
        self._watch_libraries()
        self._look_for_loops(time.monotonic_ns())

    def _take_up(self, target: int) -> None:
        try:
            self._add(target, target)
            # Its forks are seen from here on; who was forked before is found now.
            for pid in _descendants(target):
                self._add(pid, target)
        except OSError as error:
            raise Unavailable(
                f"the ledger cannot take up process {target} ({error.strerror})", "attach to one of its children"
            ) from None

    def _configure(self, call_classes: BpfMap) -> None:
        for number, kind in classes(self._machine).items():
            call_classes.put(struct.pack("=I", number), struct.pack("=B", kind))
        if self._machine == "x86_64":
            distance = self._bpf.map("preempt_count_distance", 4, 8)
            distance.put(struct.pack("=I", 0), struct.pack("=q", preempt_count_distance()))

    def _attach_clocks(self) -> None:
        """Look at each CPU at even distances of its time: what runs there for a request."""
        try:
            for cpu in online_cpus():
                clock = open_clock(cpu, CLOCK_NS)
                try:
                    self._bpf.attach_perf_event("on_tick", clock)
                finally:
                    os.close(clock)
        except OSError as error:  # the ledger is whole without it
            reason = f"the code that runs cannot be looked at ({error.strerror}): only what waits has stacks"
            self._refused.append(Loss(time.monotonic_ns(), self.name, 1, reason))

    def _add(self, pid: int, target: int) -> None:
        self._targets.put(struct.pack("=I", pid), self._interpreter_of(pid))
        self._pids.add(pid)
        self._new[pid] = time.monotonic_ns() + NEW_NS
        self._trees.take_up(pid, target)

    def _renew(self, pid: int) -> None:
        """Say where the interpreter of a process is now; of one that has ended meanwhile the kernel keeps nothing."""
        self._targets.replace(struct.pack("=I", pid), self._interpreter_of(pid))

    def _interpreter_of(self, pid: int) -> bytes:
        found = self._programs.target(pid)
        if found is None:
            self._searched.setdefault(pid, time.monotonic_ns() + SEARCH_NS)
            return bytes(ev.TARGET.size)
        self._searched.pop(pid, None)
        return found

    def _look_for_loops(self, now_ns: int) -> None:
        """Note the threads of new processes that wait for events."""
        for pid, until_ns in list(self._new.items()):
            if now_ns > until_ns or pid not in self._pids:
                del self._new[pid]
            for tid in waiting_for_events(pid, self._machine):
                self._epoll_waiters.put(struct.pack("=I", tid), struct.pack("=I", pid))

    def _watch_libraries(self) -> None:
        """Set probes on OpenSSL, and on the collectors, of processes that are new, and outlived one scan."""
        for pid in self._pids - self._looked_into - self._searched.keys():
            self._looked_into.add(pid)
            self._clear_text.watch(pid)
            interpreter = self._programs.interpreter_of(pid) if self._times_collections else None
            if interpreter:
                self._collectors.watch(pid, interpreter)

    def _forget(self, pid: int) -> None:
        """Let go of a process that has ended or executes another program."""
        self._looked_into.discard(pid)
        self._left += self._assembler.end_process(pid, time.monotonic_ns())
        self._collectors.forget(pid)
        self._clear_text.forget(pid)
        self._programs.forget(pid)

    def _search_again(self, now_ns: int) -> None:
        """Look for the interpreters that were not loaded yet: a program that has just been executed loads it later."""
        for pid, until_ns in list(self._searched.items()):
            if now_ns > until_ns or pid not in self._pids:
                del self._searched[pid]
            else:
                self._renew(pid)

    def _find_listeners(self, pid: int) -> None:
        with suppress(OSError):  # it has just ended
            self._bpf.iterate("find_listeners", pid)

    # --- events

    def _take_events(self, now_ns: int, to: list[Record]) -> None:
        events = ev.parse_events(self._bpf.consume())
        self._assembler.expect(events)
        for event in events:
            if isinstance(event, StepEvent):  # most of all
                self._assembler.add_step(event)
            elif isinstance(event, ev.RequestEvent):
                self._tell(event, now_ns, to)
            else:
                self._take(event, now_ns, to)

    def _take(self, event: ev.RareEvent, now_ns: int, to: list[Record]) -> None:
        if isinstance(event, ev.WaitEvent) and event.request == ev.KEEPER:
            to.append(self._assembler.thread_wait(event, now_ns))
        elif isinstance(event, ev.WaitEvent):
            self._assembler.add_wait(event)
        elif isinstance(event, StackEvent):
            self._assembler.add_stack(event, self._programs.frames(event))
        elif isinstance(event, PauseEvent):
            self._collectors.count(event.pid)
            to.append(pause(event, now_ns))
        elif isinstance(event, FrameEvent):
            self._tell_streams(self._assembler.add_frame(event), now_ns, to)
        else:
            self._change(event)

    def _rest_of(self, connection: int) -> Rest | None:
        data = self._conversations.get(struct.pack("=Q", connection))
        return parse_rest(data) if data else None

    def _tell_streams(self, ended: list[ev.RequestEvent], now_ns: int, to: list[Record]) -> None:
        for event in ended:
            self._tell(event, now_ns, to)

    def _tell(self, event: ev.RequestEvent, now_ns: int, to: list[Record]) -> None:
        if event.protocol == "tls" and not event.head:
            self._clear_text.miss(event.pid, now_ns)
        record = self._assembler.served(event, now_ns)
        if record:
            to.append(record)

    def _change(self, event: ev.ProcessEvent) -> None:
        if event.kind == ev.EVENT_FORK:
            self._pids.add(event.pid)
            self._new[event.pid] = event.at_ns + NEW_NS
            self._trees.fork(event.pid, event.parent)
            if event.parent in self._searched:
                self._searched[event.pid] = event.at_ns + SEARCH_NS
            self._say(event, "forked", f"by {event.parent}")
        elif event.kind == ev.EVENT_EXEC:
            self._forget(event.pid)
            self._renew(event.pid)
            self._find_listeners(event.pid)
            self._new[event.pid] = event.at_ns + NEW_NS
            self._say(event, "executed", _command(event.pid))
        elif event.pid in self._pids:
            self._pids.discard(event.pid)
            self._forget(event.pid)
            self._say(event, "exited", self._trees.end(event.pid))
            if not self._pids:
                self._say(event, "gone", self._trees.gone())

    def _miss(self, now_ns: int) -> None:
        """Notice processes whose end was not told: it came before the attaching, or its event was lost."""
        for pid in [pid for pid in self._pids if not (roots.PROC / str(pid)).exists()]:
            self._targets.delete(struct.pack("=I", pid))
            self._change(ev.ProcessEvent(ev.EVENT_EXIT, now_ns, pid, 0))

    def _say(
        self, event: ev.ProcessEvent, change: Literal["forked", "executed", "exited", "gone"], detail: str
    ) -> None:
        self._changes.append(TargetChange(event.at_ns, event.pid, change, detail))

    # --- what has not ended

    def _scan(self, now_ns: int, to: list[Record]) -> None:
        ids, waiting = set(), []
        for key, data in self._requests.entries():
            stage = ev.parse_stage(data)
            ids.add(stage.id)
            idle_ns = now_ns - stage.ended_ns
            if stage.flags & ev.FINAL:
                continue  # told, and the connection has gone on to another protocol
            if stage.flags & ev.ANSWERED and not stage.flags & ev.DOUBTFUL:
                if idle_ns >= ev.CLOSED_AFTER_NS and not self._assembler.is_told(stage):
                    self._tell(ev.parse_request(data), now_ns, to)
                if (stage.family == socket.AF_UNIX or stage.flags & ev.RESET) and idle_ns >= FORGET_NS:
                    self._requests.delete(key)  # the end of a Unix connection is no event, that of a reset one was
            elif stage.flags & ev.RESET and idle_ns >= FORGET_NS and self._is_left(event := ev.parse_request(data)):
                self._requests.delete(key)
                self._tell(replace(event, flags=event.flags | ev.ABORTED | ev.FINAL), now_ns, to)
            else:
                waiting.append(ev.parse_request(data))
        self._tell_streams(self._assembler.settle(now_ns), now_ns, to)
        streams = self._assembler.under_way()
        self._show_open([*waiting, *streams], now_ns, to)
        ids |= {stream.id for stream in streams}
        if now_ns >= self._next_prune_ns:
            self._next_prune_ns = now_ns + FORGET_NS
            self._assembler.forget_all_but(ids)

    def _show_open(self, waiting: list[ev.RequestEvent], now_ns: int, to: list[Record]) -> None:
        if waiting or self._in_flight:
            waiting.sort(key=lambda event: event.started_ns)
            self._in_flight = len(waiting)
            shown = tuple(self._open(event, now_ns) for event in waiting[:MAX_OPEN])
            to.append(InFlight(now_ns, len(waiting), shown))

    def _is_left(self, event: ev.RequestEvent) -> bool:
        """Whether the thread of a request that the client gave up does not work for it alone (any more)."""
        thread = self._thread(event.tid)
        return thread is None or thread.request != event.id or thread.loops

    def _thread(self, tid: int) -> ev.ThreadState | None:
        data = self._threads.get(struct.pack("=I", tid))
        return ev.parse_thread(data) if data else None

    def _open(self, event: ev.RequestEvent, now_ns: int) -> OpenRequest:
        tid = self._assembler.thread_of(event)
        thread = self._thread(tid) if tid else None
        waits_at = thread.waits_at if thread and not thread.idles else None
        return self._assembler.open(event, thread, now_ns, self._programs.frames(waits_at) if waits_at else ())

    def _count_losses(self, now_ns: int, to: list[Record]) -> None:
        for counter, reason in enumerate(_LOSSES):
            values = self._counters.get(struct.pack("=I", counter)) or b""
            total = sum(value for (value,) in struct.iter_unpack("=Q", values))
            lost, self._counted[counter] = total - self._counted[counter], total
            if lost and counter == _LOST_STEPS:
                self._assembler.doubt()
            if lost:
                to.append(Loss(now_ns, self.name, lost, reason))
        to.extend(Loss(now_ns, self.name, 1, reason) for reason in self._clear_text.reasons())

    # --- listeners

    def _sample_listeners(self, now_ns: int, to: list[Record]) -> None:
        for key, value in self._listeners.entries():
            found = ev.parse_listener(value)
            sample = ListenerSample(
                now_ns, found.address.text(self._unix_name), found.backlog, found.backlog_max, found.recv_q
            )
            told = (sample.backlog, sample.backlog_max, sample.recv_q_bytes)
            if self._told_listeners.get(sample.address) != told:
                self._told_listeners[sample.address] = told
                to.append(sample)
            if found.backlog or found.recv_q:
                self._listeners.put(key, ev.cleared_listener(value))

    def _head_of(self, connection: int, id_: int) -> bytes:
        """Return the first bytes of a request that is under way; none if it has ended meanwhile."""
        data = self._requests.get(struct.pack("=Q", connection))
        return ev.parse_request(data).head if data and ev.parse_stage(data).id == id_ else b""

    def _remote_of(self, connection: int) -> str | None:
        """Return the client's address of an accepted connection, while a request of it is known."""
        data = self._requests.get(struct.pack("=Q", connection))
        return ev.parse_request(data).remote.text(self._unix_name) if data else None

    def _unix_name(self, key: bytes) -> str | None:
        name = self._unix_names.get(key)
        if name is None:
            return None
        if name[:1] == b"\0":  # the abstract name space
            return "@" + name[1:].rstrip(b"\0").decode(errors="replace")
        return name.split(b"\0", 1)[0].decode(errors="replace")


def object_file(machine: str) -> Path:
    """Path of the BPF object for an architecture; raises Unavailable where there is none."""
    path = Path(__file__).with_name(f"ledger.{machine}.bpf.o")
    if machine not in NAMES or not path.exists():
        raise Unavailable(f"there is no ledger for {machine} machines", "build one: make bpf")
    return path


def _need_first_pid_namespace() -> None:
    """Raise Unavailable in a container: the kernel tells PIDs of the host, which mean nothing there."""
    if (roots.PROC / "self" / "ns" / "pid").stat().st_ino != _FIRST_PID_NAMESPACE:
        raise Unavailable(
            "perfwatch runs in a PID namespace of its own (a container)", "run it on the host, or with --pid=host"
        )


def _descendants(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _command(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "?"
