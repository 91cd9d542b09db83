"""The columns that format 2 adds: the queues that requests wait in, and perfwatch's own rates."""

from __future__ import annotations

from typing import Final

from perfwatch.agent.session.columns import (
    AT,
    INTEGER,
    LISTENERS,
    PROCESSES,
    REQUESTS,
    SEQ,
    TEXT,
    Column,
)


def _counts(*names: str) -> tuple[Column, ...]:
    """Figures that are always known."""
    return tuple(Column(name, INTEGER) for name in names)


def _known(*names: str) -> tuple[Column, ...]:
    """Figures that are NULL where the kernel does not tell, or this user may not ask."""
    return tuple(Column(name, "INTEGER") for name in names)


REQUESTS_2: Final = (
    *REQUESTS,
    Column("throttled_ns", INTEGER, "of run_queue_ns: its cgroup had used up its CPU quota"),
    Column("fidelity", TEXT, "exact, sampled"),
    Column("gc_ns", INTEGER, "of on_cpu_ns: it ran the garbage collector"),
)
PROCESSES_2: Final = (*PROCESSES, *_known("open_files", "open_files_limit"))
LISTENERS_2: Final = (*LISTENERS, Column("recv_q_bytes", "INTEGER", "most that a read found waiting"))
PRESSURE: Final = (
    SEQ,
    AT,
    Column("scope", TEXT, "host, or the path of a cgroup"),
    *_known("cpu_some_ns", "cpu_full_ns", "memory_some_ns", "memory_full_ns", "io_some_ns", "io_full_ns"),
)
CGROUPS: Final = (
    SEQ,
    AT,
    Column("path", TEXT, "of the CPU controller"),
    Column("version", INTEGER, "1, 2"),
    Column("memory_path", "TEXT", "where the memory controller has another"),
    *_known("cpu_ns"),
    Column("quota_ns", "INTEGER", "in each period; NULL: none"),
    *_known("period_ns", "periods", "throttled_periods", "throttled_ns", "memory_bytes"),
    Column("memory_limit_bytes", "INTEGER", "NULL: none"),
    *_known("limit_hits", "oom_kills", "read_bytes", "written_bytes", "pids", "pids_limit"),
)
MEMORY: Final = (
    SEQ,
    AT,
    *_counts("total_bytes", "available_bytes", "free_bytes", "cached_bytes", "dirty_bytes", "writeback_bytes"),
    *_counts("swap_total_bytes", "swap_free_bytes"),
    *_known("swapped_in_bytes", "swapped_out_bytes", "scanned_background_pages", "scanned_direct_pages"),
    *_known("reclaimed_direct_pages", "direct_reclaims", "major_faults", "oom_kills"),
)
PROCESS_MEMORY: Final = (
    SEQ,
    AT,
    *_counts("pid", "virtual_bytes", "rss_bytes"),
    *_known("swap_bytes"),
    *_counts("minor_faults", "major_faults"),
    Column("pss_bytes", "INTEGER", "shared pages divided by their users; NULL between its readings"),
    Column("uss_bytes", "INTEGER", "what would be freed if it ended"),
)
DISKS: Final = (
    SEQ,
    AT,
    Column("device", TEXT),
    *_counts("reads", "writes", "read_bytes", "written_bytes", "read_ns", "write_ns"),
    Column("in_flight", INTEGER, "at this moment"),
    Column("busy_ns", INTEGER, "with at least one request under way"),
    Column("queue_ns", INTEGER, "sum of all requests' times under way"),
    *_known("flushes", "flush_ns"),
)
PROCESS_IO: Final = (
    SEQ,
    AT,
    *_counts("pid"),
    *_known("read_bytes", "written_bytes"),
    Column("delay_ns", "INTEGER", "its threads waited for block I/O; NULL where delay accounting is off"),
)
NETWORK: Final = (
    SEQ,
    AT,
    *_counts("sent_segments", "received_segments", "retransmitted_segments"),
    *_known("listen_overflows", "listen_drops", "backlog_drops", "timeouts", "resets_sent"),
    *_counts("received_bytes", "sent_bytes", "interface_errors", "interface_drops"),
    Column("speed_bits", "INTEGER", "a second, all interfaces"),
)
CONNECTIONS: Final = (
    SEQ,
    AT,
    Column("id", INTEGER, "a later row with the same id replaces this one"),
    Column("role", TEXT, "accepted, connected"),
    Column("local", TEXT),
    Column("peer", TEXT),
    *_known("opened_ns", "setup_ns", "tls_ns"),
    Column("tls_version", "TEXT"),
    Column("resumed", "INTEGER", "0, 1; NULL without TLS, or while unknown"),
    *_counts("retransmits"),
    Column("reset", INTEGER, "0, 1"),
    *_known("closed_ns", "sent_bytes", "received_bytes"),
)
GC_PAUSES: Final = (
    SEQ,
    AT,
    *_counts("pid", "tid", "started_ns", "paused_ns"),
    Column("cpu_ns", "INTEGER", "how much of it the thread ran"),
    Column("generation", "INTEGER"),
    Column("request", "INTEGER", "requests.id: what the thread was serving"),
    Column("source", TEXT, "probe, watchpoint, polled"),
    Column("collected", "INTEGER", "objects that it freed"),
)
RATES: Final = (
    SEQ,
    AT,
    Column("probe", TEXT),
    Column("period_ns", INTEGER, "between readings, from here on"),
    Column("was_ns", INTEGER),
    Column("reason", TEXT),
    Column("followed", "REAL", "share of what it looks at; NULL where the rate changed"),
)
