"""Parquet, by pyarrow: the columns of the CSV with their types; strings are as they were sent."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from perfwatch.agent.export.rows import columns_of, rows_of
from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.analysis.columns import Columns, Kind, Value
    from perfwatch.agent.export.exported import Exported

GROUP: Final = 16_384
"""Rows that are held in memory, and written together."""
_TYPES: Final[dict[Kind, pa.DataType]] = {
    "time": pa.timestamp("ns", tz="UTC"),
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "text": pa.string(),
}
_MOST: Final = (1 << 63) - 1


def write(exported: Exported, out: BinaryIO) -> None:
    """Write all rows, a group at a time."""
    columns, rows = columns_of(exported), rows_of(exported)
    schema = pa.schema([pa.field(column.name, _TYPES[column.kind]) for column in columns])
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_batch(_batch(columns, group, schema))


def _batch(columns: Columns, rows: list[list[Value]], schema: pa.Schema) -> pa.RecordBatch:
    by_column = zip(*rows, strict=True)
    arrays = [
        pa.array([_held(value) for value in values], type=_TYPES[column.kind])
        for column, values in zip(columns, by_column, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _held(value: Value) -> Value:
    """Return a value as a column can hold it: a recording that is not sound may say anything."""
    match value:
        case bool():
            return value
        case int():
            return min(max(value, -_MOST), _MOST)
        case str():
            return encodable(value)
        case _:
            return value
