"""The tables that can be made of a session, by name: of requests, and of each kind of record that is one row."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perfwatch.agent.analysis.columns import Column, attributes, judgement_columns, ledger_columns
from perfwatch.agent.analysis.request_columns import ROWS
from perfwatch.agent.model import Latency
from perfwatch.probes import frames, records, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.analysis.columns import Columns, Kind
    from perfwatch.agent.analysis.request_columns import Rows
    from perfwatch.agent.analysis.session import Session
    from perfwatch.agent.model import SessionInfo
    from perfwatch.probes.records import Record

_RECORDS: Final[dict[str, type[Record]]] = {
    "host": records.HostSample,
    "processes": records.ProcessSample,
    "listeners": records.ListenerSample,
    "target_changes": records.TargetChange,
    "losses": records.Loss,
    "pressure": samples.PressureSample,
    "cgroups": samples.CgroupSample,
    "memory": samples.MemorySample,
    "process_memory": samples.ProcessMemory,
    "disks": samples.DiskSample,
    "process_io": samples.ProcessIo,
    "network": samples.NetworkSample,
    "connections": samples.Connection,
    "rates": samples.RateChange,
    "gc_pauses": frames.GcPause,
    "members": records.TreeMember,
    "peer_processes": records.PeerProcess,
    "clocks": samples.ClockReading,
}
"""Those that are one row each."""
_QUANTILES: Final = Latency.__struct_fields__
_KINDS: Final[dict[object, Kind]] = {int: "int", float: "float", bool: "bool", str: "text"}


class Table(NamedTuple):
    """A table: its columns, and where its rows come from, one after the other."""

    columns: Callable[[SessionInfo], Columns]
    rows: Callable[[Session], Iterator[Any]]


def _endpoint_columns(_: SessionInfo) -> Columns:
    """Return the columns of an endpoint; its ledger is the mean of those of its requests that were judged."""
    return (
        *attributes("text", "method", "route"),
        *attributes("int", "service", "count", "slow_count", "judged_count", "errors"),
        *(Column(f"{one.name}_ms", one.kind, one.of) for one in attributes("float", *_QUANTILES, of="latency_ms")),
        *judgement_columns(lambda one: one.verdict),
        *ledger_columns(lambda one: one.ledger),
    )


def _recorded_columns(_: SessionInfo) -> Columns:
    return (Column("request", "int", lambda one: one.request_id), *judgement_columns(lambda one: one))


def _record_columns(kind: type[Record]) -> Callable[[SessionInfo], Columns]:
    """Return the columns of a record: when it was measured, and each of its fields that is a plain value."""
    plain = [(name, _kind(hint)) for name, hint in typing.get_type_hints(kind).items() if name != "at_ns"]
    fields = [column for name, told in plain if told for column in attributes(told, name)]

    def columns(info: SessionInfo) -> Columns:
        return (Column("at", "time", lambda one: info.unix_ns(one.at_ns)), *fields)

    return columns


def _kind(hint: object) -> Kind | None:
    """Return what a field's column is; None for one that holds more than one value."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        (hint, *more) = (one for one in typing.get_args(hint) if one is not type(None))
        return None if more else _kind(hint)
    if typing.get_origin(hint) is typing.Literal:
        hint = type(typing.get_args(hint)[0])
    return _KINDS.get(hint)


def _of_record(kind: type[Record]) -> Table:
    return Table(_record_columns(kind), lambda session: session.records(kind))


def _of_requests(rows: Rows) -> Table:
    return Table(rows.columns, lambda session: (row for request in session.requests() for row in rows.of(request)))


TABLES: Final = {
    **{name: _of_requests(rows) for name, rows in ROWS.items()},
    "endpoints": Table(_endpoint_columns, lambda session: iter(session.endpoints)),
    "recorded_verdicts": Table(_recorded_columns, lambda session: session.recorded_verdicts()),
    **{name: _of_record(kind) for name, kind in _RECORDS.items()},
}
"""All of them."""
