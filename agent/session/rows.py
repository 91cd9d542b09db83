"""One second of a session up to format 3: rows of plain tables, and a blob of what is too dense for them.

It is read only. Unpacking trusts nothing, as in `second`.
"""

from __future__ import annotations

import zlib
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.session.compression import unzip
from perfwatch.agent.session.format import MAX_SECOND_BYTES, VERDICT_TABLE, Format, Row
from perfwatch.agent.session.format import checksum as checksum_of
from perfwatch.agent.session.second import in_order, is_whole, span
from perfwatch.agent.session.stored import Damaged, Dense, Head, Parts, Second, StoredVerdict
from perfwatch.probes.records import BUCKETS, PeerProcess, Record, ServedRequest
from perfwatch.probes.samples import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOOKED: Final = ServedRequest.__struct_fields__.index("booked_ns")
_CODE: Final = ServedRequest.__struct_fields__.index("code")
_HEAD: Final = 7
"""Columns of a head before its checksum."""
_ANSWERS: Final[dict[type[Record], set[int]]] = {
    kind: {kind.__struct_fields__.index(name) for name in names}
    for kind, names in ((Connection, ("resumed", "reset")), (PeerProcess, ("is_target",)))
}
"""Fields that are yes or no."""


def unpack(layout: Format, head: Head, rows: Mapping[str, Sequence[Row]], blob: bytes) -> Second:
    """Build a second of its `rows`, by table; `Damaged` unless all is there, as it was written."""
    if checksum(layout, msgspec.structs.astuple(head)[:_HEAD], rows, blob) != head.crc32:
        raise Damaged
    dense = _dense_decoder.decode(unzip(blob, MAX_SECOND_BYTES)) if blob else Dense((), (), ())
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
        in_order(records, head.first_seq, head.records),
        in_order(verdicts, head.first_verdict, head.verdicts),
    )
    times = span(record.at_ns for record in second.records)
    if parts or times != (head.first_ns, head.last_ns) or not all(map(is_whole, second.records)):
        raise Damaged
    return second


def checksum(layout: Format, head: Row, rows: Mapping[str, Sequence[Row]], blob: bytes) -> int:
    """CRC-32 as format 3 lays down."""
    told = chain.from_iterable(rows.get(table.name, ()) for table in layout.checked)
    return zlib.crc32(blob, checksum_of((head, *told)))


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


_dense_decoder: Final = msgspec.msgpack.Decoder(Dense)
