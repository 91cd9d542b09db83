"""What a request computes for its calls: time on a CPU while they are under way, and between one and the next.

Who makes no such call does not do that either: drivers encode, decode, and derive keys from passwords. Between two
calls lies what the driver does, and maybe what the program does with the answer: as much as lies between those two
that follow each other the fastest is taken to be the driver's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.calling import Stretch, besides, calls_of, chatter, stretches_of, uncovered, waits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.calling import Part
    from perfwatch.agent.model import ServedRequest

_AVOIDABLE: Final[frozenset[Part]] = frozenset({"chatty", "connect", "tls"})
_LEAST_GAPS: Final = 3


def call_work(record: ServedRequest, booked_ns: int) -> tuple[tuple[Part, int], ...]:
    """Return it for the kinds of calls that need not be; `booked_ns` is what the ledger books to `calls`.

    Costs 15 us for each call.
    """
    if not record.calls:
        return ()
    waits = waits_of(record)
    stretches = [one for one in stretches_of(record) if not one.is_closing]
    found: dict[Part, int] = {}
    for one, open_ns in uncovered(stretches, waits):
        found[one.part] = found.get(one.part, 0) + open_ns
    for piece in besides(stretches, waits, booked_ns, is_whole=not record.calls_lost):
        found[piece.part] = found.get(piece.part, 0) - piece.spent_ns
    gaps: dict[Part, list[int]] = {}
    for one, open_ns in uncovered(list(_gaps(record)), waits):
        gaps.setdefault(one.part, []).append(open_ns)
    for part, each_ns in gaps.items():
        if len(each_ns) >= _LEAST_GAPS:
            found[part] = found.get(part, 0) + min(each_ns) * len(each_ns)
    return tuple((part, spent_ns) for part, spent_ns in found.items() if part in _AVOIDABLE and spent_ns > 0)


def _gaps(record: ServedRequest) -> Iterator[Stretch]:
    """Yield what lies between two calls of one chatty shape, or between two connections that are opened to one peer."""
    calls = calls_of(record)
    shapes = {id(call): shape for shape, group in chatter(calls).items() for call in group}
    for one, after in pairwise(calls):
        if one.ended_ns >= after.started_ns:
            continue
        if one.peer == after.peer and one.connected_ns is not None and after.connected_ns is not None:
            yield Stretch(one.ended_ns, after.started_ns, "connect", one)
        elif id(one) in shapes and shapes[id(one)] == shapes.get(id(after)):
            yield Stretch(one.ended_ns, after.started_ns, "chatty", one)
