"""What a request asked of other processes: which part of that is the way it asks, and which is their slowness.

The contract of rules stands in `findings.py`, how the time is divided in `calling.py`. Efficiency: `connect`, `tls`,
`transfer`, `chatty`; what is left is capacity's `dependency`, with child processes and pipes (`capacity.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.answers import failed, mostly, operation, unread
from perfwatch.agent.correlator.calling import PARTS, Slice, calls_of, chatter, divide, shape_of, sums
from perfwatch.agent.correlator.capacity import explain_dependency, piped_ns
from perfwatch.agent.correlator.findings import Explanation, Finding, Rule, amount, counted, milliseconds
from perfwatch.agent.correlator.together import advice_on, explain_together
from perfwatch.agent.correlator.wording import duration, size
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.calling import Part
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request
    from perfwatch.probes.records import Call, Protocol

_MAX_ADVICE: Final = 3
_KEEP_ADVICE: Final = (
    "Keep connections and use them again: one client or pool for the whole process (httpx.Client, requests.Session, a "
    "pool of psycopg or SQLAlchemy), not one for each call or request."
)
_IDLE_ADVICE: Final = (
    "Let both ends keep idle connections longer than your traffic pauses (keep-alive, pool_recycle, idle timeouts)."
)
_WARM_ADVICE: Final = (
    "It mostly uses its connections again, and this one was new: open them before requests come (the pool's min_size, "
    "a warm-up call at start-up)."
)
_RESUME_ADVICE: Final = (
    "Resume sessions (one SSLContext for all connections, session tickets) and use TLS 1.3: one round trip less."
)
_PROXY_ADVICE: Final = "Within one host or a trusted network let a local proxy keep the encrypted connections."
_TRANSFER_ADVICE: Final = (
    "Ask for less: only the columns or fields that are used, a page at a time, what has changed since.",
    "Compress it (Accept-Encoding: gzip, zstd) or use a compact format; across networks that is what takes long.",
    "Keep what rarely changes in a cache near the process.",
)
_MANY_ADVICE: Final[dict[Protocol, str]] = {
    **dict.fromkeys(
        ("postgresql", "mysql"),
        "Ask for all of it in one query: a JOIN, or WHERE id IN (...) over the list; with an ORM load the related rows "
        "at once (selectinload, joinedload, prefetch_related).",
    ),
    "redis": "Send them in one round trip: MGET, HMGET or a pipeline.",
    "memcached": "Send them in one round trip: get_multi.",
    "mongodb": "Ask for all of it at once: {_id: {$in: [...]}}, or $lookup.",
}
_BATCH_ADVICE: Final = "Ask for many in one call: an endpoint or a statement that takes a list."
_PUBLISH_ADVICE: Final = "Publish them as one batch, and wait for the broker's word once, or not at all."
_ABREAST_ADVICE: Final = "Where that cannot be: make the calls at the same time, some at once, not one after the other."
_FRESH_ADVICE: Final = "Keep the answers for the length of the request, or longer: the same is often asked for twice."


def calls(request: Request, context: Context) -> Iterator[Finding]:
    """Wait for another process <- `calls` by what it was spent on, `child`, and pipes of `other`."""
    slices = divide(request.record, request.ledger["calls"])
    spent = sums(slices)
    spent["dependency"] = spent.get("dependency", 0) + request.ledger["child"] + piped_ns(request)
    for part in PARTS:
        if spent.get(part):
            yield Finding(part, spent[part], partial(_explain, part, spent[part], slices, request, context))


def _explain(part: Part, spent_ns: int, slices: Sequence[Slice], request: Request, context: Context) -> Explanation:
    own = [one for one in slices if one.part == part]
    if part == "dependency":
        return explain_dependency(request, context, own)
    explain = {"connect": _connect, "tls": _tls, "transfer": _transfer, "chatty": _chatty}[part]
    told, advice = explain(spent_ns, own, request, context)
    evidence = (*told, *explain_together(request.record), *unread(request))
    return Explanation(evidence, (*advice, *advice_on(evidence))[:_MAX_ADVICE])


def _connect(
    spent_ns: int, slices: Sequence[Slice], request: Request, context: Context
) -> tuple[list[Evidence], tuple[str, ...]]:
    peer, opening = _peer_of(slices)
    every = [call for call in request.record.calls if call.peer == peer]
    evidence = [
        amount("connect", spent_ns, f"opening connections took {{}}, {_each(spent_ns, len(opening), 'connection')}"),
        Evidence("peer", peer, f"to {peer}"),
        Evidence("opened", len(opening), f"{_opened(len(opening))} for {counted(_asked(every), 'call')} to {peer}"),
        *failed(every),
    ]
    habit = context.traffic.habits.of(request.record.pid, peer)
    if habit.calls:
        earlier = counted(habit.calls, "earlier call")
        text = f"before that, {_opened(habit.opened)} for {earlier} of process {request.record.pid} to it"
        evidence.append(Evidence("opened_before", habit.opened, text))
    return evidence, (_WARM_ADVICE if habit.mostly_keeps else _KEEP_ADVICE, _IDLE_ADVICE)


def _tls(
    spent_ns: int, slices: Sequence[Slice], request: Request, context: Context
) -> tuple[list[Evidence], tuple[str, ...]]:
    peer, secured = _peer_of(slices)
    every = [call for call in request.record.calls if call.peer == peer]
    evidence = [
        amount("tls", spent_ns, f"TLS handshakes took {{}}, {_each(spent_ns, len(secured), 'handshake')}"),
        Evidence("peer", peer, f"with {peer}"),
        Evidence("handshakes", len(secured), f"{len(secured)} of them for {counted(_asked(every), 'call')} to {peer}"),
    ]
    habit = context.traffic.habits.of(request.record.pid, peer)
    first = _WARM_ADVICE if habit.mostly_keeps else _KEEP_ADVICE
    return evidence, (first, _RESUME_ADVICE, _PROXY_ADVICE)


def _transfer(
    spent_ns: int, slices: Sequence[Slice], _request: Request, _context: Context
) -> tuple[list[Evidence], tuple[str, ...]]:
    peer, moving = _peer_of(slices)
    received, sent = sum(call.received_bytes for call in moving), sum(call.sent_bytes for call in moving)
    own_ns = sum(one.spent_ns for one in slices if one.call is not None and one.call.peer == peer)
    rate = size((received + sent) * 1e9 / own_ns) if own_ns else "?"
    moved = f"{size(received)} received" if received >= sent else f"{size(sent)} sent"
    evidence = [
        amount("transfer", spent_ns, f"moving data took {{}}: {moved} in {counted(len(moving), 'call')}, {rate}/s"),
        Evidence("peer", peer, f"{'from' if received >= sent else 'to'} {peer}"),
        Evidence("transferred_bytes", received + sent, f"{size(received + sent)} in {duration(own_ns)}"),
        *operation(moving[0], "the largest part"),
    ]
    return evidence, _TRANSFER_ADVICE


def _chatty(
    spent_ns: int, slices: Sequence[Slice], request: Request, _context: Context
) -> tuple[list[Evidence], tuple[str, ...]]:
    groups = chatter(calls_of(request.record))
    spent = dict.fromkeys(groups, 0)
    for one in slices:
        if one.call is not None:
            spent[shape_of(one.call)] += one.spent_ns
    shape = max(spent, key=lambda one: spent[one])
    group = groups[shape]
    beyond = f", and {request.record.calls_lost} more that were only counted" if request.record.calls_lost else ""
    what = "publishes" if shape.kind == "publish" else "calls of one shape"
    mean = duration(sum(call.ended_ns - call.started_ns for call in group) / len(group))
    evidence = [
        amount("chatty", spent_ns, f"{len(group)} {what} went one after the other{beyond}: {{}}, {mean} each"),
        Evidence("peer", shape.peer, f"to {shape.peer}"),
        Evidence("repeated", len(group), f"{len(group)} times"),
        *operation(group[0], "each of them"),
    ]
    if shape.kind == "publish":
        return evidence, (_PUBLISH_ADVICE, _ABREAST_ADVICE)
    return evidence, (_MANY_ADVICE.get(group[0].protocol, _BATCH_ADVICE), _ABREAST_ADVICE, _FRESH_ADVICE)


def _peer_of(slices: Sequence[Slice]) -> tuple[str, list[Call]]:
    """Return the peer that most of it was for, and the calls to it, the longest first."""
    peer, some = mostly(slices)
    return ("another process" if peer is None else peer.address), some


def _asked(some: Sequence[Call]) -> int:
    """Count the calls that asked for something: the others only opened a connection for one."""
    return sum(call.sent_ns is not None for call in some)


def _opened(count: int) -> str:
    return f"{counted(count, 'connection')} {'was' if count == 1 else 'were'} opened"


def _each(spent_ns: int, count: int, what: str) -> str:
    return f"{milliseconds(spent_ns // max(count, 1)):.1f} ms for each of {counted(count, what)}"


RULES: Final[tuple[Rule, ...]] = (calls,)
