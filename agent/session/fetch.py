"""What a reader asks of a session's tables; nothing is believed before its checksum was seen to match."""

from __future__ import annotations

import contextlib
import zlib
from array import array
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.agent.model import MAX_CLOCKS, SessionInfo
from perfwatch.agent.session import format as layout
from perfwatch.agent.session import rows as plain
from perfwatch.agent.session import second as packed
from perfwatch.agent.session.opening import BROKEN
from perfwatch.agent.session.stored import Damaged, Head, Second
from perfwatch.probes.samples import ClockReading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from perfwatch.agent.session.format import Row, Table

UNSOUND: Final = (Damaged, *BROKEN, msgspec.MsgspecError, zlib.error, RecursionError)
"""What damage looks like."""

_MAX_FIELDS: Final = 100


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """The row of `ending`."""

    ended: str
    seconds: int
    records: int
    verdicts: int
    crc32: int


def info(db: sqlite3.Connection) -> SessionInfo:
    """Return what the session says of itself."""
    found = db.execute("SELECT name, value FROM session ORDER BY rowid LIMIT ?", (_MAX_FIELDS,))
    rows = msgspec.convert(found.fetchall(), list[tuple[str, str]])
    said = rows[:-1]
    if rows[-1:] != [("crc32", str(layout.checksum(said)))]:
        raise Damaged
    fields = {name: msgspec.Raw(value.encode()) for name, value in said}
    return msgspec.json.decode(msgspec.json.encode(fields), type=SessionInfo)


def ending(db: sqlite3.Connection) -> Ending | None:
    """Return how the recording was finished; None if it was not."""
    found = db.execute(f"SELECT {layout.ENDING.names} FROM ending ORDER BY seconds DESC LIMIT 1").fetchone()  # noqa: S608
    if found is None:
        return None
    if layout.checksum([found[:-1]]) != found[-1]:
        raise Damaged
    return msgspec.convert(found, Ending)


def counted(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the sums of records and verdicts, as the rows say."""
    found = db.execute("SELECT coalesce(sum(records), 0), coalesce(sum(verdicts), 0) FROM seconds").fetchone()
    return msgspec.convert(found, tuple[int, int])


def numbers(db: sqlite3.Connection) -> array[int]:
    """Return the numbers of all seconds, in order; of a damaged index what can be reached from its two ends."""
    upwards = _scan(db, "ASC")
    downwards = _scan(db, "DESC", limit=1)
    if upwards[-1:] == downwards:
        return upwards
    return array("q", sorted({*upwards, *_scan(db, "DESC")}))


def first_at(db: sqlite3.Connection, at_ns: int) -> int | None:
    """Return the number of the first second that has a record of this time or later, as its row says."""
    (number,) = db.execute("SELECT min(number) FROM seconds WHERE last_ns >= ?", (_bounded(at_ns),)).fetchone()
    return msgspec.convert(number, int | None)


def spans_until(db: sqlite3.Connection, at_ns: int, limit: int) -> list[tuple[int, int]]:
    """Return when the seconds until a moment began, and how many records they have, as their rows say; newest first."""
    last = "SELECT coalesce(min(number), (SELECT max(number) FROM seconds)) FROM seconds WHERE last_ns >= ?"
    told = (
        f"SELECT first_ns, records FROM seconds WHERE number <= ({last}) AND records > 0 ORDER BY number DESC LIMIT ?"  # noqa: S608
    )
    return msgspec.convert(db.execute(told, (_bounded(at_ns), limit)).fetchall(), list[tuple[int, int]])


def clocks(db: sqlite3.Connection, of: layout.Format) -> Iterator[ClockReading]:
    """Yield the readings of the host's clocks, as far as they are sound."""
    if not of.is_packed:
        return
    told = "SELECT number FROM seconds WHERE clocks IS NOT NULL ORDER BY number LIMIT ?"
    with contextlib.suppress(*BROKEN):
        for (number,) in db.execute(told, (MAX_CLOCKS,)).fetchall():
            with contextlib.suppress(*UNSOUND):
                head = _head(db, of, number)
                packed.check(head, _blob(db, of, number))
                for reading in _clocks_decoder.decode(head.clocks or "[]"):
                    yield ClockReading(*reading)


def second(db: sqlite3.Connection, of: layout.Format, number: int) -> Second:
    """Return one second with all that belongs to it."""
    head = _head(db, of, number)
    blob = _blob(db, of, number)
    if of.is_packed:
        return packed.unpack(head, blob)
    left = layout.MAX_SECOND_BYTES
    rows: dict[str, list[Row]] = {}
    for table in of.checked:
        span = (head.first_verdict, head.verdicts) if table is layout.VERDICT_TABLE else (head.first_seq, head.records)
        rows[table.name] = []
        for row in _rows(db, table, *span):
            rows[table.name].append(row)
            left -= len(layout.encode_row(row))
            if left < 0:
                raise Damaged
    return plain.unpack(of, head, rows, blob)


def _head(db: sqlite3.Connection, of: layout.Format, number: int) -> Head:
    found = db.execute(f"SELECT {of.seconds.names} FROM seconds WHERE number = ?", (number,)).fetchone()  # noqa: S608
    head = msgspec.convert(found, Head)
    if head.number != number or max(head.records, head.verdicts) > layout.MAX_SECOND_RECORDS:
        raise Damaged
    return head


def _blob(db: sqlite3.Connection, of: layout.Format, number: int) -> bytes:
    """Return what a second has in `packed` or `dense`; nothing where it has nothing."""
    found = db.execute(f"SELECT packed FROM {of.blobs.name} WHERE second = ?", (number,)).fetchone()  # noqa: S608
    return msgspec.convert(found[0], bytes) if found else b""


def _bounded(at_ns: int) -> int:
    """Return what a column can hold of a time: a record may claim any."""
    return min(max(at_ns, -(1 << 63)), (1 << 63) - 1)


def _rows(db: sqlite3.Connection, table: Table, first: int, count: int) -> Iterator[Row]:
    """Yield the rows of a span of `seq`, never more than there can be."""
    select = f"SELECT {table.names} FROM {table.name} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"  # noqa: S608
    yield from db.execute(select, (first, first + count - 1, count))


def _scan(db: sqlite3.Connection, order: Literal["ASC", "DESC"], *, limit: int = -1) -> array[int]:
    """Return the numbers of seconds as far as they can be read, and go on."""
    found = array("q")
    step = 1 if order == "ASC" else -1
    with contextlib.suppress(*BROKEN):
        select = f"SELECT number FROM seconds ORDER BY number {order} LIMIT {limit}"  # noqa: S608
        for (number,) in db.execute(select):
            if found and (number - found[-1]) * step <= 0:
                break
            found.append(number)
    return found


_clocks_decoder: Final = msgspec.json.Decoder(list[tuple[int, int, int]])
