"""Threads and tasks that wait for each other in a ring, as the newest readings of each process tell.

Each holds a lock that the one before waits for; all have stood still for a second. An RLock says who has it; that
another is held is seen where it was taken by `with`, or by `acquire()` in a function that still runs and is to give it
back. What was taken otherwise is not seen, so a ring may be missed; none is made up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.findings import named, thread_name
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model import Deadlock, Link
from perfwatch.probes.frames import LockedThread, Task
from perfwatch.probes.records import Waker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Frame, OpenRequest
    from perfwatch.probes.frames import PythonSample, TasksSample

MAX_RINGS: Final = 8
_MAX_PROCESSES: Final = 256
_MAX_MEMBERS: Final = 64
_FRESH_NS: Final = 2_500_000_000
"""Threads are looked at once a second, tasks more often."""
_LATELY_NS: Final = 1_500_000_000

Member: TypeAlias = LockedThread | Task


class _Reading(NamedTuple):
    at_ns: int
    members: tuple[Member, ...]
    frames: Mapping[int, tuple[Frame, ...]]
    """Of tasks, by their ids."""


class Deadlocks:
    """The newest readings; bounded."""

    def __init__(self) -> None:
        self._readings: dict[tuple[str, int], _Reading] = {}

    def __len__(self) -> int:
        return len(self._readings)

    def threads(self, record: PythonSample) -> None:
        """Take in what the threads of a process hold and wait for."""
        self._keep(("threads", record.pid), _Reading(record.at_ns, record.locked, {}))

    def tasks(self, record: TasksSample) -> None:
        """Take in what its tasks do; costs 0.1 us a task."""
        members = tuple(one for one in record.tasks if one.waits_for and one.holds)
        frames = {one.id: record.table.stack(one.stack) for one in members[:_MAX_MEMBERS]}
        self._keep(("tasks", record.pid), _Reading(record.at_ns, members, frames))

    def found(self, context: Context) -> tuple[Deadlock, ...]:
        """Return those that hang at present."""
        told: list[Deadlock] = []
        for (_, pid), reading in self._readings.items():
            if reading.at_ns >= context.now_ns - _FRESH_NS:
                told += (_told(ring, pid, reading, context) for ring in rings(reading.members))
        return tuple(told[:MAX_RINGS])

    def _keep(self, key: tuple[str, int], reading: _Reading) -> None:
        if not reading.members:
            self._readings.pop(key, None)
        elif key in self._readings or len(self._readings) < _MAX_PROCESSES:
            self._readings[key] = reading


def rings(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Yield those who wait for each other, each for the next; nobody is in two rings.

    Of a lock that two are told to hold, nobody knows which of them does.
    """
    known = {id_of(one): one for one in members}
    told = [(lock, id_of(one)) for one in known.values() for lock in set(one.holds)]
    times = Counter(lock for lock, _ in told)
    holder = {lock: one for lock, one in told if times[lock] == 1}
    seen: set[int] = set()
    for start in known:
        path: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in seen and at not in path:
            path[at] = None
            at = holder.get(known[at].waits_for)
        if at is not None and at in path:
            way = list(path)
            yield [known[one] for one in way[way.index(at) :]]
        seen |= path.keys()


def id_of(member: Member) -> int:
    """Return what tells threads, or tasks, of a process apart."""
    return member.id if isinstance(member, Task) else member.tid


def _told(ring: list[Member], pid: int, reading: _Reading, context: Context) -> Deadlock:
    links = [_link(one, pid, reading, context) for one in ring[:_MAX_MEMBERS]]
    return Deadlock(tuple(links), max(one.since_ns for one in ring))


def _link(member: Member, pid: int, reading: _Reading, context: Context) -> Link:
    if isinstance(member, Task):
        return _task(member, pid, reading, context)
    request = next((one for one in context.traffic.open if (one.pid, one.tid) == (pid, member.tid)), None)
    seen = context.around.code.sightings(member.tid, Span(reading.at_ns - _LATELY_NS, context.now_ns))
    frames = request.stack if request is not None and request.stack else seen[-1].frames if seen else ()
    if request is not None:
        return _request(request, frames)
    name = thread_name(Waker(pid, member.tid, "thread", None), context)
    return Link("thread", f"{name} (tid {member.tid})", "lock", 0.0, telling(frames), pid=pid, tid=member.tid)


def _task(task: Task, pid: int, reading: _Reading, context: Context) -> Link:
    frames = reading.frames.get(task.id, ())
    opened = (one for one in context.traffic.open if one.pid == pid and one.remote and one.remote == task.client)
    request = next(opened, None)
    if request is not None:
        return _request(request, frames)
    return Link("task", f"task {task.id}", "lock", 0.0, telling(frames), pid=pid)


def _request(request: OpenRequest, frames: tuple[Frame, ...]) -> Link:
    return Link("request", named(request), "lock", 0.0, telling(frames), request.id, request.pid, request.tid)
