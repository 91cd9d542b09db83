"""The limits that the target's cgroups set, what was used of them, and how often they were hit.

One record for each distinct cgroup of the target's processes, and one for each cgroup above with a CPU quota, a memory
or a pids limit: what stops a process may be set far above it. Under v1 the controllers are separate hierarchies, and a
process may be in another cgroup in each; `path` is that of the CPU controller, and what the CPU accounting says of
another cgroup is not taken for its use. See `cgroups.py` for where cgroups are
found, `cgroup_v1.py` and `cgroup_v2.py` for their files. Cost: 0.25 ms a reading, and 12 us for each further process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from perfwatch.probes.errors import ProbeError, Unavailable
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers import cgroup_v1, cgroup_v2
from perfwatch.probes.readers.cgroup_files import CpuFigures, IoFigures, MemoryFigures, PidFigures
from perfwatch.probes.readers.cgroup_mounts import Hierarchies
from perfwatch.probes.readers.cgroups import CONTROLLERS, Seat, ancestors, members, shown
from perfwatch.probes.samples import CgroupSample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from types import TracebackType

    from perfwatch.probes.readers.cgroups import Membership
    from perfwatch.probes.records import Record

MAX_CGROUPS: Final = 64
_LIMITING: Final = ("cpu", "memory", "pids")
_LOST: Final = "CPU quota and throttling, memory limit, and what was used of them"
T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """A cgroup over all hierarchies: one seat for each of `CONTROLLERS`, None where that one has no such cgroup."""

    seats: tuple[Seat | None, ...]

    def seat(self, controller: str) -> Seat | None:
        """Return the cgroup in the hierarchy of one controller."""
        return self.seats[CONTROLLERS.index(controller)]

    @property
    def name(self) -> Seat:
        """The CPU controller's seat, or the first that there is."""
        return next(seat for seat in self.seats if seat)


class CgroupProbe:
    """Reads the target's cgroups and the limits above them, once a second."""

    name = "cgroup"

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self.period_s = 1.0
        self._tree = tree
        self._hierarchies = Hierarchies()
        self._memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def availability(self) -> Availability:
        """Look whether the directories of the target's cgroups can be seen from here."""
        if not self._hierarchies:
            reason, remedy = "no cgroup hierarchy is mounted here", "mount -t cgroup2 none /sys/fs/cgroup"
            return Availability("unavailable", reason, _LOST, remedy)
        try:
            pids = self._tree()
            found = members(pids)
            hidden, seen = self._visible(found)
        except (ProbeError, OSError) as error:
            return Availability("unavailable", str(error), _LOST, "run perfwatch as root")
        if pids and not found:
            reason = "the target's processes have ended, or are hidden from this user (hidepid)"
            return Availability("unavailable", reason, _LOST, "run perfwatch as root, or as the target's user")
        if not hidden:
            return AVAILABLE
        reason = f"the target's cgroups cannot be seen from here ({', '.join(sorted(hidden))})"
        remedy = "run perfwatch as root, on the host or in the target's container"
        return Availability("limited" if seen else "unavailable", reason, _LOST, remedy)

    def __enter__(self) -> Self:
        self._hierarchies = Hierarchies()
        found = self.availability()
        if found.status == "unavailable":
            raise Unavailable(found.reason or "", found.remedy or "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return one sample of each cgroup of the target, then of each limit above; at most 64."""
        self._hierarchies.begin()
        found = members(self._tree())
        samples: dict[tuple[str, str | None], CgroupSample] = {}
        own = _own(found)
        for place, pid in [*own.items(), *_above(found).items()][:MAX_CGROUPS]:
            sample = self._sample(now_ns, place, pid)
            if _says_something(sample) if place in own else _limits(sample):
                samples.setdefault((sample.path, sample.memory_path), sample)
        return tuple(samples.values())

    def _sample(self, now_ns: int, place: Place, pid: int) -> CgroupSample:
        cpu = self._ask(place, "cpu", pid, cgroup_v1.read_cpu, cgroup_v2.read_cpu) or CpuFigures()
        memory = self._ask(place, "memory", pid, cgroup_v1.read_memory, cgroup_v2.read_memory) or MemoryFigures()
        io = self._ask(place, "blkio", pid, cgroup_v1.read_io, cgroup_v2.read_io) or IoFigures()
        pids = self._ask(place, "pids", pid, cgroup_v1.read_pids, cgroup_v2.read_pids) or PidFigures()
        limit, memory_seat = memory.limit_bytes, place.seat("memory")
        return CgroupSample(
            at_ns=now_ns,
            path=shown(place.name.path),
            version=place.name.version,
            memory_path=None if memory_seat is None else shown(memory_seat.path),
            cpu_ns=self._used_ns(place, pid),
            quota_ns=cpu.quota_ns,
            period_ns=cpu.period_ns,
            periods=cpu.periods,
            throttled_periods=cpu.throttled_periods,
            throttled_ns=cpu.throttled_ns,
            memory_bytes=memory.used_bytes,
            memory_limit_bytes=None if limit is None or limit >= self._memory_bytes else limit,
            limit_hits=memory.limit_hits,
            oom_kills=memory.oom_kills,
            read_bytes=io.read_bytes,
            written_bytes=io.written_bytes,
            pids=pids.count,
            pids_limit=pids.limit,
        )

    def _used_ns(self, place: Place, pid: int) -> int | None:
        """Return the CPU time of the cgroup that has the quota; under v1 another one may be accounted."""
        cpu, accounted = place.seat("cpu"), place.seat("cpuacct")
        if cpu and accounted and cpu.path != accounted.path:
            return None
        return self._ask(place, "cpuacct", pid, cgroup_v1.read_usage_ns, cgroup_v2.read_usage_ns)

    def _ask(self, place: Place, controller: str, pid: int, v1: Callable[[int], T], v2: Callable[[int], T]) -> T | None:
        """Let the reader of the right version read a controller's files; None where they cannot be seen."""
        seat = place.seat(controller)
        if seat is None:
            return None
        with self._hierarchies.directory(controller, seat, pid) as directory:
            if directory is None:
                return None
            return v1(directory) if seat.version == 1 else v2(directory)

    def _visible(self, found: dict[Membership, int]) -> tuple[set[str], set[str]]:
        """Return the controllers whose files are hidden for some process of the target, and those that are seen."""
        hidden, seen = set[str](), set[str]()
        for place, pid in _own(found).items():
            for controller, seat in zip(CONTROLLERS, place.seats, strict=True):
                if seat:
                    with self._hierarchies.directory(controller, seat, pid) as directory:
                        (hidden if directory is None else seen).add(controller)
        return hidden, seen


def _own(found: dict[Membership, int]) -> dict[Place, int]:
    """Return the distinct cgroups that processes are in, each with one of them."""
    places = ((Place(tuple(map(membership.seat, CONTROLLERS))), pid) for membership, pid in found.items())
    return {place: pid for place, pid in places if any(place.seats)}


def _above(found: dict[Membership, int]) -> dict[Place, int]:
    """Return the distinct cgroups above those, each with a process that is below it."""
    places: dict[Place, int] = {}
    for membership, pid in found.items():
        seats = [membership.seat(controller) for controller in CONTROLLERS]
        limiting = [seat for seat in map(membership.seat, _LIMITING) if seat]
        for path in dict.fromkeys(path for seat in limiting for path in ancestors(seat.path)):
            place = Place(tuple(_raised(seat, path) for seat in seats))
            places.setdefault(place, pid)
    return places


def _raised(seat: Seat | None, path: str) -> Seat | None:
    """Return the cgroup above in the same hierarchy, if it is above."""
    return Seat(seat.version, path) if seat and path in ancestors(seat.path) else None


def _limits(sample: CgroupSample) -> bool:
    return any(limit is not None for limit in (sample.quota_ns, sample.memory_limit_bytes, sample.pids_limit))


def _says_something(sample: CgroupSample) -> bool:
    figures: Iterable[int | None] = (
        sample.cpu_ns,
        sample.period_ns,
        sample.throttled_ns,
        sample.memory_bytes,
        sample.pids,
        sample.read_bytes,
    )
    return any(figure is not None for figure in figures)
