"""One second of a session, packed into rows and a blob, and unpacked again.

Unpacking trusts nothing: sizes are bounded before anything is built, all is decoded into declared types,
and what does not match its checksum, or is not whole, is `Damaged`.
"""

from __future__ import annotations

import math
import zlib
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from perfwatch.agent.session.format import (
    CURRENT,
    DENSE,
    MAX_RECORD_BYTES,
    MAX_SECOND_BYTES,
    MAX_SECOND_RECORDS,
    SECONDS,
    VERDICT_TABLE,
    Format,
    Row,
    Table,
    encode_row,
)
from perfwatch.agent.session.stored import Damaged, Dense, Head, Parts, Second, StoredVerdict
from perfwatch.probes.records import BUCKETS, InFlight, PeerProcess, Record, ServedRequest, encode
from perfwatch.probes.samples import Connection, ThreadTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_T = TypeVar("_T")
_FULL_BYTES: Final = MAX_SECOND_BYTES - 2 * MAX_RECORD_BYTES
_LEVEL: Final = 5
"""Of compression: what comes after it makes nothing smaller here, and takes more than twice as long."""
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
_FIELDS: Final = ServedRequest.__struct_fields__
_BOOKED: Final = _FIELDS.index("booked_ns")
_ANSWERS: Final[dict[type[Record], set[int]]] = {
    kind: {kind.__struct_fields__.index(name) for name in names}
    for kind, names in ((Connection, ("resumed", "reset")), (PeerProcess, ("is_target",)))
}
"""Fields that are yes or no."""
_DENSE: Final = slice(_FIELDS.index("peers"), _FIELDS.index("waits") + 1)
_CODE: Final = _FIELDS.index("code")
_dense_of: Final = attrgetter(*Parts.__struct_fields__[1:])
_NO_DENSE: Final = _dense_of(Parts(0, (), ()))


class Filling:
    """The second that is being filled; `seal` turns it into rows."""

    def __init__(self, number: int, first_seq: int, first_verdict: int) -> None:
        self.number = number
        self.first_seq = self.next_seq = first_seq
        self.first_verdict = self.next_verdict = first_verdict
        self._times_ns: list[int] = []
        self._rows: dict[str, list[Row]] = {}
        self._parts: list[msgspec.Raw] = []
        self._records: list[tuple[int, msgspec.Raw]] = []
        self._verdicts: list[tuple[int, StoredVerdict]] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was added yet."""
        return self.next_seq == self.first_seq and self.next_verdict == self.first_verdict

    @property
    def size_bytes(self) -> int:
        """What was added so far, packed."""
        return self._size

    @property
    def is_full(self) -> bool:
        """It has to be sealed now, or it may become larger than a reader accepts."""
        count = max(self.next_seq - self.first_seq, self.next_verdict - self.first_verdict)
        return self._size >= _FULL_BYTES or count >= MAX_SECOND_RECORDS

    def add(self, record: Record) -> None:
        """Take the next record; ValueError for one that breaks its own contract."""
        if not _is_whole(record):
            raise ValueError(f"a ledger has {len(BUCKETS)} buckets")
        packed = encode(record)
        if len(packed) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {len(packed)} bytes; a session takes up to {MAX_RECORD_BYTES}")
        table = CURRENT.record_tables.get(type(record))
        row = _row(self.next_seq, record)
        if table and _is_exact(row):
            self._add_row(table, row)
            if isinstance(record, ServedRequest):
                self._add_parts(record)
        else:
            self._records.append((self.next_seq, msgspec.Raw(packed)))
        self._size += len(packed)
        self._times_ns.append(record.at_ns)
        self.next_seq += 1

    def add_verdict(self, verdict: StoredVerdict) -> None:
        """Take the next verdict."""
        row = (self.next_verdict, *msgspec.structs.astuple(verdict))
        if _is_exact(row):
            self._add_row(VERDICT_TABLE, row)
        else:
            self._verdicts.append((self.next_verdict, verdict))
        self._size += len(encode_row(row))
        self.next_verdict += 1

    def seal(self) -> dict[str, list[Row]]:
        """Return the rows of this second, by table."""
        rows = dict(self._rows)
        blob = b""
        if self._parts or self._records or self._verdicts:
            blob = zlib.compress(_encoder.encode((self._parts, self._records, self._verdicts)), _LEVEL)
            rows[DENSE.name] = [(self.number, blob)]
        counts = (self.next_seq - self.first_seq, self.next_verdict - self.first_verdict)
        head = (self.number, self.first_seq, counts[0], self.first_verdict, counts[1], *_span(self._times_ns))
        rows[SECONDS.name] = [(*head, _checksum(CURRENT, head, self._rows, blob))]
        return rows

    def _add_parts(self, record: ServedRequest) -> None:
        dense = _dense_of(record)
        if dense != _NO_DENSE:
            self._parts.append(_raw(Parts(self.next_seq, *dense)))

    def _add_row(self, table: Table, row: Row) -> None:
        self._rows.setdefault(table.name, []).append(row)


def unpack(layout: Format, head: Head, rows: Mapping[str, Sequence[Row]], blob: bytes) -> Second:
    """Inverse of `Filling.seal`; `rows` by table. `Damaged` unless all is there, as it was written."""
    if _checksum(layout, msgspec.structs.astuple(head)[:-1], rows, blob) != head.crc32:
        raise Damaged
    dense = _unpack_dense(blob) if blob else Dense((), (), ())
    records = dict(dense.records)
    parts = {part.seq: part for part in dense.parts}
    for record_type, table in layout.record_tables.items():
        for seq, *fields in rows.get(table.name, ()):
            records[_int(seq)] = _record(record_type, fields, parts.pop(_int(seq), None))
    verdicts = dict(dense.verdicts)
    for seq, *fields in rows.get(VERDICT_TABLE.name, ()):
        verdicts[_int(seq)] = msgspec.convert(fields, StoredVerdict)
    second = Second(
        head,
        _in_order(records, head.first_seq, head.records),
        _in_order(verdicts, head.first_verdict, head.verdicts),
    )
    span = _span(record.at_ns for record in second.records)
    if parts or span != (head.first_ns, head.last_ns) or not all(map(_is_whole, second.records)):
        raise Damaged
    return second


def _record(record_type: type[Record], fields: Sequence[object], parts: Parts | None) -> Record:
    """Build one record from the columns after its `seq`."""
    if record_type is ServedRequest:
        booked = tuple(fields[_BOOKED : _BOOKED + len(BUCKETS)])
        parts = parts or Parts(0, (), ())
        fields = (*fields[:_BOOKED], booked, parts.peers, parts.waits, *fields[_BOOKED + len(BUCKETS) :])
        if len(fields) == _CODE:  # format 1 ends earlier, and its requests have no stacks
            fields = (*fields, *msgspec.structs.astuple(parts)[3:])
    answers = _ANSWERS.get(record_type)
    if answers:
        fields = [_told(value) if place in answers else value for place, value in enumerate(fields)]
    return msgspec.convert((record_type.__struct_config__.tag, *fields), record_type)


def _row(seq: int, record: Record) -> Row:
    """Return the columns of a record, `seq` first."""
    fields = msgspec.structs.astuple(record)
    if isinstance(record, ServedRequest):
        fields = (*fields[:_BOOKED], *record.booked_ns, *fields[_DENSE.stop : _CODE])
    if type(record) in _ANSWERS:
        fields = tuple(int(value) if isinstance(value, bool) else value for value in fields)
    return (seq, *fields)


def _unpack_dense(blob: bytes) -> Dense:
    """Decompress within `MAX_SECOND_BYTES`, and decode."""
    unzip = zlib.decompressobj()
    data = unzip.decompress(blob, MAX_SECOND_BYTES)
    if not unzip.eof or unzip.unused_data:
        raise Damaged
    return _dense_decoder.decode(data)


def _checksum(layout: Format, head: Row, rows: Mapping[str, Sequence[Row]], blob: bytes) -> int:
    """CRC-32 as `format` lays down."""
    crc = zlib.crc32(encode_row(head))
    for table in layout.checked:
        for row in rows.get(table.name, ()):
            crc = zlib.crc32(encode_row(row), crc)
    return zlib.crc32(blob, crc)


def _in_order(found: Mapping[int, _T], first: int, count: int) -> tuple[_T, ...]:
    """Return what was found, by number; `Damaged` unless it is exactly `count` from `first` on."""
    if len(found) != count:
        raise Damaged
    try:
        return tuple(found[number] for number in range(first, first + count))
    except KeyError:
        raise Damaged from None


def _span(times_ns: Iterable[int]) -> tuple[int | None, int | None]:
    """Earliest and latest time, as far as a column can say it."""
    times = [min(max(at_ns, _LEAST), _MOST) for at_ns in times_ns]
    return min(times, default=None), max(times, default=None)


def _is_whole(record: Record) -> bool:
    """Whether its ledgers have a figure for each bucket: what no decoder checks."""
    if isinstance(record, InFlight):
        return all(len(request.booked_ns) == len(BUCKETS) for request in record.requests)
    return not isinstance(record, ServedRequest | ThreadTime) or len(record.booked_ns) == len(BUCKETS)


def _is_exact(row: Row) -> bool:
    """Whether SQLite gives back what it was given: it has 64-bit integers, no NaN, and one zero."""
    for value in row:
        if isinstance(value, int):
            if not _LEAST <= value <= _MOST:
                return False
        elif isinstance(value, float) and _is_odd(value):
            return False
    return True


def _is_odd(value: float) -> bool:
    return math.isnan(value) or (value == 0 and math.copysign(1, value) < 0)


def _told(value: object) -> bool | None:
    """Turn a column of yes and no back into what it was."""
    if value is None:
        return None
    if _int(value) not in (0, 1):
        raise Damaged
    return bool(value)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise Damaged
    return value


def _raw(parts: Parts) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(parts))


_encoder: Final = msgspec.msgpack.Encoder()
_dense_decoder: Final = msgspec.msgpack.Decoder(Dense)
