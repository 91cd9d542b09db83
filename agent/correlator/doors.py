"""The addresses that the target listens on: who stands before each, and who was turned away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.model_lately import Door

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.correlator.sockets import Sockets


def doors(sockets: Sockets, deepest: Iterable[tuple[str, int, int]], span: Span) -> tuple[Door, ...]:
    """Return the addresses, the fullest first; `deepest` is (address, deepest queue, limit) of the session."""
    known = {address: (depth, limit) for address, depth, limit in deepest}
    standing: dict[str, tuple[int, int]] = {}
    for one in sockets.latest:
        if one.role == "listening":
            standing[one.local] = max(standing.get(one.local, (0, 0)), (one.recv_q, one.send_q))
    found = [
        _door(address, known.get(address, (0, 0)), standing.get(address), sockets, span)
        for address in dict.fromkeys((*known, *standing))
    ]
    return tuple(sorted(found, key=lambda one: (-(one.now or 0), -one.deepest, one.address)))


def _door(address: str, known: tuple[int, int], standing: tuple[int, int] | None, sockets: Sockets, span: Span) -> Door:
    lately = sockets.accepting(address, span)
    now, limit = standing or (None, known[1])
    return Door(
        address=address,
        now=now,
        lately=None if lately is None else lately.backlog,
        deepest=max(known[0], now or 0, 0 if lately is None else lately.backlog),
        limit=limit,
        turned_away=0 if lately is None else lately.turned_away,
        unread_bytes=None if lately is None else lately.recv_q_bytes,
    )
