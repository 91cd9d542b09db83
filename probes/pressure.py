"""Pressure stall information: how long tasks were held up for want of CPU, memory or I/O, of the host and of cgroups.

/proc/pressure/{cpu,memory,io} (Documentation/accounting/psi.rst; since Linux 4.20), and {cpu,memory,io}.pressure in
each v2 cgroup but the root; totals in microseconds:

    some avg10=1.09 avg60=1.20 avg300=0.67 total=1200514754
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0

`some`: at least one task waited; `full`: none could run. For the CPU of the whole host `full` is not defined, and the 0
that stands there since 5.13 is None here. Where PSI is off the files are missing, or answer EOPNOTSUPP.
Cost: 60 us a reading, and 12 us for each further process.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError, Unavailable
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.cgroup_files import MICROSECOND_NS, content, is_count
from perfwatch.probes.readers.cgroup_mounts import Hierarchies
from perfwatch.probes.readers.cgroups import Seat, members, shown
from perfwatch.probes.samples import PressureSample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

HOST: Final = "host"
MAX_CGROUPS: Final = 8
_LOST: Final = "how long tasks were held up for want of CPU, memory or I/O"


class Stall(msgspec.Struct, frozen=True):
    """One resource's totals."""

    some_ns: int | None = None
    full_ns: int | None = None


Stalls: TypeAlias = tuple[Stall, Stall, Stall]
"""CPU, memory, I/O."""


class PressureProbe:
    """Reads the host's pressure totals, and those of at most 8 cgroups of the target, once a second."""

    name = "pressure"

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self.period_s = 1.0
        self._tree = tree
        self._hierarchies = Hierarchies()

    def availability(self) -> Availability:
        """Look whether the kernel keeps the totals, and whether also for the target's cgroups."""
        try:
            scopes = [sample.scope for sample in self._samples(0)]
        except (ProbeError, OSError) as error:
            return Availability("unavailable", str(error), _LOST, "run perfwatch as root, on the host")
        if not scopes:
            remedy = "boot with psi=1 (the kernel needs CONFIG_PSI)"
            return Availability("unavailable", "pressure totals (PSI) are off, or not shown here", _LOST, remedy)
        if HOST not in scopes:
            reason, lost = (
                "the host's pressure totals are not shown here",
                "pressure outside of the target's own cgroup",
            )
            return Availability("limited", reason, lost, "run perfwatch on the host")
        if not self._hierarchies.unified:
            reason, lost = "no cgroup v2 is mounted here", "pressure within the target's own cgroup"
            return Availability("limited", reason, lost, "boot with systemd.unified_cgroup_hierarchy=1")
        return AVAILABLE

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
        """Return one sample of the host, and one of each cgroup of the target that has such totals."""
        return self._samples(now_ns)

    def _samples(self, now_ns: int) -> list[PressureSample]:
        self._hierarchies.begin()
        samples = [_sample(now_ns, HOST, read_host())]
        distinct = {membership.v2: pid for membership, pid in members(self._tree()).items() if membership.v2}
        for path, pid in islice(distinct.items(), MAX_CGROUPS):
            with self._hierarchies.directory("", Seat(2, path), pid) as directory:
                if directory is not None and not is_root(directory):
                    samples.append(_sample(now_ns, shown(path), read_stalls(directory, ".pressure")))
        return [sample for sample in samples if _is_known(sample)]


def read_host() -> Stalls:
    """Read the host's totals."""
    try:
        directory = os.open(roots.PROC / "pressure", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Stall(), Stall(), Stall()
    try:
        cpu, memory, io = read_stalls(directory, "")
    finally:
        os.close(directory)
    return Stall(cpu.some_ns), memory, io


def read_stalls(directory: int, suffix: str) -> Stalls:
    """Read the totals in an open directory: /proc/pressure, or a v2 cgroup, whose files end in `.pressure`."""
    cpu, memory, io = (
        parse_pressure(content(directory, resource + suffix) or b"") for resource in ("cpu", "memory", "io")
    )
    return cpu, memory, io


def is_root(directory: int) -> bool:
    """Tell the root of the hierarchy, whose totals are the host's: it alone has no `cgroup.events`."""
    return content(directory, "cgroup.events") is None


def parse_pressure(raw: bytes) -> Stall:
    """Parse one pressure file; unknown lines are skipped, a line without a total raises Malformed."""
    totals: dict[bytes, int] = {}
    for line in raw.splitlines():
        key, _, rest = line.partition(b" ")
        total = rest.rpartition(b"total=")[2]
        if not is_count(total):
            raise Malformed(f"a pressure file holds {line[:80]!r}")
        totals[key] = int(total) * MICROSECOND_NS
    return Stall(totals.get(b"some"), totals.get(b"full"))


def _sample(now_ns: int, scope: str, stalls: Stalls) -> PressureSample:
    cpu, memory, io = stalls
    return PressureSample(
        now_ns, scope, cpu.some_ns, cpu.full_ns, memory.some_ns, memory.full_ns, io.some_ns, io.full_ns
    )


def _is_known(sample: PressureSample) -> bool:
    figures = (sample.cpu_some_ns, sample.memory_some_ns, sample.io_some_ns)
    return any(figure is not None for figure in figures)
