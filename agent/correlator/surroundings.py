"""All that was measured around the requests: the queues they wait in, who else is there, what perfwatch costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from perfwatch.agent.correlator.code import Code
from perfwatch.agent.correlator.connections import Connections
from perfwatch.agent.correlator.costs import Costs
from perfwatch.agent.correlator.cpus import Cpus
from perfwatch.agent.correlator.deadlocks import Deadlocks
from perfwatch.agent.correlator.disks import Disks
from perfwatch.agent.correlator.histories import Histories
from perfwatch.agent.correlator.limits import Cgroups, Pressures
from perfwatch.agent.correlator.memory import Memory
from perfwatch.agent.correlator.seconds import KEPT, WHOLE
from perfwatch.agent.correlator.services import Services
from perfwatch.agent.correlator.sockets import Sockets
from perfwatch.agent.correlator.threads import ThreadStates, ThreadTimes
from perfwatch.probes import frames, records, samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.host import Host
    from perfwatch.agent.model import TargetInfo

Sample: TypeAlias = (
    samples.CpuSample
    | samples.PressureSample
    | samples.CgroupSample
    | samples.MemorySample
    | samples.ProcessMemory
    | samples.DiskSample
    | samples.DiskLatency
    | samples.DiskUsers
    | samples.TargetFiles
    | samples.ProcessIo
    | samples.SocketsSample
    | samples.NetworkSample
    | samples.Connection
    | samples.ThreadsSample
    | samples.ThreadTime
    | samples.CollectorSample
    | samples.RateChange
    | frames.ThreadStacks
    | frames.PythonSample
    | frames.GcPause
    | frames.Span
    | records.TreeMember
    | records.PeerProcess
    | records.ThreadWait
)


class Surroundings:
    """One state for each resource; each takes in the records of its probe."""

    def __init__(self, host: Host, targets: Sequence[TargetInfo] = (), *, whole: bool = False) -> None:
        """`whole`: what is kept of the last seconds else is kept of all."""
        seconds = WHOLE if whole else KEPT
        self.host = host
        self.cpus = Cpus(host.cpus)
        self.memory = Memory()
        self.disks = Disks(seconds)
        self.sockets = Sockets(seconds)
        self.connections = Connections()
        self.cgroups = Cgroups()
        self.pressures = Pressures(seconds)
        self.threads = ThreadStates()
        self.thread_times = ThreadTimes()
        self.histories = Histories(whole=whole)
        self.costs = Costs()
        self.code = Code()
        self.services = Services(targets)
        self.deadlocks = Deadlocks()

    def take(self, record: Sample) -> None:  # noqa: C901, PLR0912 - one line for each kind of record
        """Hand a record to its state."""
        match record:
            case samples.CpuSample():
                self.cpus.sample(record)
            case samples.PressureSample():
                self.pressures.sample(record)
            case samples.CgroupSample():
                self.cgroups.sample(record)
            case samples.MemorySample():
                self.memory.sample(record)
            case samples.ProcessMemory():
                self.memory.process(record)
            case samples.DiskSample():
                self.disks.sample(record)
            case samples.DiskLatency():
                self.disks.latency(record)
            case samples.DiskUsers():
                self.disks.users(record)
            case samples.TargetFiles():
                self.disks.files(record)
            case samples.ProcessIo():
                self.disks.process(record)
            case samples.SocketsSample():
                self.sockets.sample(record)
            case samples.NetworkSample():
                self.sockets.network(record)
            case samples.Connection():
                self.connections.add(record)
            case samples.ThreadsSample():
                self.threads.sample(record)
                self.histories.sample(record, self.code)
            case samples.ThreadTime():
                self.thread_times.add(record)
            case samples.CollectorSample():
                self.costs.sample(record)
            case samples.RateChange():
                self.costs.change(record)
            case frames.PythonSample():
                self.code.take(record)
                self.deadlocks.threads(record)
            case frames.ThreadStacks() | frames.GcPause() | frames.Span():
                self.code.take(record)
            case records.ThreadWait():
                self.code.waited(record)
            case records.TreeMember():
                self.services.member(record)
            case records.PeerProcess():
                self.services.peer(record)
            case _:
                assert_never(record)
