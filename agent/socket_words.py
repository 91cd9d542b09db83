"""What a connection waits for, in a few words: by its state, its queues, and what kept it from sending lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_lately import Progress
    from perfwatch.agent.model_queues import SocketState

_NOTABLE: Final = 0.05
_STATES: Final = {
    "SYN_SENT": ("connecting: no answer yet", True),
    "SYN_RECV": ("being opened: its client has not answered yet", False),
    "CLOSE_WAIT": ("closed by the peer, and not by the process", True),
    "FIN_WAIT1": ("being closed: the peer has not confirmed it", False),
    "FIN_WAIT2": ("closed by the process, and not by the peer", False),
    "LAST_ACK": ("being closed: the peer has not confirmed it", False),
    "TIME_WAIT": ("closed; the kernel keeps it for a minute", False),
}
"""What is said of a state, and whether something is amiss in it."""


class Wording(NamedTuple):
    """What it waits for, and whether that is out of the ordinary."""

    text: str
    is_amiss: bool


def waiting(state: SocketState, progress: Progress | None) -> Wording:
    """Return what a connection waits for; empty where nothing stands in it."""
    found = [*_received(state), *_sending(state, progress)]
    if state.state in _STATES:
        text, is_amiss = _STATES[state.state]
        found.insert(0, Wording(text, is_amiss))
    return Wording(", ".join(one.text for one in found), any(one.is_amiss for one in found))


def _received(state: SocketState) -> Iterator[Wording]:
    if state.recv_q > 0:
        yield Wording("request not read yet" if state.role == "accepted" else "answer not read yet", is_amiss=True)


def _sending(state: SocketState, progress: Progress | None) -> Iterator[Wording]:
    slow = [] if progress is None else list(_slow(progress))
    yield from slow
    if state.send_q > 0 and not slow:
        yield Wording("on its way: not acknowledged yet", is_amiss=False)


def _slow(progress: Progress) -> Iterator[Wording]:
    if (progress.peer_full or 0.0) >= _NOTABLE:
        yield Wording("the peer reads slowly", is_amiss=True)
    if (progress.buffer_full or 0.0) >= _NOTABLE:
        yield Wording("its send buffer is too small", is_amiss=True)
    if progress.retransmits:
        yield Wording("segments sent again", is_amiss=True)
