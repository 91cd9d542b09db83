"""A table as a pandas data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from perfwatch.agent.analysis.columns import Column, Kind

_DTYPES: Final[dict[Kind, str]] = {
    "time": "datetime64[ns, UTC]",
    "float": "float64",
    "int": "Int64",
    "bool": "boolean",
    "text": "string",
}
"""What is not known is missing in a row, never 0."""


def frame(columns: Sequence[Column], rows: Iterable[object]) -> pd.DataFrame:
    """Return the rows as a data frame; PerfwatchError where pandas is not installed."""
    try:
        import pandas as pd  # noqa: PLC0415 - an extra, and it takes half a second
    except ImportError:
        raise PerfwatchError("data frames need pandas", "pip install 'perfwatch[pandas]'") from None
    values: list[list[object]] = [[] for _ in columns]
    getters = [column.of for column in columns]
    for row in rows:
        for column, of in zip(values, getters, strict=True):
            column.append(of(row))
    made = zip(columns, values, strict=True)
    return pd.DataFrame({column.name: _series(pd, column.kind, column_values) for column, column_values in made})


def _series(pd: Any, kind: Kind, values: list[object]) -> Any:
    if kind == "time":
        return pd.to_datetime(pd.Series(values, dtype="int64"), unit="ns", utc=True)
    return pd.Series(values, dtype=_DTYPES[kind])
