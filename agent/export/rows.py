"""A recording as rows: of its requests, or of what was asked and waited for in them; the tables of docs/python.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perfwatch.agent.analysis.request_columns import (
    CallOf,
    StackOf,
    WaitOf,
    call_columns,
    request_columns,
    stack_columns,
    wait_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from perfwatch.agent.analysis.columns import Columns, Value
    from perfwatch.agent.export.exported import Exported, Table
    from perfwatch.agent.model import Request, SessionInfo


class _Rows(NamedTuple):
    columns: Callable[[SessionInfo], Columns]
    of: Callable[[Request], Iterable[Any]]


ROWS: Final[dict[Table, _Rows]] = {
    "requests": _Rows(request_columns, lambda request: (request,)),
    "calls": _Rows(call_columns, lambda request: (CallOf(request, call) for call in request.record.calls)),
    "waits": _Rows(wait_columns, lambda request: (WaitOf(request, wait) for wait in request.record.waits)),
    "stacks": _Rows(lambda _: stack_columns(), lambda request: (StackOf(request, one) for one in request.stacks)),
}
"""What a row can be of."""


def columns_of(exported: Exported) -> Columns:
    """Return the columns of what is exported."""
    return ROWS[exported.table].columns(exported.info)


def rows_of(exported: Exported) -> Iterator[list[Value]]:
    """Yield the values of each row, in the order of the columns."""
    getters = [column.of for column in columns_of(exported)]
    for request in exported.requests():
        for row in ROWS[exported.table].of(request):
            yield [of(row) for of in getters]
