"""What a table is made of: named columns, each of which takes one value out of a thing, such as a request."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from perfwatch.agent.model import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.model import Bucket, Frame, Ledger, Verdict

Kind: TypeAlias = Literal["time", "float", "int", "bool", "text"]
"""`time`: Unix nanoseconds, UTC."""
Value: TypeAlias = int | float | str | bool | None
Columns: TypeAlias = "tuple[Column, ...]"


class Column(NamedTuple):
    """One column; its unit stands in its name (`_ms`, `_bytes`), shares are 0..1."""

    name: str
    kind: Kind
    of: Callable[[Any], Value]
    """Takes a row of the table that it belongs to."""


def ms(duration_ns: int) -> float:
    """Return milliseconds, exact to the nanosecond."""
    return round(duration_ns / 1e6, 6)


def attributes(kind: Kind, *names: str, of: str = "") -> Columns:
    """Return columns that are named as the attributes that they show: of the row, or of an attribute of it."""
    return tuple(Column(name, kind, attrgetter(f"{of}.{name}" if of else name)) for name in names)


def judgement_columns(verdict: Callable[[Any], Verdict | None]) -> Columns:
    """Return the columns of a verdict; empty where none was given."""

    def told(name: str) -> Callable[[Any], Value]:
        return lambda one: getattr(verdict(one), name, None)

    kinds: dict[str, Kind] = {"principle": "text", "mechanism": "text", "share": "float", "confidence": "float"}
    return tuple(Column(name, kind, told(name)) for name, kind in (kinds | {"summary": "text"}).items())


def ledger_columns(ledger: Callable[[Any], Ledger]) -> Columns:
    """Return the columns of a ledger: they add up to the latency."""

    def booked(bucket: Bucket) -> Callable[[Any], Value]:
        return lambda one: ms(ledger(one)[bucket])

    columns = (Column(f"{bucket}_ms", "float", booked(bucket)) for bucket in BUCKETS)
    return (*columns, Column("unaccounted_ms", "float", lambda one: ms(ledger(one).unaccounted_ns)))


def place_columns(frame: Callable[[Any], Frame | None]) -> Columns:
    """Return where in the code it was; empty where that is not known."""
    return (
        Column("function", "text", lambda one: getattr(frame(one), "function", None)),
        Column("file", "text", lambda one: getattr(frame(one), "file", None)),
        Column("line", "int", lambda one: getattr(frame(one), "line", None)),
    )
