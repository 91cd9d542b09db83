"""The raw records of the queues that requests wait in: CPUs, memory, disks, sockets, threads; and who else is there.

The rules of `records.py` hold: times are CLOCK_MONOTONIC nanoseconds, counters are cumulative and raw unless a field
says "since the last record", absent is None and never 0, names and addresses are untrusted, fields are only ever added
at the end, with a default.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# --- CPU


class CpuTimes(msgspec.Struct, frozen=True, array_like=True):
    """One CPU's time, cumulative (/proc/stat); `user` includes `guest`."""

    user_ns: int
    nice_ns: int
    system_ns: int
    idle_ns: int
    iowait_ns: int
    irq_ns: int
    softirq_ns: int
    steal_ns: int


class CpuUser(msgspec.Struct, frozen=True, array_like=True):
    """One process and the CPU time that it used since the last record."""

    pid: int
    name: str
    """The kernel's `comm`, at most 15 characters; untrusted."""
    used_ns: int
    is_target: bool
    """It belongs to the tree that is watched."""


class CpuSample(msgspec.Struct, frozen=True, array_like=True, tag="cpu"):
    """The CPUs of the host and who uses them, once a second."""

    at_ns: int
    cpus: tuple[CpuTimes, ...]
    """In the order of /proc/stat; CPUs that are offline are left out."""
    interrupts: int
    context_switches: int
    forks: int
    blocked: int
    """Threads in uninterruptible sleep for I/O (`procs_blocked`)."""
    load: tuple[float, float, float]
    runnable: tuple[int, ...]
    """Readings since the last record, at even distances: threads that ran or could run; the reader left out."""
    top: tuple[CpuUser, ...]
    """The twelve processes that used most since the last record, the largest first; empty in the first record."""


# --- pressure, cgroups


class PressureSample(msgspec.Struct, frozen=True, array_like=True, tag="pressure"):
    """Pressure stall totals, cumulative: how long some, or all, tasks waited for a resource."""

    at_ns: int
    scope: str
    """`host`, or the path of a cgroup."""
    cpu_some_ns: int | None
    cpu_full_ns: int | None
    memory_some_ns: int | None
    memory_full_ns: int | None
    io_some_ns: int | None
    io_full_ns: int | None


class CgroupSample(msgspec.Struct, frozen=True, array_like=True, tag="cgroup"):
    """A cgroup of the target, or one above it that sets a limit."""

    at_ns: int
    path: str
    """Of the CPU controller, `/` for the root; under v1 other controllers may have other paths, see `memory_path`."""
    version: Literal[1, 2]
    memory_path: str | None
    cpu_ns: int | None
    quota_ns: int | None
    """CPU time that it may use in each period; None: as much as it likes."""
    period_ns: int | None
    periods: int | None
    """Periods in which it was active, cumulative."""
    throttled_periods: int | None
    throttled_ns: int | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    """None: no limit below the host's memory."""
    limit_hits: int | None
    """How often its memory limit was reached (v1 `failcnt`, v2 `max` of memory.events)."""
    oom_kills: int | None
    read_bytes: int | None
    written_bytes: int | None
    pids: int | None = None
    pids_limit: int | None = None


# --- memory


class MemorySample(msgspec.Struct, frozen=True, array_like=True, tag="memory"):
    """The host's memory (/proc/meminfo) and what it costs to find some (/proc/vmstat, cumulative)."""

    at_ns: int
    total_bytes: int
    available_bytes: int
    free_bytes: int
    cached_bytes: int
    dirty_bytes: int
    writeback_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    swapped_in_bytes: int | None
    swapped_out_bytes: int | None
    scanned_background_pages: int | None
    """By kswapd."""
    scanned_direct_pages: int | None
    """By threads that needed a page themselves: they waited for it."""
    reclaimed_direct_pages: int | None
    direct_reclaims: int | None
    """How often a thread had to (`allocstall_*`)."""
    major_faults: int | None
    oom_kills: int | None


class ProcessMemory(msgspec.Struct, frozen=True, array_like=True, tag="process_memory"):
    """One process's memory."""

    at_ns: int
    pid: int
    virtual_bytes: int
    rss_bytes: int
    swap_bytes: int | None
    minor_faults: int
    major_faults: int
    pss_bytes: int | None
    """Shared pages divided by their users; None between its readings, which are rarer, and where it may not be read."""
    uss_bytes: int | None
    """What would be freed if it ended."""


# --- disk


class DiskSample(msgspec.Struct, frozen=True, array_like=True, tag="disk"):
    """One block device, cumulative (/proc/diskstats): one that was used, or that the target's files are on."""

    at_ns: int
    device: str
    """`vda`, `nvme0n1`, `loop0`: whole devices, and partitions only where the target's files are on one."""
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    read_ns: int
    """Sum over all reads, from the queueing to the end; in steps of 1 ms."""
    write_ns: int
    in_flight: int
    """At this moment."""
    busy_ns: int
    """With at least one request under way."""
    queue_ns: int
    """The sum of all requests' times under way: its growth over time is the mean queue depth."""
    flushes: int | None
    flush_ns: int | None


class DiskLatency(msgspec.Struct, frozen=True, array_like=True, tag="disk_latency"):
    """How long a device's requests took, cumulative since the attaching (block tracepoints; needs BPF)."""

    at_ns: int
    device: str
    reads: tuple[int, ...]
    """Entry i: how many took from 2**i to 2**(i+1) microseconds, entry 0 also those below 1; trailing zeros cut."""
    writes: tuple[int, ...]


class DiskUser(msgspec.Struct, frozen=True, array_like=True):
    """One process and the bytes it caused on disks since the last record (/proc/PID/io)."""

    pid: int
    name: str
    read_bytes: int
    written_bytes: int
    """Made dirty: they may reach the device later."""
    is_target: bool


class DiskUsers(msgspec.Struct, frozen=True, array_like=True, tag="disk_users"):
    """The twelve processes that moved most bytes since the last record; only those that may be asked."""

    at_ns: int
    top: tuple[DiskUser, ...]


class FilePlace(msgspec.Struct, frozen=True, array_like=True):
    """One open file of the target, and what it is on."""

    path: str
    """As the target sees it; untrusted."""
    device: str
    """As in `DiskSample.device`; the kernel's `MAJOR:MINOR` where no block device is behind it."""
    mount_point: str
    file_system: str
    """`ext4`, `xfs`, `overlay`, `nfs4`, `tmpfs`."""
    is_written: bool


class TargetFiles(msgspec.Struct, frozen=True, array_like=True, tag="target_files"):
    """Where one process's regular files lie (at most 32, those open for writing first), when that changed."""

    at_ns: int
    pid: int
    files: tuple[FilePlace, ...]


class ProcessIo(msgspec.Struct, frozen=True, array_like=True, tag="process_io"):
    """One process's block I/O, cumulative; None where it may not be asked."""

    at_ns: int
    pid: int
    read_bytes: int | None
    written_bytes: int | None
    delay_ns: int | None
    """Time that its threads waited for block I/O; None where delay accounting is off."""


# --- sockets, network


class SocketState(msgspec.Struct, frozen=True, array_like=True):
    """One socket; figures are None where the protocol does not keep them."""

    cookie: int
    """The kernel's number of the socket: the same as `ServedRequest.connection`."""
    pid: int
    role: Literal["listening", "accepted", "connected"]
    state: str
    """`ESTABLISHED`, `CLOSE_WAIT`, ..."""
    local: str
    peer: str | None
    recv_q: int
    """Bytes that the process has not read; of a listening socket: connections that were not accepted."""
    send_q: int
    """Bytes that the peer has not acknowledged; of a listening socket: the limit of its accept queue."""
    rtt_ns: int | None = None
    retransmits: int | None = None
    """Segments sent again, since the connection began."""
    busy_ns: int | None = None
    """With data to send under way."""
    rwnd_limited_ns: int | None = None
    """Of which: the peer's receive window was full."""
    sndbuf_limited_ns: int | None = None
    """Of which: the send buffer was too small."""
    sent_bytes: int | None = None
    received_bytes: int | None = None
    drops: int | None = None
    last_received_ns: int | None = None
    """How long ago."""


class SocketsSample(msgspec.Struct, frozen=True, array_like=True, tag="sockets"):
    """The target's stream sockets, once a second (SOCK_DIAG)."""

    at_ns: int
    count: int
    by_state: tuple[tuple[str, int], ...]
    recv_q_bytes: int
    """Over all its connections."""
    send_q_bytes: int
    sockets: tuple[SocketState, ...]
    """At most 256: listeners, then those with the longest queues, then those that were held up most."""


class NetworkSample(msgspec.Struct, frozen=True, array_like=True, tag="network"):
    """Counters of the target's network namespace, cumulative (/proc/PID/net/{netstat,snmp,dev})."""

    at_ns: int
    sent_segments: int
    received_segments: int
    retransmitted_segments: int
    listen_overflows: int | None
    """Connections that came when an accept queue was full."""
    listen_drops: int | None
    backlog_drops: int | None
    timeouts: int | None
    resets_sent: int | None
    received_bytes: int
    """Over all interfaces but the loopback; where hardware is among them, over that: bridges carry the same again."""
    sent_bytes: int
    interface_errors: int
    interface_drops: int
    speed_bits: int | None
    """Sum of what its interfaces can carry a second; None where they do not say."""


class Connection(msgspec.Struct, frozen=True, array_like=True, tag="connection"):
    """One TCP connection as its packets tell; a record with an id that was seen before replaces the earlier one."""

    at_ns: int
    id: int
    role: Literal["accepted", "connected"]
    local: str
    peer: str
    opened_ns: int | None
    """Its SYN; None where it is older than the attaching."""
    setup_ns: int | None
    """SYN to the last ACK of the handshake, at this host's end."""
    tls_ns: int | None
    """First byte of the ClientHello to the last of the handshake (TLS 1.3: the client's Finished)."""
    tls_version: str | None
    """`TLSv1.3`; None without TLS."""
    resumed: bool | None
    """None without TLS, or while unknown."""
    retransmits: int
    """Handshake segments that were seen again."""
    reset: bool
    closed_ns: int | None
    sent_bytes: int | None
    """By the sequence numbers, modulo 4 GiB; None while it is open, or where its begin or end was not seen."""
    received_bytes: int | None


# --- threads


class ThreadState(msgspec.Struct, frozen=True, array_like=True):
    """One thread, as /proc shows it; None where it may not be read."""

    tid: int
    name: str
    state: str
    """`R`, `S`, `D`, ...: the kernel's letter."""
    wait_channel: str | None
    """The kernel function it sleeps in."""
    call: str | None
    """The system call it is in."""
    fd: int | None
    """The call's first argument, where that is a descriptor."""
    run_ns: int | None
    """On a CPU, cumulative (schedstat)."""
    wait_ns: int | None
    """Runnable without a CPU, cumulative."""
    voluntary_switches: int | None
    involuntary_switches: int | None
    wants_gil: bool | None = None
    """Of `futex`: it waits inside of its interpreter, so for that one's lock. None: in another call, or not known."""


class ThreadsSample(msgspec.Struct, frozen=True, array_like=True, tag="threads"):
    """The threads of one process, once a second."""

    at_ns: int
    pid: int
    count: int
    threads: tuple[ThreadState, ...]
    """At most 256: those that run or could first, then by number."""


class ThreadTime(msgspec.Struct, frozen=True, array_like=True, tag="thread_time"):
    """What one process's threads did, as their states were sampled; once a second, sampled fidelity only."""

    at_ns: int
    pid: int
    threads: int
    samples: int
    """Readings since the last record."""
    booked_ns: tuple[int, ...]
    """Thread time since the last record, one figure for each of `BUCKETS`; idle threads left out."""
    idle_ns: int
    """Thread time spent waiting for work."""


# --- perfwatch itself


class ProbeCost(msgspec.Struct, frozen=True, array_like=True):
    """What one probe costs, cumulative."""

    name: str
    readings: int
    cpu_ns: int
    period_ns: int
    """Between readings, at present."""
    records: int


class ClockReading(msgspec.Struct, frozen=True, array_like=True, tag="clock"):
    """How the host's clocks stand from this moment on, told when that has changed by 10 ms: set, slewed, suspended."""

    at_ns: int
    unix_ns: int
    """Wall time at `at_ns`."""
    suspended_ns: int
    """How long the host has slept since it was booted, as CLOCK_MONOTONIC does not count that."""


class CollectorSample(msgspec.Struct, frozen=True, array_like=True, tag="collector"):
    """perfwatch's collector: its own cost, once a second."""

    at_ns: int
    cpu_ns: int
    """Of the process, cumulative."""
    rss_bytes: int
    budget: float
    """What it may use of one core, 0..1."""
    probes: tuple[ProbeCost, ...]


class RateChange(msgspec.Struct, frozen=True, array_like=True, tag="rate"):
    """A probe does less than it did, to keep a budget, or more again: another rate, or a sample of what it looks at."""

    at_ns: int
    probe: str
    period_ns: int
    was_ns: int
    reason: str
    followed: float | None = None
    """Share of what it looks at that it follows from here on, where that is what changed, and not the rate."""
