"""Why a request waited for other services that were slow to answer: whom it asked, what, and how far away they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, amount, counted, milliseconds, waited
from perfwatch.agent.correlator.links import on_the_way
from perfwatch.agent.correlator.together import advice_on, explain_together
from perfwatch.agent.correlator.wording import cut
from perfwatch.agent.model import Evidence
from perfwatch.probes.records import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.calling import Slice
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request
    from perfwatch.probes.records import Call

_MAX_ADVICE: Final = 3
_MAX_OPERATION: Final = 120
_PEER_ADVICE: Final = (
    "Look at the peer: its slow log, its own queue (a Python service: watch it too, --pid); or is it far (ss -ti)?",
    "Set a timeout below your own latency goal, and cache answers that may be a little old.",
    "Make independent calls at the same time, not one after the other.",
)
_NOTABLE: Final = 0.05


def explain_calls(request: Request, context: Context, slices: Sequence[Slice]) -> Explanation:
    """Say whom it waited for and what it had asked, as far as single calls tell; else by the peers of its ledger."""
    told = waited(request, "calls", "other services")
    peer, calls = mostly(slices)
    if peer is None:
        peer = max(request.record.peers, key=lambda one: one.wait_ns, default=None)
    if peer is None:
        return Explanation(told, _PEER_ADVICE)
    what = "call" if calls else "wait"
    text = f"waited {milliseconds(peer.wait_ns):.1f} ms for {peer.address}, in {counted(peer.waits, what)}"
    way, advice = on_the_way(peer, request, context)
    evidence = [
        Evidence("peer", peer.address, text),
        Evidence("peer_waits", peer.waits, f"{counted(peer.waits, what)} for {peer.address}"),
        *_slowest(calls),
        *explain_together(request.record),
        *told,
        *unread(request),
        *way,
    ]
    others = len({one.address for one in request.record.peers} | {call.peer for call in request.record.calls}) - 1
    if others > 0:
        evidence.append(Evidence("other_peers", others, f"and for {counted(others, 'other peer')}"))
    return Explanation(tuple(evidence), (*advice, *advice_on(evidence), *_PEER_ADVICE)[:_MAX_ADVICE])


def mostly(slices: Sequence[Slice]) -> tuple[Peer | None, list[Call]]:
    """Return the peer that most of this time was for, and the calls to it, the longest first; None without any call."""
    spent: dict[str, dict[int, tuple[int, Call]]] = {}
    for one in slices:
        if one.call is not None:
            by_call = spent.setdefault(one.call.peer, {})
            known_ns, _ = by_call.get(id(one.call), (0, one.call))
            by_call[id(one.call)] = (known_ns + one.spent_ns, one.call)
    sums = {peer: sum(spent_ns for spent_ns, _ in by_call.values()) for peer, by_call in spent.items()}
    if not sums:
        return None, []
    address = max(sums, key=lambda name: sums[name])
    ranked = sorted(spent[address].values(), key=lambda pair: -pair[0])
    return Peer(address, sums[address], len(ranked)), [call for _, call in ranked]


def operation(call: Call, which: str) -> Iterator[Evidence]:
    """Say what a call asked for, where that is known."""
    if call.operation:
        asked = cut(call.operation, _MAX_OPERATION)
        yield Evidence("operation", asked, f"{which}: {asked} ({call.protocol})")


def failed(calls: Sequence[Call]) -> Iterator[Evidence]:
    """Say how many calls had no answer because their connection was refused, reset or closed."""
    count = sum(call.outcome == "failed" for call in calls)
    if count:
        text = f"{counted(count, 'call')} to it failed: the connection was refused, reset or closed"
        yield Evidence("failed_calls", count, text)


def unread(request: Request) -> Iterator[Evidence]:
    """Say how long answers lay in its sockets before its own process came to read them."""
    late_ns = sum(
        max(call.read_ns - call.answered_ns, 0)
        for call in request.record.calls
        if call.read_ns is not None and call.answered_ns is not None
    )
    if late_ns >= _NOTABLE * request.ledger.total_ns > 0:
        yield amount("unread", late_ns, "answers lay unread for {}: its own process was late, which is booked apart")


def _slowest(calls: Sequence[Call]) -> Iterator[Evidence]:
    """Say what the longest call asked for, how long until its answer began, and what they took on average."""
    if not calls:
        return
    worst = max(calls, key=lambda call: call.ended_ns - call.started_ns)
    publishes = sum(call.kind == "publish" for call in calls)
    took = f"the longest took {milliseconds(worst.ended_ns - worst.started_ns):.1f} ms"
    yield from operation(worst, took)
    if worst.answered_ns is not None and worst.sent_ns is not None:
        yield amount("first_byte", worst.answered_ns - worst.sent_ns, "its answer began {} after it was asked")
    elif worst.answered_ns is None:
        yield Evidence("outcome", worst.outcome, f"{took}, and had no answer")
    if len(calls) > 1:
        mean_ns = sum(call.ended_ns - call.started_ns for call in calls) // len(calls)
        yield amount("call_mean", mean_ns, f"{{}} on average over {counted(len(calls), 'call')}")
    if publishes:
        text = f"{counted(publishes, 'message')} handed to a queue or topic: it waited for the broker's word only"
        yield Evidence("publishes", publishes, text)
    yield from failed(calls)
