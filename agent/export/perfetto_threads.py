"""Threads of a Perfetto trace: what each was found doing, its waits outside of requests, and collections of garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.buckets import MEANING
from perfwatch.agent.correlator.thread_state import doing_of
from perfwatch.agent.export.perfetto_slices import wait_slices
from perfwatch.agent.export.perfetto_trace import Slice
from perfwatch.probes.frames import GcPause, PythonSample, ThreadStacks
from perfwatch.probes.records import ThreadWait, TreeMember
from perfwatch.probes.samples import ThreadsSample

if TYPE_CHECKING:
    from perfwatch.agent.export.perfetto_trace import Trace, Track
    from perfwatch.agent.model import Frame, Record, SessionInfo
    from perfwatch.agent.model_threads import Doing

_STATE: Final = "state, as it was read"
_WAITS: Final = "waits, outside of requests"
_COLLECTOR: Final = "garbage collector"


class _Stretch(NamedTuple):
    """For how long a thread was found doing the same."""

    doing: Doing
    call: str | None
    channel: str | None
    begin_ns: int


class Threads:
    """Knows the threads by their names, and writes what they did besides requests."""

    def __init__(self, trace: Trace, info: SessionInfo) -> None:
        self._trace = trace
        self._server = info.server
        self._servers = {one.pid: one.server for one in info.targets}
        """Of each process what it runs, where several services are watched."""
        self._names: dict[tuple[int, int], str] = {}
        self._stacks: dict[tuple[int, int], tuple[Frame, ...]] = {}
        self._doing: dict[int, dict[int, _Stretch]] = {}
        """By process and thread."""
        self._read_ns: dict[int, int] = {}

    def track(self, pid: int, tid: int) -> Track:
        """Return the track of a thread, below its process."""
        self._process(pid)
        return self._trace.thread(pid, tid, self._names.get((pid, tid), "thread"))

    def take(self, record: Record) -> None:
        """Write what a record says of threads."""
        match record:
            case ThreadsSample():
                self._read(record)
            case ThreadStacks():
                for sample in record.samples:
                    self._stacks[record.pid, sample.tid] = record.table.stack(sample.stack)
            case PythonSample():
                self._names |= {(record.pid, thread.tid): thread.name for thread in record.threads}
            case ThreadWait():
                track = self._trace.track(_WAITS, self.track(record.pid, record.tid))
                for part in wait_slices(record.wait, record.code):
                    self._trace.put(track, part)
            case TreeMember():
                self._servers[record.pid] = self._servers.get(record.target)
            case GcPause():
                self._collected(record)
            case _:
                pass

    def finish(self) -> None:
        """Write what threads were found doing last."""
        for pid in list(self._doing):
            self._changed(pid, {}, self._read_ns[pid])

    def _process(self, pid: int) -> Track:
        return self._trace.process(pid, self._servers.get(pid, self._server) or "python")

    def _read(self, record: ThreadsSample) -> None:
        found = {}
        for state in record.threads:
            self._names.setdefault((record.pid, state.tid), state.name)
            doing = doing_of(state, self._stacks.get((record.pid, state.tid), ()))
            if doing is not None:
                found[state.tid] = _Stretch(doing, state.call, state.wait_channel, record.at_ns)
        self._changed(record.pid, found, record.at_ns)
        self._read_ns[record.pid] = record.at_ns

    def _changed(self, pid: int, found: dict[int, _Stretch], at_ns: int) -> None:
        """Write what ended: whoever does something else now did so until this moment."""
        earlier = self._doing.get(pid, {})
        for tid, stretch in earlier.items():
            now = found.get(tid)
            if now is not None and now.doing == stretch.doing:
                found[tid] = stretch
                continue
            if at_ns <= stretch.begin_ns:
                continue
            meaning = "waited for work" if stretch.doing == "idle" else MEANING[stretch.doing]
            told = {"meaning": meaning, "system call": stretch.call, "kernel function": stretch.channel}
            track = self._trace.track(_STATE, self.track(pid, tid))
            self._trace.put(track, Slice(stretch.begin_ns, at_ns, stretch.doing, told))
        self._doing[pid] = found

    def _collected(self, pause: GcPause) -> None:
        track = self._trace.track(_COLLECTOR, self._process(pause.pid))
        told = {"generation": pause.generation, "freed objects": pause.collected, "request": pause.request}
        end_ns = pause.started_ns + pause.paused_ns
        self._trace.put(track, Slice(pause.started_ns, end_ns, "gc", told | {"thread": pause.tid or None}))
