"""CSV (RFC 4180, UTF-8): a line for each row, its columns named in the first.

Names and paths come from clients and the target: what a terminal would obey is escaped, and what a spreadsheet would
take for a formula begins with an apostrophe. What is not known is empty; times are UTC.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from perfwatch.agent.export.rows import columns_of, rows_of
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.analysis.columns import Kind, Value
    from perfwatch.agent.export.exported import Exported

_FORMULA: Final = tuple("=+-@＝＋－＠")  # noqa: RUF001 - some take the wide ones as well
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write(exported: Exported, out: BinaryIO) -> None:
    """Write all rows; they are not kept in memory."""
    columns = columns_of(exported)
    kinds = [column.kind for column in columns]
    text = io.TextIOWrapper(out, encoding="utf-8", errors="replace", newline="", write_through=True)
    try:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(column.name for column in columns)
        for row in rows_of(exported):
            lines.writerow(_cell(kind, value) for kind, value in zip(kinds, row, strict=True))
    finally:
        text.detach()  # the file is its owner's to close


def _cell(kind: Kind, value: Value) -> Value:
    match value:
        case bool():
            return "true" if value else "false"
        case int() if kind == "time":
            return _time(value)
        case str():
            shown = clean(value)
            return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
        case _:
            return value


def _time(unix_ns: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    except OverflowError:  # of a recording that is not sound
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
