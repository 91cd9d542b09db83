"""A recording as rows: of its requests, or of what was asked and waited for in them; the tables of docs/python.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.analysis.request_columns import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.analysis.columns import Columns, Value
    from perfwatch.agent.export.exported import Exported


def columns_of(exported: Exported) -> Columns:
    """Return the columns of what is exported."""
    return ROWS[exported.rows].columns(exported.info)


def rows_of(exported: Exported) -> Iterator[list[Value]]:
    """Yield the values of each row, in the order of the columns."""
    getters = [column.of for column in columns_of(exported)]
    for request in exported.requests():
        for row in ROWS[exported.rows].of(request):
            yield [of(row) for of in getters]
