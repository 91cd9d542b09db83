"""The columns of the plain tables: the fields of the records in their order, one column per bucket."""

from __future__ import annotations

from typing import Final, NamedTuple

from perfwatch.probes.records import BUCKETS


class Column(NamedTuple):
    """A column: its name, with the unit, its type, and what else a reader of the schema wants to know."""

    name: str
    type: str
    about: str = ""


_INTEGER: Final = "INTEGER NOT NULL"
_TEXT: Final = "TEXT NOT NULL"
_SEQ: Final = Column("seq", "INTEGER PRIMARY KEY", "place in the order of delivery, over all tables")
_AT: Final = Column("at_ns", _INTEGER, "when it was measured; monotonic, see session.started_ns")

BUCKET_COLUMNS: Final = tuple(Column(f"{bucket}_ns", _INTEGER) for bucket in BUCKETS)
REQUESTS: Final = (
    _SEQ,
    _AT,
    Column("id", _INTEGER, "a later row with the same id replaces this one"),
    Column("connection", _INTEGER),
    Column("pid", _INTEGER),
    Column("tid", _INTEGER),
    Column("arrived_ns", "INTEGER", "first byte readable; NULL if that was not seen"),
    Column("started_ns", _INTEGER, "first read by a thread"),
    Column("ended_ns", _INTEGER, "latency = ended_ns - coalesce(arrived_ns, started_ns)"),
    Column("method", "TEXT"),
    Column("target", "TEXT", "path without query; sent by a client: not to be trusted"),
    Column("status", "INTEGER"),
    *BUCKET_COLUMNS,
    Column("received_bytes", _INTEGER),
    Column("sent_bytes", _INTEGER),
    Column("local", _TEXT),
    Column("remote", _TEXT),
    Column("outcome", _TEXT, "answered, aborted, died"),
    Column("threads", _TEXT, "one (the ledger is exact), shared, several"),
    Column("waits_lost", _INTEGER),
)
HOST: Final = (
    _SEQ,
    _AT,
    Column("cpu_busy_ns", _INTEGER, "cumulative, all CPUs"),
    Column("cpu_idle_ns", _INTEGER, "cumulative, all CPUs"),
    Column("cpu_steal_ns", _INTEGER, "cumulative, all CPUs"),
    Column("runnable", _INTEGER, "threads"),
    Column("memory_total_bytes", _INTEGER),
    Column("memory_available_bytes", _INTEGER),
)
PROCESSES: Final = (
    _SEQ,
    _AT,
    Column("pid", _INTEGER),
    Column("role", _TEXT, "target, perfwatch"),
    Column("cpu_ns", _INTEGER, "cumulative"),
    Column("rss_bytes", _INTEGER),
    Column("threads", _INTEGER),
)
LISTENERS: Final = (
    _SEQ,
    _AT,
    Column("address", _TEXT),
    Column("backlog", _INTEGER, "deepest accept queue since the last row"),
    Column("backlog_max", _INTEGER),
)
TARGET_CHANGES: Final = (
    _SEQ,
    _AT,
    Column("pid", _INTEGER),
    Column("change", _TEXT, "attached, forked, executed, exited, gone"),
    Column("detail", _TEXT),
)
LOSSES: Final = (
    _SEQ,
    _AT,
    Column("probe", _TEXT),
    Column("lost", _INTEGER, "events since the last row of this probe"),
    Column("reason", _TEXT),
)
VERDICTS: Final = (
    Column("seq", "INTEGER PRIMARY KEY", "place in the order in which verdicts were given"),
    Column("request_id", _INTEGER, "requests.id"),
    Column("principle", _TEXT),
    Column("mechanism", "TEXT"),
    Column("share", "REAL NOT NULL", "of the latency, 0..1"),
    Column("confidence", "REAL NOT NULL", "0..1"),
    Column("summary", _TEXT),
)
