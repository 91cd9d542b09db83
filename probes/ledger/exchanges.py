"""One exchange on a connection while it is under way; a `Call` is what is known of it at a moment."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from perfwatch.probes.records import CONNECTION_ONLY, Call

if TYPE_CHECKING:
    from perfwatch.probes.records import Protocol


CONVERSATION: Final = struct.Struct("=QQQQQQQqQQIIII")
"""`struct conversation` of layout.bpf.h."""
_ANSWERING: Final = 2  # enum turn


class Rest(NamedTuple):
    """What the kernel only added up so far, of a connection's turn (`struct conversation`)."""

    asked_ns: int
    answers: bool
    last_ns: int
    bytes: int


def parse_rest(data: bytes) -> Rest | None:
    """Read `struct conversation`; None where nothing is untold."""
    _, _, _, asked_ns, _, _, last_ns, untold, _, _, _, _, turn, _ = CONVERSATION.unpack(data)
    return Rest(asked_ns, turn == _ANSWERING, last_ns, untold) if untold else None


@dataclass(slots=True)
class Exchange:
    """What was sent, and the answer to it; or only that a connection was set up."""

    owner: int | None
    tid: int
    started_ns: int
    ended_ns: int
    connection: int
    peer: str
    local: str
    connected_ns: int | None = None
    secured_ns: int | None = None
    asked_ns: int = 0
    """When its first byte was sent."""
    sent_ns: int | None = None
    answered_ns: int | None = None
    read_ns: int | None = None
    protocol: Protocol = "unknown"
    operation: str | None = None
    kind: Literal["call", "publish"] = "call"
    sent_bytes: int = 0
    received_bytes: int = 0
    failed: bool = False
    conflict: bool = False
    is_over: bool = False

    def send(self, at_ns: int, count: int) -> None:
        """Take in more that was sent of the same."""
        self.sent_ns = self.ended_ns = at_ns
        self.sent_bytes += count

    def receive(self, at_ns: int, since_ns: int, count: int) -> None:
        """Take in more of the answer; what could be read before the question was sent is older, and read on the way."""
        if self.answered_ns is None:
            self.answered_ns = max(since_ns, self.sent_ns or 0) if since_ns else at_ns
            self.read_ns = at_ns
        self.ended_ns = at_ns
        self.received_bytes += count

    def end(self, at_ns: int, *, failed: bool) -> None:
        """Nothing more comes; what has not been answered by now has failed, or was left so."""
        self.is_over = True
        is_done = self.answered_ns is not None or (self.sent_ns is None and self.connected_ns is not None)
        if not is_done:
            self.failed, self.ended_ns = failed, at_ns

    def call(self, until_ns: int, rest: Rest | None) -> Call:
        """Describe it as it is at the end of its request."""
        ended_ns, received_bytes = self.ended_ns, self.received_bytes
        if rest and rest.answers and rest.asked_ns == self.asked_ns and self.answered_ns is not None:
            ended_ns, received_bytes = rest.last_ns, received_bytes + rest.bytes
        outcome = self._outcome()
        if outcome == "unanswered" and not self.is_over:
            ended_ns = max(ended_ns, until_ns)
        return Call(
            started_ns=self.started_ns,
            connected_ns=self.connected_ns,
            secured_ns=self.secured_ns,
            sent_ns=self.sent_ns,
            answered_ns=self.answered_ns,
            ended_ns=ended_ns,
            peer=self.peer,
            local=self.local,
            connection=self.connection,
            tid=self.tid,
            protocol=self.protocol,
            operation=CONNECTION_ONLY if self._is_setup else self.operation,
            sent_bytes=self.sent_bytes,
            received_bytes=received_bytes,
            kind=self.kind,
            outcome=outcome,
            read_ns=self.read_ns,
            conflict=self.conflict,
        )

    @property
    def _is_setup(self) -> bool:
        """Whether a connection was made, and nothing asked on it."""
        return self.sent_ns is None and self.connected_ns is not None

    def _outcome(self) -> Literal["answered", "unanswered", "failed"]:
        if self.failed:
            return "failed"
        if self.sent_ns is None:
            return "unanswered" if self.connected_ns is None else "answered"
        return "unanswered" if self.answered_ns is None else "answered"
