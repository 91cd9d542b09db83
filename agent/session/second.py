"""One second of a session, packed into a head and a blob of columns, and unpacked again.

Unpacking trusts nothing: sizes are bounded before anything is built, all is converted into declared types,
and what does not match its checksum, or is not whole, is `Damaged`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, TypeVar, get_args

import msgspec

from perfwatch.agent.marks import Marks
from perfwatch.agent.session import columnar
from perfwatch.agent.session.compression import compress, decompress
from perfwatch.agent.session.format import (
    CURRENT,
    MAX_PACKED_BYTES,
    MAX_PACKED_VALUES,
    MAX_RECORD_BYTES,
    MAX_SECOND_RECORDS,
    Row,
    encode_row,
)
from perfwatch.agent.session.stored import Damaged, Head, Packed, Second, StoredVerdict
from perfwatch.probes.records import BUCKETS, InFlight, Record, ServedRequest, encode
from perfwatch.probes.samples import ClockReading, ThreadTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from perfwatch.agent.marks import MarkKind

_T = TypeVar("_T")
_FULL_BYTES: Final = 2 << 20
_MAX_MARKS: Final = 8
"""Of each kind in one second."""
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
_KINDS: Final[dict[str, type[Record]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Record)}
_LISTS: Final[dict[str, type[list[Record]]]] = {tag: list[kind] for tag, kind in _KINDS.items()}  # type: ignore[valid-type]
_WRONG: Final = (TypeError, ValueError, LookupError, ArithmeticError, StopIteration)
"""What Python raises over columns that nobody packed."""


class Filling:
    """The second that is being filled; `seal` turns it into rows."""

    def __init__(self, number: int, first_seq: int, first_verdict: int) -> None:
        self.number = number
        self.first_seq = self.next_seq = first_seq
        self.first_verdict = self.next_verdict = first_verdict
        self._clocks: list[tuple[int, int, int]] = []
        self._times_ns: list[int] = []
        self._kinds: dict[type[Record], int] = {}
        self._order: list[int] = []
        self._records: list[list[list[object]]] = []
        self._verdicts: list[list[object]] = []
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
        if not is_whole(record):
            raise ValueError(f"a ledger has {len(BUCKETS)} buckets")
        size = len(encode(record))
        if size > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {size} bytes; a session takes up to {MAX_RECORD_BYTES}")
        place = self._kinds.setdefault(type(record), len(self._kinds))
        if place == len(self._records):
            self._records.append([])
        self._records[place].append(msgspec.to_builtins(record)[1:])
        self._order.append(place)
        self._size += size
        if isinstance(record, ClockReading):
            self._clocks.append((record.at_ns, record.unix_ns, record.suspended_ns))
        self._times_ns.append(record.at_ns)
        self.next_seq += 1

    def add_verdict(self, verdict: StoredVerdict) -> None:
        """Take the next verdict."""
        row = list(msgspec.structs.astuple(verdict))
        self._verdicts.append(row)
        self._size += len(encode_row(tuple(row)))
        self.next_verdict += 1

    def seal(self, marks: SecondMarks, *, at_leisure: bool = False) -> dict[str, list[Row]]:
        """Return the rows of this second, by table."""
        blob = compress(self._packed(), at_leisure=at_leisure)
        counts = (self.next_seq - self.first_seq, self.next_verdict - self.first_verdict)
        head = (self.number, self.first_seq, counts[0], self.first_verdict, counts[1], *span(self._times_ns))
        clocks = msgspec.json.encode(self._clocks).decode() if self._clocks else None
        more = (marks.told(), clocks)
        crc = checksum((*head, *more), blob)
        return {CURRENT.seconds.name: [(*head, crc, *more)], CURRENT.blobs.name: [(self.number, blob)]}

    def _packed(self) -> bytes:
        packing = columnar.Packing()
        tags = [str(kind.__struct_config__.tag) for kind in self._kinds]
        columns = [packing.rows(rows) for rows in self._records]
        data = _encoder.encode((tags, packing.column(self._order), columns, packing.rows(self._verdicts)))
        if len(data) <= MAX_PACKED_BYTES and packing.values <= MAX_PACKED_VALUES:
            return data
        plain = [["p", rows] for rows in self._records]
        return _encoder.encode((tags, ["p", self._order], plain, ["p", self._verdicts]))


class SecondMarks(Marks):
    """Collects the marks of one second, as they are kept beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[MarkKind, list[int]] = {}

    def add(self, kind: MarkKind, at_ns: int) -> None:
        """Keep one, if there are not many of its kind."""
        times = self._found.setdefault(kind, [])
        if len(times) < _MAX_MARKS and _LEAST <= at_ns <= _MOST:
            times.append(at_ns)

    def clear(self) -> None:
        """Begin the next second."""
        self._found = {}

    def told(self) -> str | None:
        """Return all as JSON; None where there is none."""
        return msgspec.json.encode(self._found).decode() if self._found else None


def unpack(head: Head, blob: bytes) -> Second:
    """Inverse of `Filling.seal`. `Damaged` unless all is there, as it was written."""
    check(head, blob)
    packed = _decoder.decode(decompress(blob, MAX_PACKED_BYTES))
    try:
        second = _second(head, packed)
    except _WRONG:
        raise Damaged from None
    if span(record.at_ns for record in second.records) != (head.first_ns, head.last_ns):
        raise Damaged
    if not all(map(is_whole, second.records)):
        raise Damaged
    return second


def check(head: Head, blob: bytes) -> None:
    """Raise Damaged unless head and blob are what was written."""
    row = msgspec.structs.astuple(head)
    if checksum((*row[:7], *row[8:]), blob) != head.crc32:
        raise Damaged


def checksum(head: Row, blob: bytes) -> int:
    """CRC-32 as `format` lays down, of a head without its own."""
    return zlib.crc32(blob, zlib.crc32(encode_row(head)))


def _second(head: Head, packed: Packed) -> Second:
    unpacking = columnar.Unpacking(MAX_PACKED_VALUES)
    order = unpacking.numbers(packed.order, head.records)
    counts = [order.count(place) for place in range(len(packed.kinds))]
    if sum(counts) != len(order) or len(set(packed.kinds)) != len(packed.columns):
        raise Damaged
    records = []
    for tag, column, count in zip(packed.kinds, packed.columns, counts, strict=True):
        rows = [(tag, *row) for row in unpacking.column(column, count)]  # type: ignore[misc]
        records.append(iter(msgspec.convert(rows, _LISTS[tag])))
    verdicts = msgspec.convert(unpacking.column(packed.verdicts, head.verdicts), tuple[StoredVerdict, ...])
    return Second(head, tuple([next(records[place]) for place in order]), verdicts)


def span(times_ns: Iterable[int]) -> tuple[int | None, int | None]:
    """Earliest and latest time, as far as a column can say it."""
    times = [min(max(at_ns, _LEAST), _MOST) for at_ns in times_ns]
    return min(times, default=None), max(times, default=None)


def in_order(found: Mapping[int, _T], first: int, count: int) -> tuple[_T, ...]:
    """Return what was found, by number; `Damaged` unless it is exactly `count` from `first` on."""
    if len(found) != count:
        raise Damaged
    try:
        return tuple(found[number] for number in range(first, first + count))
    except KeyError:
        raise Damaged from None


def is_whole(record: Record) -> bool:
    """Whether its ledgers have a figure for each bucket: what no decoder checks."""
    if isinstance(record, InFlight):
        return all(len(request.booked_ns) == len(BUCKETS) for request in record.requests)
    return not isinstance(record, ServedRequest | ThreadTime) or len(record.booked_ns) == len(BUCKETS)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Packed)
