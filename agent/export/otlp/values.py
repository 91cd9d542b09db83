"""Attributes and times as OTLP's messages want them: what cannot be said in them is cut down, never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from perfwatch.agent.model import SessionInfo

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
_MOST: Final = (1 << 63) - 1
_MOST_TIME: Final = (1 << 64) - 1


def attributes(values: Mapping[str, Value | None]) -> Iterable[KeyValue]:
    """Return attributes by name; what is None is not known, and left out."""
    return [KeyValue(key=name, value=_any(value)) for name, value in values.items() if value is not None]


def unix_ns(info: SessionInfo, at_ns: int) -> int:
    """Turn a monotonic time of a session into Unix nanoseconds, within what a message can hold."""
    return min(max(info.unix_ns(at_ns), 0), _MOST_TIME)


def whole(value: int) -> int:
    """Return a number within 64 bits signed: a recording may say anything."""
    return min(max(value, -_MOST), _MOST)


def _any(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=whole(value))
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=encodable(value))
        case tuple():
            return AnyValue(array_value=ArrayValue(values=[_any(one) for one in value]))
