"""Counters of a Perfetto trace: queues, and how busy the host and the target are, as probes read that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.interpreters import gil_rate
from perfwatch.agent.correlator.rates import cpu_rate, disk_rate, grown, spent_part
from perfwatch.probes.frames import PythonSample
from perfwatch.probes.records import HostSample, InFlight, ListenerSample, ProcessSample
from perfwatch.probes.samples import CpuSample, DiskSample, MemorySample, SocketsSample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias, TypeVar

    from perfwatch.agent.export.perfetto_trace import Trace
    from perfwatch.agent.model import Record

    _Sample = TypeVar("_Sample", bound=Record)
    Value: TypeAlias = tuple[int, str, str, float]
    """When, the counter's name and unit, how much."""


class Counters:
    """Makes values of records, of two of one subject where one alone says nothing."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._queues = trace.track("Queues")
        self._earlier: dict[tuple[type, object], Record] = {}

    def take(self, record: Record) -> None:
        """Write what a record says."""
        for at_ns, name, unit, value in self._values(record):
            self._trace.count(self._trace.counter(name, self._queues, unit), at_ns, value)

    def _values(self, record: Record) -> Iterator[Value]:
        at_ns = record.at_ns
        match record:
            case InFlight():
                yield at_ns, "requests in flight", "requests", record.count
            case ListenerSample():
                yield at_ns, f"accept queue {record.address}", "connections", record.backlog
            case SocketsSample():
                yield at_ns, "sockets: bytes to be read", "bytes", record.recv_q_bytes
                yield at_ns, "sockets: bytes to be sent", "bytes", record.send_q_bytes
            case MemorySample():
                yield at_ns, "memory available", "bytes", record.available_bytes
            case HostSample() if (CpuSample, None) not in self._earlier:
                yield at_ns, "run queue", "threads", record.runnable
            case CpuSample():
                yield from _cpu(record, self._before(record))
            case DiskSample():
                yield from _disk(record, self._before(record, record.device))
            case ProcessSample():
                yield from _process(record, self._before(record, record.pid))
            case PythonSample():
                yield from _interpreter(record, self._before(record, record.pid))
            case _:
                pass

    def _before(self, record: _Sample, subject: object = None) -> _Sample | None:
        """Return the record of this kind and subject before this one."""
        key = (type(record), subject)
        earlier = self._earlier.get(key)
        self._earlier[key] = record
        return earlier if isinstance(earlier, type(record)) else None


def _cpu(record: CpuSample, earlier: CpuSample | None) -> Iterator[Value]:
    if earlier is None:
        return
    rate = cpu_rate(earlier, record)
    if rate is not None:
        yield record.at_ns, "CPU busy", "%", rate.busy * 100
    passed_ns, readings = record.at_ns - earlier.at_ns, record.runnable
    for number, runnable in enumerate(readings, 1):
        yield earlier.at_ns + passed_ns * number // len(readings), "run queue", "threads", runnable


def _disk(record: DiskSample, earlier: DiskSample | None) -> Iterator[Value]:
    rate = disk_rate(earlier, record) if earlier is not None else None
    if rate is not None:
        yield record.at_ns, f"disk queue {record.device}", "requests", rate.depth


def _process(record: ProcessSample, earlier: ProcessSample | None) -> Iterator[Value]:
    at_ns, process = record.at_ns, f"{record.role} {record.pid}"
    yield at_ns, f"memory of {process}", "bytes", record.rss_bytes
    if earlier is None:
        return
    used = spent_part(grown(earlier.cpu_ns, record.cpu_ns), at_ns - earlier.at_ns)
    if used is not None:
        yield at_ns, f"CPU of {process}", "%", used * 100


def _interpreter(record: PythonSample, earlier: PythonSample | None) -> Iterator[Value]:
    rate = gil_rate(earlier, record) if earlier is not None else None
    if rate is not None:
        yield record.at_ns, f"interpreter lock held in {record.pid}", "%", rate.held * 100
