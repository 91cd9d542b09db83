"""The columns of the plain tables of format 1: the fields of the records in their order, one column per bucket.

They never change any more: what format 2 adds stands in `queues`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfwatch.probes.records import BUCKETS


class Column(NamedTuple):
    """A column: its name, with the unit, its type, and what else a reader of the schema wants to know."""

    name: str
    type: str
    about: str = ""


INTEGER: Final = "INTEGER NOT NULL"
TEXT: Final = "TEXT NOT NULL"
SEQ: Final = Column("seq", "INTEGER PRIMARY KEY", "place in the order of delivery, over all tables")
AT: Final = Column("at_ns", INTEGER, "when it was measured; monotonic, see session.started_ns")

BUCKET_COLUMNS: Final = tuple(Column(f"{bucket}_ns", INTEGER) for bucket in BUCKETS)
REQUESTS: Final = (
    SEQ,
    AT,
    Column("id", INTEGER, "a later row with the same id replaces this one"),
    Column("connection", INTEGER),
    Column("pid", INTEGER),
    Column("tid", INTEGER),
    Column("arrived_ns", "INTEGER", "first byte readable; NULL if that was not seen"),
    Column("started_ns", INTEGER, "first read by a thread"),
    Column("ended_ns", INTEGER, "latency = ended_ns - coalesce(arrived_ns, started_ns)"),
    Column("method", "TEXT"),
    Column("target", "TEXT", "path without query; sent by a client: not to be trusted"),
    Column("status", "INTEGER"),
    *BUCKET_COLUMNS,
    Column("received_bytes", INTEGER),
    Column("sent_bytes", INTEGER),
    Column("local", TEXT),
    Column("remote", TEXT),
    Column("outcome", TEXT, "answered, aborted, died"),
    Column("threads", TEXT, "one (the ledger is exact), shared, several"),
    Column("waits_lost", INTEGER),
)
HOST: Final = (
    SEQ,
    AT,
    Column("cpu_busy_ns", INTEGER, "cumulative, all CPUs"),
    Column("cpu_idle_ns", INTEGER, "cumulative, all CPUs"),
    Column("cpu_steal_ns", INTEGER, "cumulative, all CPUs"),
    Column("runnable", INTEGER, "threads"),
    Column("memory_total_bytes", INTEGER),
    Column("memory_available_bytes", INTEGER),
)
PROCESSES: Final = (
    SEQ,
    AT,
    Column("pid", INTEGER),
    Column("role", TEXT, "target, perfwatch"),
    Column("cpu_ns", INTEGER, "cumulative"),
    Column("rss_bytes", INTEGER),
    Column("threads", INTEGER),
)
LISTENERS: Final = (
    SEQ,
    AT,
    Column("address", TEXT),
    Column("backlog", INTEGER, "deepest accept queue since the last row"),
    Column("backlog_max", INTEGER),
)
TARGET_CHANGES: Final = (
    SEQ,
    AT,
    Column("pid", INTEGER),
    Column("change", TEXT, "attached, forked, executed, exited, gone"),
    Column("detail", TEXT),
)
LOSSES: Final = (
    SEQ,
    AT,
    Column("probe", TEXT),
    Column("lost", INTEGER, "events since the last row of this probe"),
    Column("reason", TEXT),
)
VERDICTS: Final = (
    Column("seq", "INTEGER PRIMARY KEY", "place in the order in which verdicts were given"),
    Column("request_id", INTEGER, "requests.id"),
    Column("principle", TEXT),
    Column("mechanism", "TEXT"),
    Column("share", "REAL NOT NULL", "of the latency, 0..1"),
    Column("confidence", "REAL NOT NULL", "0..1"),
    Column("summary", TEXT),
)
