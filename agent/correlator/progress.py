"""How connections fared lately: what stood in their buffers all the while, and what kept them from sending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.rates import grown, part, per_second
from perfwatch.agent.model_lately import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.sockets import Dump
    from perfwatch.agent.model_queues import SocketState


def progress(shown: Iterable[SocketState], dumps: Sequence[Dump]) -> tuple[Progress, ...]:
    """Return how each of some connections fared over some readings, the newest of which is the last."""
    return tuple(_progress(one, dumps) for one in shown if one.role != "listening")


def _progress(last: SocketState, dumps: Sequence[Dump]) -> Progress:
    first_ns, first = next(_seen(last.cookie, dumps), (0, last))
    passed_ns = dumps[-1].at_ns - first_ns if dumps and first is not last else 0
    return Progress(
        cookie=last.cookie,
        passed_s=passed_ns / 1e9,
        unread_s=_standing_ns(last.cookie, dumps, "recv_q") / 1e9,
        unacked_s=_standing_ns(last.cookie, dumps, "send_q") / 1e9,
        retransmits=grown(first.retransmits, last.retransmits) if passed_ns else None,
        peer_full=_share(grown(first.rwnd_limited_ns, last.rwnd_limited_ns), passed_ns),
        buffer_full=_share(grown(first.sndbuf_limited_ns, last.sndbuf_limited_ns), passed_ns),
        sent_bytes_s=per_second(grown(first.sent_bytes, last.sent_bytes), passed_ns),
        received_bytes_s=per_second(grown(first.received_bytes, last.received_bytes), passed_ns),
    )


def _seen(cookie: int, dumps: Iterable[Dump]) -> Iterator[tuple[int, SocketState]]:
    return ((dump.at_ns, dump.by_cookie[cookie]) for dump in dumps if cookie in dump.by_cookie)


def _standing_ns(cookie: int, dumps: Sequence[Dump], queue: str) -> int:
    """Return for how long each reading, back from the newest one, found something in a queue."""
    since_ns = None
    for at_ns, state in _seen(cookie, reversed(dumps)):
        if not getattr(state, queue):
            break
        since_ns = at_ns
    return 0 if since_ns is None else dumps[-1].at_ns - since_ns


def _share(spent_ns: int | None, passed_ns: int) -> float | None:
    return None if spent_ns is None or passed_ns <= 0 else part(spent_ns, passed_ns)
