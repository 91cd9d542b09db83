"""Calls that went one after the other, and might have run at the same time: what that would save.

Whether a call needs the answer of the one before it cannot be seen from outside. Those are taken for independent that
ask for different things, not in one session of a database, and the next of which began right after the last had ended:
what needs an answer looks at it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.correlator.calling import calls_of, chatter, shape_of
from perfwatch.agent.correlator.findings import amount, counted
from perfwatch.agent.correlator.wording import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from perfwatch.agent.correlator.calling import Shape
    from perfwatch.agent.model import Evidence, ServedRequest
    from perfwatch.probes.records import Call

_SESSIONS: Final = frozenset({"postgresql", "mysql"})
_OWN_WORK_NS: Final = 2_000_000
_OWN_PART: Final = 0.1
_LEAST_NS: Final = 1_000_000
_NOTABLE: Final = 0.1
_NAMED: Final = 3
_MAX_NAME: Final = 48
ADVICE: Final = (
    "Make these calls at the same time (asyncio.gather, a thread pool) if they do not need each other's answers: "
    "that would save about {}."
)


class Together(NamedTuple):
    """Calls that could have run at the same time, if they do not need each other's answers."""

    calls: tuple[Call, ...]
    saved_ns: int
    """Their sum without the longest."""

    def names(self, width: int) -> str:
        """Name the first of them, each in so many characters."""
        told = "; ".join(cut(name_of(call), width) for call in self.calls[:_NAMED])
        return told + (f" and {len(self.calls) - _NAMED} more" if len(self.calls) > _NAMED else "")


def could_overlap(record: ServedRequest) -> Together | None:
    """Return the line of calls of which most could be saved; None where it is less than a tenth of the latency."""
    best = max((Together(line, _saved_ns(line)) for line in _lines(record)), key=lambda one: one.saved_ns, default=None)
    if best is None or best.saved_ns < _NOTABLE * (record.ended_ns - record.started_ns):
        return None
    return best


def explain_together(record: ServedRequest) -> Iterator[Evidence]:
    """Say what running them together would save."""
    found = could_overlap(record)
    if found is None:
        return
    text = (
        f"{counted(len(found.calls), 'call')} went one after the other ({found.names(_MAX_NAME)}): "
        "if they do not need each other's answers, running them together would save {}"
    )
    yield amount("could_overlap", found.saved_ns, text)


def advice_on(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """Return the advice that belongs to it, where it was found."""
    saved = next((one.value for one in evidence if one.name == "could_overlap_ms"), None)
    return () if saved is None else (ADVICE.format(f"{saved} ms"),)


def name_of(call: Call) -> str:
    """Return what was asked of whom: `SELECT * FROM t WHERE id = ? at 10.0.0.5:5432`."""
    return f"{call.operation} at {call.peer}" if call.operation else call.peer


def _saved_ns(line: tuple[Call, ...]) -> int:
    lengths = [_length(call) for call in line]
    return sum(lengths) - max(lengths)


def _lines(record: ServedRequest) -> Iterator[tuple[Call, ...]]:
    """Yield the runs of two or more calls that ask for different things, each right after the one before it."""
    calls = calls_of(record)
    chatty = chatter(calls)
    line: dict[Shape, Call] = {}
    last = None
    for call in _with_setups(calls):
        shape = shape_of(call)
        if _length(call) < _LEAST_NS or call.kind == "publish" or shape in chatty:
            continue
        if shape in line or (last is not None and (not _follows(last, call) or _is_session(last, call))):
            yield from _worth(line)
            line = {}
        line[shape] = last = call
    yield from _worth(line)


def _with_setups(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield the calls that ask for something, each with the opening of its connection where that was told apart."""
    began: dict[int, int] = {}
    for call in calls:
        if call.sent_ns is None:
            began[call.connection] = call.started_ns
        else:
            started_ns = began.pop(call.connection, call.started_ns)
            yield call if started_ns == call.started_ns else msgspec.structs.replace(call, started_ns=started_ns)


def _is_session(before: Call, call: Call) -> bool:
    """Whether both are statements on one connection to a database, where one must wait for the other."""
    return call.connection == before.connection and call.protocol in _SESSIONS


def _worth(line: Mapping[Shape, Call]) -> Iterator[tuple[Call, ...]]:
    if len(line) > 1:
        yield tuple(line.values())


def _follows(before: Call, call: Call) -> bool:
    """Whether a call began when the other one had ended, with little own work between them."""
    gap_ns = call.started_ns - before.ended_ns
    return 0 <= gap_ns <= max(_OWN_WORK_NS, round(_OWN_PART * min(_length(before), _length(call))))


def _length(call: Call) -> int:
    return max(call.ended_ns - call.started_ns, 0)
