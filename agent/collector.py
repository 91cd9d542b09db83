"""Runs the probes at their rates and merges their records into one stream, in order of time.

One thread, no files, no screen: what becomes of the stream is up to whoever consumes it.
"""

from __future__ import annotations

import platform
import time
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Self

import psutil

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus, SessionInfo
from perfwatch.agent.target import printable, runtime_of
from perfwatch.probes.errors import ProbeError, Unavailable
from perfwatch.probes.host import HostProbe
from perfwatch.probes.ledger.probe import LedgerProbe
from perfwatch.probes.records import TargetChange

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import TracebackType

    from perfwatch.agent.target import Target
    from perfwatch.probes.probe import Probe
    from perfwatch.probes.records import Record


class Collector:
    """Attached while it is entered. Raises PerfwatchError where the ledger is not to be had."""

    def __init__(self, target: Target, *, slow_ms: float | None = None) -> None:
        self._target = target
        self._slow_ms = slow_ms
        self._ledger = LedgerProbe(target.pid, runtime_of)
        host = HostProbe(lambda: self._ledger.pids)
        self._probes: tuple[Probe, ...] = (self._ledger, host)
        self._stack = ExitStack()
        self.ended: str | None = None
        """Why the stream ended by itself: the target is gone. None while it lives."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            with _explained():
                for probe in self._probes:
                    stack.enter_context(probe)
                self.info = self._describe()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the target's tree that live, as of the last batch."""
        return self._ledger.pids

    def batches(self, stop: threading.Event, duration_s: float | None = None) -> Iterator[tuple[Record, ...]]:
        """Yield records, oldest first, 20 times a second, until `stop` is set, the time is over, or the target gone.

        The last batch holds what was still open. A consumer may take its time: events wait in the kernel's buffer.
        Raises PerfwatchError where a probe fails.
        """
        due = dict.fromkeys(self._probes, 0.0)
        started = time.monotonic()
        workers = len(self._ledger.pids) - 1
        yield (TargetChange(time.monotonic_ns(), self._target.pid, "attached", f"{workers} workers"),)
        while not stop.is_set() and self.ended is None:
            now = time.monotonic()
            if duration_s is not None and now - started >= duration_s:
                break
            records: list[Record] = []
            for probe in self._probes:
                if now >= due[probe]:
                    due[probe] = max(due[probe] + probe.period_s, now)
                    with _explained():
                        records += probe.read(time.monotonic_ns())
            yield self._in_order(records)
            stop.wait(max(min(due.values()) - time.monotonic(), 0.0))
        with _explained():
            left = self._ledger.drain(time.monotonic_ns())
        yield self._in_order(list(left))

    def _in_order(self, records: list[Record]) -> tuple[Record, ...]:
        for record in records:
            if isinstance(record, TargetChange) and record.change == "gone":
                self.ended = record.detail
        return tuple(sorted(records, key=lambda record: record.at_ns))

    def _describe(self) -> SessionInfo:
        host = platform.uname()
        return SessionInfo(
            perfwatch_version=version("perfwatch"),
            started_unix_ns=time.time_ns(),
            started_ns=time.monotonic_ns(),
            pid=self._target.pid,
            command=self._target.command,
            python=self._target.python,
            server=self._target.server,
            listeners=tuple(self._ledger.listeners()),
            fidelity="exact",
            slow_ms=self._slow_ms,
            hostname=host.node,
            kernel=host.release,
            machine=host.machine,
            cpus=psutil.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            probes=tuple(ProbeStatus(probe.name, "running") for probe in self._probes),
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a probe's failure into the one line that the user sees."""
    try:
        yield
    except Unavailable as why:
        raise PerfwatchError(why.reason, why.remedy) from None
    except (ProbeError, OSError) as error:
        raise PerfwatchError(f"a probe failed: {printable(str(error))}", "perfwatch doctor") from error
