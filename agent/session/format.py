"""The session file, format 4: what is in it, in which order, and what may be relied on.

One recording is one SQLite file. Its `application_id` is `APPLICATION_ID`, its `user_version` the number of
this format. Any SQLite tool opens it; the comments in the schema say what the columns mean.

**While it is recorded** it is in WAL mode with `synchronous=FULL`: FILE has the siblings FILE-wal and
FILE-shm, and about once a second all that came since is committed in one transaction, one row of `seconds`.
What was committed outlives a `kill -9` and a power cut. The recorder holds an `flock` on FILE-wal: that
tells a file that is still being recorded from one that was cut off. To copy a file that is not finished, use
`perfwatch session copy`, or copy FILE-wal with it.

**When it is closed** the row in `ending` is written, the WAL is folded into FILE, and WAL mode is left:
then it is one file, which opens on a read-only medium. (Where somebody reads it at that moment, the WAL is
folded in just the same, but the mode and two siblings without content stay.) A file without the row in
`ending` was cut off.

**Order.** Every record has a place: 1, 2, 3, ... in the order in which it was delivered. A row of `seconds` owns
the records from `first_seq` on, `records` of them, and `verdicts` verdicts in the same manner. A second is written
once and never changed. `number` counts 1, 2, 3, ...; a gap is damage. The name stands for a commit: one that grows
beyond 2 MiB is cut in two.

**Columns.** What was measured is in `packed`, one blob a second, which can be read by itself: a byte that says how
it is compressed (`x`: a raw LZMA2 stream of preset 1; `z`: zlib, where the recorder's Python has no LZMA), then,
compressed, the msgpack array `[kinds, order, columns, verdicts]`. `kinds` are the tags of the records that there are;
`order` is a column with, for each record, the place of its kind; `columns` has for each kind a column of its records,
each the list of its fields as msgpack has them, without its tag; `verdicts` is a column of
`[request id, principle, mechanism, share, confidence, summary]`. What a column is stands in `columnar` and `integers`:
records of one kind resemble each other field by field, and that is what makes a session small.
A recording of 200 requests a second with the stacks of 20 threads, 100 times a second, takes less than 20 kB a second.

**Times** are nanoseconds of CLOCK_MONOTONIC, which stands still while the host is suspended; `session` says which
wall time `started_ns` was. `seconds.clocks` has readings of the wall clock, of CLOCK_BOOTTIME too: one at the start,
and one whenever what they said before would be wrong by 10 ms. From such a moment on, wall time is counted from it.

**Marks.** `seconds.marks` has moments that one may want to go to: slow requests, errors, long pauses of the garbage
collector, throttling, changes of the target; of each kind at most 8 a second.

**Checksums.** `seconds.crc32` is the CRC-32 of two things, one after the other: the msgpack array of that row without
its checksum, and the blob in `packed`. `session` and `ending` carry their own (over the msgpack array of what they
say). A second that does not match is left out by the reader and counted, never shown; so is one whose columns are not
what its row says, or that would unpack to more than 8 MiB or 4 million values.

**Change.** A file whose `user_version` is greater than the reader's is refused; one that is smaller is read, and
`perfwatch session compact` writes it anew in this format. Fields of records are only ever added, at the end, with a
default; a new kind of record needs a new number. Format 1 to 3 kept most records in plain tables, one column per field,
and what is dense in `dense`, zlib-compressed msgpack (`stored.Dense`); their checksum covers the rows of a second too.
Format 2 added the tables from `pressure` to `gc_pauses`, and the last columns of `requests`, `processes` and
`listeners`; format 3 the tables `members` and `peer_processes`; format 4 replaced them all by `packed`, which takes a
third of the room, and added readings of the clocks. The reader wants the schema of that number word for word and
refuses a file with anything else in it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.session import ends, queues
from perfwatch.agent.session.columns import (
    HOST,
    LISTENERS,
    LOSSES,
    PROCESSES,
    REQUESTS,
    TARGET_CHANGES,
    VERDICTS,
    Column,
)
from perfwatch.probes.frames import GcPause
from perfwatch.probes.records import (
    HostSample,
    ListenerSample,
    Loss,
    PeerProcess,
    ProcessSample,
    Record,
    ServedRequest,
    TargetChange,
    TreeMember,
)
from perfwatch.probes.samples import (
    CgroupSample,
    Connection,
    DiskSample,
    MemorySample,
    NetworkSample,
    PressureSample,
    ProcessIo,
    ProcessMemory,
    RateChange,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

APPLICATION_ID: Final = int.from_bytes(b"PWSE")
VERSION: Final = 4
PAGE_BYTES: Final = 1024
"""Of the file that is written: what the last page of a second's blob leaves empty is lost."""

MAX_RECORD_BYTES: Final = 4 << 20
"""Of one record as msgpack; the writer refuses a longer one."""
MAX_SECOND_BYTES: Final = 16 << 20
"""Of all rows of one second up to format 3, and of its blob when unpacked: the reader insists."""
MAX_PACKED_BYTES: Final = 8 << 20
"""Of the columns of one second since format 4, when unpacked: the writer keeps to it, the reader insists."""
MAX_PACKED_VALUES: Final = 4 << 20
"""In these columns, and as many that tell how they are laid out."""
MAX_SECOND_RECORDS: Final = 100_000
"""In one second, and as many verdicts."""

Value = int | float | str | bytes | None
Row = tuple[Value, ...]


class Table(NamedTuple):
    """A table of the file: its name and columns."""

    name: str
    columns: tuple[Column, ...]
    about: str

    @property
    def ddl(self) -> str:
        """The statement that makes it, as SQLite keeps it."""
        lines = [f"    {column.name} {column.type}" for column in self.columns]
        commas = [*("," for _ in lines[1:]), ""]
        notes = [f"  -- {column.about}" if column.about else "" for column in self.columns]
        body = "\n".join(map("".join, zip(lines, commas, notes, strict=True)))
        return f"CREATE TABLE {self.name} (  -- {self.about}\n{body}\n)"

    @property
    def names(self) -> str:
        """Its columns, as a SELECT takes them."""
        return ", ".join(column.name for column in self.columns)

    @property
    def insert(self) -> str:
        """The statement that adds a row.

        A signal can hide from the writer that a commit succeeded; then it writes these rows again, with
        what came since.
        """
        return f"INSERT OR REPLACE INTO {self.name} ({self.names}) VALUES ({', '.join('?' * len(self.columns))})"  # noqa: S608


SESSION: Final = Table(
    "session",
    (Column("name", "TEXT NOT NULL"), Column("value", "TEXT NOT NULL", "JSON; of crc32 a number")),
    "what was recorded, where, with which settings",
)
SECONDS: Final = Table(
    "seconds",
    (
        Column("number", "INTEGER PRIMARY KEY", "1, 2, 3, ...; one row per commit"),
        Column("first_seq", "INTEGER NOT NULL", "it owns the records from here on"),
        Column("records", "INTEGER NOT NULL", "how many"),
        Column("first_verdict", "INTEGER NOT NULL"),
        Column("verdicts", "INTEGER NOT NULL"),
        Column("first_ns", "INTEGER", "earliest at_ns of its records; NULL if it has none"),
        Column("last_ns", "INTEGER", "latest at_ns of its records"),
        Column("crc32", "INTEGER NOT NULL"),
    ),
    "the commits, about one a second, in order",
)
SECONDS_4: Final = Table(
    "seconds",
    (
        *SECONDS.columns,
        Column("marks", "TEXT", "JSON: times of some moments worth going to, by kind; NULL: there are none"),
        Column("clocks", "TEXT", "JSON: [at_ns, Unix ns, ns suspended so far] where the wall clock was read anew"),
    ),
    SECONDS.about,
)
PACKED: Final = Table(
    "packed",
    (Column("second", "INTEGER PRIMARY KEY", "seconds.number"), Column("packed", "BLOB NOT NULL")),
    "records and verdicts, as compressed columns",
)
DENSE: Final = Table(
    "dense",
    (Column("second", "INTEGER PRIMARY KEY", "seconds.number"), Column("packed", "BLOB NOT NULL")),
    "zlib-compressed msgpack: waits and peers of requests, open requests",
)
ENDING: Final = Table(
    "ending",
    (
        Column("ended", "TEXT NOT NULL", "why the recording ended"),
        Column("seconds", "INTEGER PRIMARY KEY", "rows in seconds"),
        Column("records", "INTEGER NOT NULL", "in all"),
        Column("verdicts", "INTEGER NOT NULL"),
        Column("crc32", "INTEGER NOT NULL"),
    ),
    "one row if the recording was finished, else none",
)
VERDICT_TABLE: Final = Table("verdicts", VERDICTS, "the verdicts that were given live, in order")


class Format(NamedTuple):
    """What a file of one version holds."""

    record_tables: Mapping[type[Record], Table]
    """Up to format 3: where the records of each kind are; a kind that is not here is in `dense`."""
    seconds: Table = SECONDS

    @property
    def is_packed(self) -> bool:
        """Whether records and verdicts are columns in `packed`."""
        return not self.record_tables

    @property
    def checked(self) -> tuple[Table, ...]:
        """The tables that a second has rows in, in the order in which its checksum takes them."""
        return () if self.is_packed else (*self.record_tables.values(), VERDICT_TABLE)

    @property
    def blobs(self) -> Table:
        """Where each second has its blob."""
        return PACKED if self.is_packed else DENSE

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in the order of the schema."""
        return (SESSION, self.seconds, *self.checked, self.blobs, ENDING)


_FORMAT_1: Final[Mapping[type[Record], Table]] = {
    ServedRequest: Table("requests", REQUESTS, "requests that have ended"),
    HostSample: Table("host", HOST, "the host's totals"),
    ProcessSample: Table("processes", PROCESSES, "totals of single processes"),
    ListenerSample: Table("listeners", LISTENERS, "accept queues"),
    TargetChange: Table("target_changes", TARGET_CHANGES, "what happened to the watched processes"),
    Loss: Table("losses", LOSSES, "events that could not be delivered"),
}
_FORMAT_2: Final[Mapping[type[Record], Table]] = {
    **_FORMAT_1,
    ServedRequest: Table("requests", queues.REQUESTS_2, "requests that have ended"),
    ProcessSample: Table("processes", queues.PROCESSES_2, "totals of single processes"),
    ListenerSample: Table("listeners", queues.LISTENERS_2, "accept queues"),
    PressureSample: Table("pressure", queues.PRESSURE, "how long tasks were held up, cumulative"),
    CgroupSample: Table("cgroups", queues.CGROUPS, "limits of the target's cgroups, counters cumulative"),
    MemorySample: Table("memory", queues.MEMORY, "the host's memory, counters cumulative"),
    ProcessMemory: Table("process_memory", queues.PROCESS_MEMORY, "the target's memory, by process"),
    DiskSample: Table("disks", queues.DISKS, "block devices, cumulative"),
    ProcessIo: Table("process_io", queues.PROCESS_IO, "the target's block I/O by process, cumulative"),
    NetworkSample: Table("network", queues.NETWORK, "the target's network namespace, cumulative"),
    Connection: Table("connections", queues.CONNECTIONS, "TCP connections, as their packets tell"),
    RateChange: Table("rates", queues.RATES, "probes that were read less often, or more often again"),
    GcPause: Table("gc_pauses", queues.GC_PAUSES, "runs of the garbage collector"),
}
_FORMAT_3: Final[Mapping[type[Record], Table]] = {
    **_FORMAT_2,
    TreeMember: Table("members", ends.MEMBERS, "whose processes are, where several targets were watched"),
    PeerProcess: Table("peer_processes", ends.PEER_PROCESSES, "who listens where the target called, on this host"),
}
FORMATS: Final = {1: Format(_FORMAT_1), 2: Format(_FORMAT_2), 3: Format(_FORMAT_3), 4: Format({}, SECONDS_4)}
"""All that can be read, by version."""
CURRENT: Final = FORMATS[VERSION]
"""What is written."""


def checksum(rows: Iterable[Row]) -> int:
    """CRC-32 over rows as msgpack arrays, one after the other."""
    crc = 0
    for row in rows:
        crc = zlib.crc32(encode_row(row), crc)
    return crc


def encode_row(row: Row) -> bytes:
    """Return a row as a msgpack array: what checksums are made of."""
    return _encoder.encode(row)


_encoder: Final = msgspec.msgpack.Encoder()
