"""TLS's own words behind a handshake, told from the beginning of an answer.

A server of TLS 1.3 sends session tickets right behind the client's Finished: one, or several of the same length, long
before it has an answer. What arrives within two round trips of the handshake, alone and of a ticket's length, is taken
for one if something else arrives later. That is a guess: an answer that comes at once, in a small first part, looks the
same; its time to first byte is then that of its second part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.protocols import tls

if TYPE_CHECKING:
    from perfwatch.probes.ledger.step_events import StepEvent

SLACK_NS: Final = 1_000_000


class Tickets:
    """Of one handshake; `round_trip_ns` is what connecting took."""

    def __init__(self, secured_ns: int, round_trip_ns: int) -> None:
        self._until_ns = secured_ns + 2 * round_trip_ns + SLACK_NS
        self._arrived_ns = 0
        self._length: int | None = None
        self._bytes = 0
        """Of the arrivals so far, as long as they may be tickets."""

    def end_with(self, step: StepEvent, head: bytes) -> bool:
        """Whether all that was received before were tickets, and the answer arrives only now."""
        if not step.since_ns or step.since_ns == self._arrived_ns:
            self._bytes += step.bytes
            return False
        were = self._length is not None and 0 < self._bytes <= 2 * (self._length + tls.HEADER_BYTES)
        length = tls.ticket_length(head)
        is_first = not self._arrived_ns
        if (is_first and step.since_ns > self._until_ns) or (not is_first and not (were and length == self._length)):
            length = None
        self._arrived_ns, self._length, self._bytes = step.since_ns, length, step.bytes
        return were
