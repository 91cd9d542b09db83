"""Follows the blame for a wait to its end: who held what was waited for, what it did then, and who held that.

Each step looks only at the very stretches of time that the one before is to blame for: what its holder did in those is
why it held it, and what most of that was is followed further. So shares decline along a chain as it was measured, and a
chain ends where nobody held anything (it slept, it computed), where nothing tells, or where no one did most of it. As
in wPerf's wait-for graph (Zhou et al., OSDI '18), the edges are who woke whom; nobody is charged twice in one chain.

Requests of one endpoint at one place are one link: of a queue at a lock each had it for a turn only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.blaming import OF_CALLS, Blamed, blamed
from perfwatch.agent.correlator.doings import Piece, of_request, of_thread
from perfwatch.agent.correlator.givers import is_untold
from perfwatch.agent.model import Link, Mechanism, arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request, ServedRequest

MAX_LINKS: Final = 8
_MOSTLY: Final = 0.5
_NOTABLE: Final = 0.05
_MAX_PIECES: Final = 512
_MAX_PENDING: Final = 16
_MAX_MOMENTS: Final = 4
_GIVEN_BACK: Final[frozenset[Mechanism]] = frozenset({"lock", "pool"})


class Followed(NamedTuple):
    """A chain, and what it goes on with as soon as that is told."""

    chain: tuple[Link, ...] = ()
    pending: tuple[int, ...] = ()
    """Requests, by id."""
    moments: tuple[int, ...] = ()
    """When those ended that gave back what a coroutine waited for, while nobody is known that did."""


NOBODY: Final = Followed()


def follow(request: Request, mechanism: Mechanism, context: Context) -> Followed:
    """Follow what a request waited for; costs nothing where no wait of 1 ms or more is known, else 10-100 us."""
    record, total_ns = request.record, request.ledger.total_ns
    context = context._replace(judged=partial(_judged, request, context))
    wanted = "dependency" if mechanism in OF_CALLS else mechanism
    if total_ns <= 0 or mechanism in _OWN or not (record.waits or record.peers or mechanism == "queue"):
        return NOBODY
    pieces = [one for one in of_request(record, [(arrival_of(record), record.ended_ns)]) if one.mechanism == wanted]
    chain: list[Link] = []
    seen: set[int | None] = {record.id}
    pending: dict[int, None] = {}
    moments = _ends(record, pieces) if wanted in _GIVEN_BACK else ()
    while pieces and len(chain) < MAX_LINKS:
        before_ns = sum(one.spent_ns for one in pieces)
        group = _largest(_blamed(pieces, context, seen), before_ns)
        if group is None or sum(one.spent_ns for one in group) < _NOTABLE * total_ns:
            break
        seen |= {_key(one) for one in group}
        pending |= dict.fromkeys(one.request for one in group if one.request is not None and one.record is None)
        done, pieces = _mostly(group, context)
        chain.append(_link(group, done, pieces, total_ns))
    return Followed(tuple(chain), tuple(pending)[:_MAX_PENDING], () if chain else moments)


_OWN: Final[frozenset[Mechanism]] = frozenset({"cpu", "gc", "sleep", "throttle", "memory", "network"})
"""What nobody else of those that are followed is to blame for."""


def _ends(record: ServedRequest, pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Return when the longest waits of coroutines ended, of which no thread is known to have ended them."""
    longest = sorted(pieces, key=lambda one: -one.spent_ns)[:_MAX_MOMENTS]
    return tuple(one.until_ns for one in longest if one.wait is not None and is_untold(record, one.wait))


def _judged(own: Request, context: Context, request: int) -> Request | None:
    """Return a judged request by its id; that which is being judged has its callees, and is not shown yet."""
    return own if request == own.record.id else context.judged(request)


def _blamed(pieces: Sequence[Piece], context: Context, seen: set[int | None]) -> Iterable[Blamed]:
    longest = sorted(pieces, key=lambda one: -one.spent_ns)[:_MAX_PIECES]
    return [one for piece in longest for one in blamed(piece, context) if _key(one) is None or _key(one) not in seen]


def _key(one: Blamed) -> int | None:
    """Return what tells a link of a ring: a request by its id, a thread by its number, which is no id of a request."""
    if one.request is not None:
        return one.request
    return None if one.tid is None else -one.tid


def _largest(found: Iterable[Blamed], before_ns: int) -> list[Blamed] | None:
    """Return those of one kind that had it longest, if that is most of the time."""
    groups: dict[tuple[str, ...], list[Blamed]] = {}
    for one in found:
        place = "" if one.frame is None else f"{one.frame.file} {one.frame.function}"
        groups.setdefault((one.kind, one.endpoint or one.name, place), []).append(one)
    largest = max(groups.values(), key=lambda some: sum(one.spent_ns for one in some), default=None)
    if largest is None or sum(one.spent_ns for one in largest) < _MOSTLY * before_ns:
        return None
    return sorted(largest, key=lambda one: -one.spent_ns)


def _mostly(group: Sequence[Blamed], context: Context) -> tuple[Mechanism | None, list[Piece]]:
    """Return what they did most of that time, and when."""
    whole_ns = sum(one.spent_ns for one in group)
    spent: dict[Mechanism | None, list[Piece]] = {}
    for one in group:
        for piece in _did(one, context):
            spent.setdefault(piece.mechanism, []).append(piece)
    spent.pop(None, None)
    sums = {mechanism: sum(one.spent_ns for one in pieces) for mechanism, pieces in spent.items()}
    most = max(sums, key=lambda name: sums[name], default=None)
    return (None, []) if most is None or sums[most] < _MOSTLY * whole_ns else (most, spent[most])


def _did(one: Blamed, context: Context) -> list[Piece]:
    if one.record is not None:
        return of_request(one.record, one.stretches)
    if one.kind == "thread" and one.request is None and one.tid is not None and one.stretches:
        return of_thread(one.tid, one.stretches, context.around.code)
    return []


def _link(group: Sequence[Blamed], done: Mechanism | None, pieces: Sequence[Piece], total_ns: int) -> Link:
    first, spent_ns = group[0], sum(one.spent_ns for one in (pieces if done is not None else group))
    return Link(
        kind=first.kind,
        name=first.name,
        mechanism=done,
        share=round(min(spent_ns / total_ns, 1.0), 4),
        frame=first.frame,
        request=first.request if first.kind == "request" else None,
        pid=first.pid,
        tid=first.tid,
    )
