"""Why a request waited for the network or a peer: its socket, the peer's window, what was sent again, how far it is."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, amount, counted, share, span_of, waited
from perfwatch.agent.correlator.rates import part
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.sockets import SocketChange
    from perfwatch.agent.model import Request
    from perfwatch.probes.records import Peer

_UPLOAD_ADVICE: Final = (
    "Let a buffering proxy (nginx with proxy_request_buffering) read uploads before a worker is taken.",
    "Set a read timeout and a body limit; slow uploaders must not hold workers.",
)
_DOWNLOAD_ADVICE: Final = (
    "Let a buffering proxy (nginx with proxy_buffering) take the response from the worker at once.",
    "Compress or page large responses; set a send timeout.",
)
_LOSSY_ADVICE: Final = "Segments were sent again: look for loss on the way (ip -s link, ethtool -S, nstat; MTU, Wi-Fi)."
_FAR_ADVICE: Final = "Most of it is the way there and back: move the two closer, or ask for more in one round trip."
_SENT_AGAIN: Final = 2
_LIMITED: Final = 0.2
_FAR: Final = 0.5


def explain_network(request: Request, context: Context) -> Explanation:
    """Say which way the bytes went, and what the connection's socket says of its client."""
    record, ledger = request.record, request.ledger
    advice: tuple[str, ...]
    if ledger["receive"] >= ledger["send"]:
        direction, advice = "upload", _UPLOAD_ADVICE
        told = waited(request, "receive", "the rest of the request")
        moved = Evidence("received_bytes", record.received_bytes, f"it received {record.received_bytes} bytes")
        who = "a client that sends slowly"
    else:
        direction, advice = "download", _DOWNLOAD_ADVICE
        told = waited(request, "send", "its client to read")
        moved = Evidence("sent_bytes", record.sent_bytes, f"it sent {record.sent_bytes} bytes")
        who = "a client that reads slowly"
    client = Evidence("client", record.remote, f"the client is {record.remote}")
    evidence = [Evidence("direction", direction, f"held up by {who}"), *told, moved, client]
    change = context.around.sockets.change(record.connection, span_of(request))
    if change is not None:
        evidence += [*_round_trip(change), *_limits(change), *_sent_again([change])]
    if change is not None and (change.retransmits or 0) >= _SENT_AGAIN and not _is_shut(change):
        advice = (_LOSSY_ADVICE, *advice)
    return Explanation(tuple(evidence), advice)


def on_the_way(peer: Peer, request: Request, context: Context) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Return what the sockets to a peer say of the way to it, and advice where that is most of the wait."""
    changes = context.around.sockets.changes_to(peer.address, span_of(request))
    trips = [one.state.rtt_ns for one in changes if one.state.rtt_ns is not None and one.state.rtt_ns > 0]
    evidence = [*_sent_again(changes)]
    advice: list[str] = []
    if any((one.retransmits or 0) >= _SENT_AGAIN for one in changes):
        advice.append(_LOSSY_ADVICE)
    rtt_ns = round(median(trips)) if trips else 0
    if part(rtt_ns * max(peer.waits, 1), peer.wait_ns) >= _LIMITED:
        text = f"the way to {peer.address} and back takes {{}}"
        evidence.append(amount("peer_rtt", rtt_ns, text))
    if part(rtt_ns * max(peer.waits, 1), peer.wait_ns) >= _FAR:
        advice.append(_FAR_ADVICE)
    return tuple(evidence), tuple(advice)


def _is_shut(change: SocketChange) -> bool:
    """Tell whether the client did not read: what meets its full window is sent again without a loss on the way."""
    return bool(change.busy_ns) and part(change.rwnd_limited_ns or 0, change.busy_ns or 0) >= _LIMITED


def _round_trip(change: SocketChange) -> Iterator[Evidence]:
    if change.state.rtt_ns is not None and change.state.rtt_ns > 0:
        yield amount("rtt", change.state.rtt_ns, "the way to it and back takes {}")


def _limits(change: SocketChange) -> Iterator[Evidence]:
    """Say whose buffer was full while there was something to send."""
    limited = (
        ("rwnd_limited", change.rwnd_limited_ns, "the client's receive window was full in {} of the sending time"),
        ("sndbuf_limited", change.sndbuf_limited_ns, "the send buffer was too small in {} of the sending time"),
    )
    for name, limited_ns, text in limited:
        if limited_ns is not None and change.busy_ns and part(limited_ns, change.busy_ns) >= _LIMITED:
            yield share(name, part(limited_ns, change.busy_ns), text)


def _sent_again(changes: list[SocketChange] | tuple[SocketChange, ...]) -> Iterator[Evidence]:
    again = sum(one.retransmits or 0 for one in changes)
    if again:
        yield Evidence("retransmits", again, f"{counted(again, 'segment')} had to be sent again")
