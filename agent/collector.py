"""Runs the probes at their rates and merges their records into one stream, in order of time.

One thread, no files, no screen: what becomes of the stream is up to whoever consumes it. Only the probe that tells the
requests must run; one beside it that cannot, or fails, is left out with its reason.
"""

from __future__ import annotations

import platform
import resource
import time
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Self

import psutil

from perfwatch.agent.choices import Choices
from perfwatch.agent.containers import seen
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.fidelity import Learner, attach, explained
from perfwatch.agent.housekeeping import Housekeeping
from perfwatch.agent.model import SessionInfo, TargetInfo
from perfwatch.agent.reading import next_beat
from perfwatch.agent.sides import Sides
from perfwatch.probes.clocks import Clocks
from perfwatch.probes.records import TargetChange
from perfwatch.probes.table import PAUSES

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from perfwatch.agent.reading import Reading
    from perfwatch.agent.target import Target
    from perfwatch.probes.records import Record
    from perfwatch.probes.table import Entry, Tree

BATCH_S: Final = 0.05
"""Between batches, however often a probe is read."""
MAX_DESCRIPTORS: Final = 1 << 16
_SLACK_S: Final = 0.002
"""What is due so soon is done now."""


class Collector:
    """Attached while it is entered. Raises PerfwatchError where neither fidelity is to be had."""

    def __init__(self, *targets: Target, slow_ms: float | None = None, choices: Choices | None = None) -> None:
        """`targets` are the processes to follow, each with all its children."""
        self._targets = targets
        self._slow_ms = slow_ms
        self._choices = choices or Choices()
        self._stack = ExitStack()
        self.ended: str | None = None
        """Why the stream ended by itself: the target is gone. None while it lives."""

    def __enter__(self) -> Self:
        _allow_descriptors()
        with ExitStack() as stack:
            self._attached = attach([target.pid for target in self._targets], self._choices)
            core = self._attached.core
            self._learner = core if isinstance(core, Learner) else None  # asked once: it takes 4-7 us
            stack.callback(self._attached.reading.close)
            self._sides = Sides(self._tree_of, self._choices)
            stack.callback(self._sides.close)
            self._clocks = Clocks()
            self._own = Housekeeping(self._choices.budget)
            with _explained():
                self.info = self._describe()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the targets' trees that live, as of the last batch."""
        return self._attached.core.pids

    def batches(self, stop: threading.Event, duration_s: float | None = None) -> Iterator[tuple[Record, ...]]:
        """Yield records, oldest first, 20 times a second, until `stop` is set, the time is over, or the target gone.

        The last batch holds what was still open. A consumer may take its time: events wait in the kernel's buffer.
        Raises PerfwatchError where the probe that tells the requests fails.
        """
        started = next_batch = time.monotonic()
        self._begin(started)
        yield self._attachments()
        records: list[Record] = []
        while not stop.is_set() and self.ended is None:
            now = time.monotonic() + _SLACK_S
            if duration_s is not None and now - started >= duration_s:
                break
            records += self._read_due(now)
            if now >= next_batch:
                next_batch = next_beat(next_batch, BATCH_S, now)
                yield self._in_order(records)
                records = []
            stop.wait(max(min(next_batch, *self._due()) - time.monotonic(), 0.0))
        records += self._sides.read_last(time.monotonic())
        with _explained():
            records += self._attached.core.drain(time.monotonic_ns())
        yield self._in_order(records)

    def _attachments(self) -> tuple[Record, ...]:
        """Say whom the session is attached to; of one that is alone, also how many workers it has."""
        now_ns, count = time.monotonic_ns(), max(len(self.pids) - 1, 0)
        workers = f"{count} worker" if count == 1 else f"{count} workers"
        detail = workers if len(self._targets) == 1 else ""
        return tuple(TargetChange(now_ns, target.pid, "attached", detail) for target in self._targets)

    def _tree_of(self, entry: Entry) -> Tree:
        """Return whom a probe looks at: the target's processes; for collections, those that the core does not time."""
        core = self._attached.core
        return (lambda: core.pids - core.timed) if entry is PAUSES else (lambda: core.pids)

    def _begin(self, now: float) -> None:
        """Set one beat for all: a probe that is read as often as batches are made costs no wake-up of its own."""
        self._attached.reading.begin(now)
        self._sides.begin(now, BATCH_S)
        self._own.begin(now)

    def _readings(self) -> tuple[Reading, ...]:
        return (self._attached.reading, *self._sides.readings)

    def _due(self) -> Iterator[float]:
        yield self._own.due_s
        for reading in self._readings():
            yield reading.due_s

    def _read_due(self, now: float) -> list[Record]:
        records: list[Record] = []
        if now >= self._attached.reading.due_s:
            with _explained():
                requests = self._attached.reading.read(now)
            self._sides.meet(requests)
            records += requests
        found = self._sides.read_due(now)
        if self._learner is not None:
            self._learner.learn(found)
        records += found
        if now >= self._own.due_s:
            records += self._own.keep(now, self._readings())
        return records

    def _in_order(self, records: Sequence[Record]) -> tuple[Record, ...]:
        records = (*self._clocks.read(), *records)
        for record in records:
            if isinstance(record, TargetChange) and record.change == "gone":
                self.ended = record.detail
        return tuple(sorted(records, key=lambda record: record.at_ns))

    def _describe(self) -> SessionInfo:
        host, first = platform.uname(), self._targets[0]
        infos = tuple(map(_info_of, self._targets))
        return SessionInfo(
            perfwatch_version=version("perfwatch"),
            started_unix_ns=time.time_ns(),
            started_ns=time.monotonic_ns(),
            pid=first.pid,
            command=first.command,
            python=first.python,
            server=first.server,
            listeners=tuple(self._attached.core.listeners()),
            fidelity=self._attached.fidelity,
            slow_ms=self._slow_ms,
            hostname=host.node,
            kernel=host.release,
            machine=host.machine,
            cpus=psutil.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            probes=(*self._attached.statuses, *self._sides.statuses),
            inner_pid=first.inner_pid,
            targets=infos if len(infos) > 1 else (),
            container=infos[0].container,
        )


def _info_of(target: Target) -> TargetInfo:
    container = seen(target.pid).container
    return TargetInfo(target.pid, target.command, target.python, target.server, target.inner_pid, container)


def _allow_descriptors() -> None:
    """Let this process have as many open files as it may: what is read of each thread is kept open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the failure of the probe that cannot be missed into the one line that the user sees."""
    try:
        yield
    except Exception as error:
        raise PerfwatchError(*explained(error)) from error
