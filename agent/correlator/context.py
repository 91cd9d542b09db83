"""What a rule may know besides its request: what surrounds it, and the other requests of the same process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.demand import Demand
from perfwatch.agent.correlator.givers import Givers
from perfwatch.agent.correlator.habits import Habits
from perfwatch.agent.correlator.lines import without_stacks
from perfwatch.agent.correlator.loops import Loops
from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.correlator.windows import Windows
from perfwatch.agent.model import BUCKETS, Bucket, OpenRequest, ServedRequest, arrival_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.correlator.host import Host
    from perfwatch.agent.correlator.surroundings import Surroundings
    from perfwatch.agent.model import ProbeStatus, Request
    from perfwatch.probes.records import InFlight

_NAMED: Final = 4096
_PER_PROCESS: Final = 64
_MAX_PROCESSES: Final = 256
_PROTOCOLS: Final = 512
_NEAR_NS: Final = 1_000_000_000
_NOTABLE_NS: Final = 1_000_000


class Meanwhile(NamedTuple):
    """What other requests of a process spent their time on."""

    requests: int
    spent_ns: dict[Bucket, int]
    """Without `queue`: waiting for a worker keeps no worker busy."""
    in_each: dict[Bucket, int]
    """How many of them spent at least 1 ms there."""

    @property
    def most(self) -> tuple[Bucket, float] | None:
        """The bucket with most of the time, and its share; None where nothing is known."""
        total = sum(self.spent_ns.values())
        if not total:
            return None
        bucket = max(BUCKETS, key=lambda name: self.spent_ns.get(name, 0))
        return bucket, self.spent_ns[bucket] / total


class Traffic:
    """The requests that are open, and the newest of those that have ended."""

    def __init__(self, cpus: int = 1) -> None:
        self.cpus = cpus
        """Of the host."""
        self._open: dict[int, OpenRequest] = {}
        self._named: Recent[int, ServedRequest] = Recent(_NAMED)
        self._by_process: dict[int, deque[ServedRequest]] = {}
        self._open_beyond = 0
        self.habits = Habits()
        self.loops = Loops()
        self.givers = Givers()
        self.demand = Demand()
        self.windows = Windows()
        self.protocols: Recent[str, str] = Recent(_PROTOCOLS)
        """By the address of a peer, what is spoken with it."""

    @property
    def open(self) -> tuple[OpenRequest, ...]:
        """What is known to be in flight, oldest first."""
        return tuple(self._open.values())

    @property
    def open_count(self) -> int:
        """How many are in flight, with those that are not listed."""
        return len(self._open) + self._open_beyond

    def opened(self, record: InFlight) -> None:
        """Take in what is in flight now."""
        self._open = {request.id: request for request in record.requests}
        self._open_beyond = max(record.count - len(self._open), 0)

    def served(self, record: ServedRequest) -> None:
        """Take in a request that has ended."""
        self._open.pop(record.id, None)
        self.habits.served(record)
        earlier = self._named.get(record.id)
        self.demand.served(record, earlier)
        self.windows.served(record, earlier)
        for call in record.calls:
            if call.protocol != "unknown" and self.protocols.get(call.peer) != call.protocol:
                self.protocols.put(call.peer, call.protocol)
        if record.code.frames or record.ran or record.calls:
            record = without_stacks(record)
        self._named.put(record.id, record)
        passed = self._by_process.get(record.pid)
        if passed is None:
            if len(self._by_process) >= _MAX_PROCESSES:
                del self._by_process[next(iter(self._by_process))]
            passed = self._by_process[record.pid] = deque(maxlen=_PER_PROCESS)
        passed.append(record)

    def counted(self, record: ServedRequest, endpoint: tuple[str, str]) -> None:
        """Take in what a request tells of others, under the name of its endpoint; once, whatever corrects it later."""
        self.loops.served(record, endpoint)
        self.givers.served(record, endpoint)

    def find(self, request_id: int) -> ServedRequest | OpenRequest | None:
        """Return a request by its id, if it is open or ended not long ago."""
        return self._open.get(request_id) or self._named.get(request_id)

    def beside(self, record: ServedRequest, until_ns: int) -> Meanwhile:
        """Return what requests of its process, known so far, did between its arrival and `until_ns`."""
        others: list[ServedRequest | OpenRequest] = list(self.ended_beside(record, until_ns))
        others += (other for other in self._open.values() if other.pid == record.pid and other.started_ns < until_ns)
        booked = {other.id: other.booked_ns for other in others if other.id != record.id}
        spent = dict(zip(BUCKETS, map(sum, zip(*booked.values(), strict=True)), strict=True)) if booked else {}
        spent.pop("queue", None)
        each = [sum(spent_ns >= _NOTABLE_NS for spent_ns in column) for column in zip(*booked.values(), strict=True)]
        return Meanwhile(len(booked), spent, dict(zip(BUCKETS, each, strict=False)))

    def under_way(self, record: ServedRequest, until_ns: int) -> Iterator[tuple[int, int]]:
        """Yield from when to when others of its process were served, of those between its arrival and `until_ns`."""
        yield from (
            (other.started_ns, other.ended_ns) for other in self.ended_beside(record, until_ns) if other.id != record.id
        )
        yield from (
            (other.started_ns, until_ns)
            for other in self._open.values()
            if other.pid == record.pid and other.id != record.id and other.started_ns < until_ns
        )

    def ended_beside(self, record: ServedRequest, until_ns: int) -> Iterator[ServedRequest]:
        """Yield the ended requests of its process that were served between its arrival and `until_ns`."""
        from_ns = arrival_of(record)
        for other in self._by_process.get(record.pid, ()):
            if other.started_ns < until_ns and other.ended_ns > from_ns:
                yield other

    def served_by(self, pid: int, tid: int, at_ns: int) -> ServedRequest | OpenRequest | None:
        """Return what a thread was serving at a moment, as far as it is known by now."""
        for open_ in self._open.values():
            if (open_.pid, open_.tid) == (pid, tid) and open_.started_ns <= at_ns:
                return open_
        passed = self._by_process.get(pid, ())
        return next((one for one in passed if one.tid == tid and one.started_ns <= at_ns <= one.ended_ns), None)


def _nobody(_request: int) -> Request | None:
    return None


class Context(NamedTuple):
    """What all rules are given; they only read it."""

    around: Surroundings
    traffic: Traffic
    now_ns: int
    last_loss_ns: int | None
    judged: Callable[[int], Request | None] = _nobody
    """Gives a judged request by its id, with its stacks and callees, as long as it is shown."""
    probes: tuple[ProbeStatus, ...] = ()
    """What became of each probe: what could be known."""

    @property
    def host(self) -> Host:
        """The host's totals."""
        return self.around.host

    def lost_near(self, record: ServedRequest) -> bool:
        """Whether events were lost while the request ran, or in the second before it."""
        return self.last_loss_ns is not None and self.last_loss_ns >= record.started_ns - _NEAR_NS
