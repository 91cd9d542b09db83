"""What is worth keeping for good: a slow request, an error, a cause, a latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import MECHANISMS, Principle, arrival_of, has_failed
from perfwatch.agent.service.amounts import seconds
from perfwatch.agent.target import printable
from perfwatch.probes.records import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Request
    from perfwatch.probes.records import Record

Kind: TypeAlias = Literal["slow", "error", "latency", "principle", "mechanism"]
EXAMPLES: Final = "slow, error, 500ms, lock, capacity"
PRINCIPLES: Final = tuple(one for one in get_args(Principle) if one not in {"healthy", "unknown"})
_NAME_CHARS: Final = 80


class Trigger(msgspec.Struct, frozen=True):
    """One thing that keeps the segment in which it happens."""

    kind: Kind
    name: str = ""
    """Of a principle or a mechanism."""
    least_ns: int = 0
    """Of a latency."""


def parse(word: str) -> Trigger:
    """Understand a word; raises PerfwatchError."""
    if word == "slow":
        return Trigger("slow")
    if word == "error":
        return Trigger("error")
    if word in PRINCIPLES:
        return Trigger("principle", word)
    if word in MECHANISMS:
        return Trigger("mechanism", word)
    least_s = seconds(word)
    if not least_s:
        raise PerfwatchError(
            f"--keep-on {word!r} is not known", f"one of {EXAMPLES}, or another principle or mechanism"
        )
    return Trigger("latency", least_ns=int(least_s * 1e9))


def found(triggers: Sequence[Trigger], record: Record, judged: Sequence[Request]) -> str | None:
    """Say what of a record, and of the requests that it made judged, is worth keeping; None where nothing is."""
    for trigger in triggers:
        if isinstance(record, ServedRequest) and (why := _of_record(trigger, record)):
            return why
        for request in judged:
            if why := _of_request(trigger, request):
                return why
    return None


def _of_record(trigger: Trigger, record: ServedRequest) -> str | None:
    if trigger.kind == "error" and has_failed(record):
        return f"{_name(record)} failed"
    if trigger.kind == "latency" and record.ended_ns - arrival_of(record) >= trigger.least_ns:
        return _took(record)
    return None


def _of_request(trigger: Trigger, request: Request) -> str | None:
    verdict = request.verdict
    if not request.slow or verdict is None:
        return None
    cause = {"slow": "", "principle": verdict.principle, "mechanism": verdict.mechanism}.get(trigger.kind)
    return f"{_took(request.record)}: {verdict.summary}" if cause == trigger.name else None


def _took(record: ServedRequest) -> str:
    return f"{_name(record)} took {(record.ended_ns - arrival_of(record)) / 1e6:.0f} ms"


def _name(record: ServedRequest) -> str:
    return printable(f"{record.method or '?'} {record.target or '?'}")[:_NAME_CHARS]
