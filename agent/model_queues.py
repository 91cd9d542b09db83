"""The part of a view that says where something waited, what is full, and what perfwatch itself costs.

As in `model.py`: frozen, times in nanoseconds where no unit is named.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from perfwatch.probes.samples import SocketState as SocketState  # noqa: PLC0414, TC001 - msgspec reads the annotations


class CpuShare(msgspec.Struct, frozen=True):
    """A process and what it used of the CPUs."""

    pid: int
    name: str
    """Untrusted."""
    cpus: float
    """CPUs that it kept busy, on average."""
    is_target: bool


class RunQueue(msgspec.Struct, frozen=True):
    """Threads that wanted a CPU and had none, of the whole host."""

    cpus: int
    waiting_mean: float
    waiting_median: float
    waiting_max: int
    top: tuple[CpuShare, ...]
    """The five largest users, the largest first."""


class DiskShare(msgspec.Struct, frozen=True):
    """A process and the bytes that it moved."""

    pid: int
    name: str
    """Untrusted."""
    read_bytes_s: float
    written_bytes_s: float
    is_target: bool


class DiskQueue(msgspec.Struct, frozen=True):
    """A block device."""

    device: str
    utilisation: float
    """Part of the time with a request under way, 0..1."""
    depth: float
    """Requests under way, on average."""
    await_ms: float | None
    """Mean time of a request; None where there was none."""
    read_bytes_s: float
    written_bytes_s: float
    p99_ms: float | None
    """Upper bound of the bucket that the 99th percentile is in; None without BPF."""
    file_systems: tuple[str, ...]
    """Those of the target's files on it: `/var/lib (ext4)`."""
    reads_s: float | None = None
    writes_s: float | None = None
    read_ms: float | None = None
    """Mean time of a read; None where there was none."""
    write_ms: float | None = None
    in_flight: int | None = None
    """Requests under way at the last reading."""


class CgroupLimit(msgspec.Struct, frozen=True):
    """A cgroup with a limit that holds the target; its memory may be counted in another one (cgroup v1)."""

    path: str
    quota_cpus: float | None
    used_cpus: float | None
    throttled: float | None
    """Part of its periods in which it was throttled, 0..1."""
    throttled_ms_s: float | None
    """Time that its CPUs were throttled, per second."""
    memory_bytes: int | None
    memory_limit_bytes: int | None
    limit_hits: int | None
    oom_kills: int | None
    memory_path: str | None = None
    """Whose memory that is, where it is not `path`."""


class Pressure(msgspec.Struct, frozen=True):
    """Part of the time in which some task was held up, 0..1; None where the kernel does not say."""

    scope: str
    cpu: float | None
    memory: float | None
    io: float | None
    cpu_full: float | None = None
    """In which every task that wanted to run was held up, as the next two."""
    memory_full: float | None = None
    io_full: float | None = None


class ConnectionSetup(msgspec.Struct, frozen=True):
    """What connections cost before the first byte of a request, by side."""

    role: Literal["accepted", "connected"]
    count: int
    setup_ms: float | None
    """Mean."""
    tls_count: int
    tls_resumed: int
    tls_ms: float | None
    """Mean of the handshakes."""
    retransmits: int
    resets: int


class GilShare(msgspec.Struct, frozen=True):
    """A thread, and how much of the time it was found holding its interpreter's lock."""

    tid: int
    name: str | None
    """In Python; untrusted. None where it is not known."""
    share: float
    """0..1"""


class Interpreter(msgspec.Struct, frozen=True):
    """The Python of one process: its lock and its garbage collector; None where that was not measured."""

    pid: int
    version: str
    gil_held: float | None
    """Part of the readings in which some thread held the lock, 0..1."""
    gil_handoffs_s: float | None
    holders: tuple[GilShare, ...]
    """The five that held it most, the first most."""
    gc_pauses_s: float | None
    """Runs of the collector per second; None where single runs are not seen."""
    gc_longest_ms: float | None
    gc_share: float | None
    """Part of the time that some thread spent collecting, 0..1."""
    gc_thresholds: tuple[int, ...]
    """The youngest generation first; empty where they are not known."""
    gc_collections: tuple[int, ...]
    """Runs by generation, the youngest first; empty where they are not known."""
    gc_collected: int
    """Objects that they freed."""


class Queues(msgspec.Struct, frozen=True):
    """Where something waited over a stretch of time; None or empty where it was not measured."""

    run_queue: RunQueue | None = None
    disks: tuple[DiskQueue, ...] = ()
    """The busiest first."""
    disk_users: tuple[DiskShare, ...] = ()
    sockets: tuple[SocketState, ...] = ()
    """As of the last reading: listeners first, then the longest queues; at most 64."""
    socket_count: int | None = None
    threads: tuple[tuple[str, int], ...] = ()
    """(the kernel's letter of a state, threads of the target in it), as of the last reading."""
    cgroups: tuple[CgroupLimit, ...] = ()
    pressure: tuple[Pressure, ...] = ()
    connections: tuple[ConnectionSetup, ...] = ()
    interpreters: tuple[Interpreter, ...] = ()
    """The one whose lock was held most first; at most 16."""


class Saturation(msgspec.Struct, frozen=True):
    """One resource in the USE manner: utilisation, saturation, errors."""

    resource: Literal["cpu", "memory", "disk", "network", "threads", "files"]
    utilisation: float | None
    """0..1."""
    saturation: float | None
    """0..1: part of the time in which somebody had to wait for it, or a like measure that `text` names."""
    errors: int | None
    text: str
    """One line: `71 % busy, 2.1 threads waited, steal 3 %`."""


class OwnCost(msgspec.Struct, frozen=True):
    """What perfwatch's collector costs."""

    cpu: float | None
    """Of one core, 0..1, over the last second."""
    rss_bytes: int
    budget: float
    probes: tuple[tuple[str, float, float], ...]
    """(probe, CPU of one core 0..1, seconds between readings), the dearest first."""
    cpu_mean: float | None = None
    """Of one core, 0..1, since the first record."""
