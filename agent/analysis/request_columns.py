"""The columns of requests, and of what was asked and waited for in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.analysis.columns import Column, attributes, judgement_columns, ledger_columns, ms, place_columns
from perfwatch.agent.correlator.call_times import PARTS, is_new_connection, spent
from perfwatch.agent.correlator.places import telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from perfwatch.agent.analysis.columns import Columns, Value
    from perfwatch.agent.correlator.call_times import Part
    from perfwatch.agent.model import Call, Frame, Request, SessionInfo, StackTime, Wait

RowKind: TypeAlias = Literal["requests", "calls", "waits", "stacks"]


class Rows(NamedTuple):
    """What the rows of one kind are: their columns, and those that one request has."""

    columns: Callable[[SessionInfo], Columns]
    of: Callable[[Request], Iterable[Any]]


class CallOf(NamedTuple):
    """A call, and the request that it was made for."""

    request: Request
    call: Call


class WaitOf(NamedTuple):
    """A wait of at least 1 ms, and the request that it lay in."""

    request: Request
    wait: Wait


class StackOf(NamedTuple):
    """Time with one stack, for one reason, and the judged request that it is a part of."""

    request: Request
    stack: StackTime


def calls_of(request: Request) -> Iterator[CallOf]:
    """Yield each call of a request that is told one by one."""
    return (CallOf(request, call) for call in request.record.calls)


def request_columns(info: SessionInfo) -> Columns:
    """Return the columns of a request: what it was, its whole ledger, and the verdict on it."""
    return (
        Column("id", "int", lambda one: one.record.id),
        Column("start", "time", lambda one: info.unix_ns(one.record.ended_ns - one.ledger.total_ns)),
        *attributes("text", "method", "target", of="record"),
        *attributes("text", "route"),
        *attributes("int", "service"),
        *attributes("int", "status", "grpc_status", of="record"),
        *attributes("text", "outcome", "protocol", of="record"),
        *attributes("bool", "failed", "slow"),
        Column("latency_ms", "float", lambda one: ms(one.ledger.total_ns)),
        *ledger_columns(lambda one: one.ledger),
        Column("gc_ms", "float", lambda one: ms(one.record.gc_ns)),
        Column("throttled_ms", "float", lambda one: ms(one.record.throttled_ns)),
        *attributes("int", "pid", "tid", "connection", "received_bytes", "sent_bytes", of="record"),
        *attributes("text", "local", "remote", "fidelity", "threads", of="record"),
        Column("calls", "int", lambda one: len(one.record.calls) + one.record.calls_lost),
        *judgement_columns(lambda one: one.verdict),
    )


def call_columns(info: SessionInfo) -> Columns:
    """Return the columns of a call to another process; its parts add up to `duration_ms`."""
    return (
        Column("request", "int", lambda one: one.request.record.id),
        Column("start", "time", lambda one: info.unix_ns(one.call.started_ns)),
        *attributes("text", "peer", "protocol", "operation", "kind", "outcome", of="call"),
        Column("duration_ms", "float", lambda one: ms(spent(one.call).total)),
        *(Column(f"{part}_ms", "float", _part_ms(part)) for part in PARTS),
        Column("new_connection", "bool", lambda one: is_new_connection(one.call)),
        *attributes("bool", "conflict", of="call"),
        *attributes("int", "connection", "tid", "sent_bytes", "received_bytes", of="call"),
        *place_columns(lambda one: _where(one.request, one.call.stack)),
    )


def wait_columns(info: SessionInfo) -> Columns:
    """Return the columns of a wait: for what, for how long, who ended it, and where in the code it was."""
    return (
        Column("request", "int", lambda one: one.request.record.id),
        Column("start", "time", lambda one: info.unix_ns(one.wait.started_ns)),
        *attributes("text", "bucket", "call", "detail", "peer", of="wait"),
        Column("blocked_ms", "float", lambda one: ms(one.wait.blocked_ns)),
        Column("runnable_ms", "float", lambda one: ms(one.wait.runnable_ns)),
        Column("throttled_ms", "float", lambda one: ms(one.wait.throttled_ns)),
        Column("waker", "text", lambda one: getattr(one.wait.waker, "name", None)),
        Column("waker_pid", "int", lambda one: getattr(one.wait.waker, "pid", None)),
        Column("waker_tid", "int", lambda one: getattr(one.wait.waker, "tid", None)),
        Column("waker_request", "int", lambda one: getattr(one.wait.waker, "request", None)),
        *place_columns(lambda one: _where(one.request, one.wait.stack)),
    )


def stack_columns(_: SessionInfo) -> Columns:
    """Return the columns of time by stack: those of one request add up to its latency."""
    return (
        Column("request", "int", lambda one: one.request.record.id),
        *attributes("text", "bucket", "mechanism", of="stack"),
        *attributes("bool", "is_gc", of="stack"),
        Column("spent_ms", "float", lambda one: ms(one.stack.spent_ns)),
        *place_columns(lambda one: telling(one.stack.frames)),
        Column("stack", "text", lambda one: ";".join(frame.function for frame in reversed(one.stack.frames))),
    )


def _part_ms(part: Part) -> Callable[[CallOf], Value]:
    return lambda one: ms(getattr(spent(one.call), part))


def _where(request: Request, stack: int | None) -> Frame | None:
    return telling(request.record.code.stack(stack))


ROWS: Final[dict[RowKind, Rows]] = {
    "requests": Rows(request_columns, lambda request: (request,)),
    "calls": Rows(call_columns, calls_of),
    "waits": Rows(wait_columns, lambda request: (WaitOf(request, wait) for wait in request.record.waits)),
    "stacks": Rows(stack_columns, lambda request: (StackOf(request, one) for one in request.stacks)),
}
"""What a row of requests can be of."""
