"""The streams of all connections that are followed: one for each run of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger import frame_events as frames
from perfwatch.probes.ledger.http2.connection import Connection, Forgotten

if TYPE_CHECKING:
    from perfwatch.probes.ledger.frame_events import FrameEvent
    from perfwatch.probes.ledger.http2.connection import Told

MOST_CONNECTIONS: Final = 4096
"""That are followed at a time; of more, those that were used last. The kernel keeps as many."""


class Streams:
    """What is under way on each connection."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}

    def take(self, event: FrameEvent) -> list[Told]:
        """Take in the next event; returns the steps that it means, and the requests that have ended with it."""
        if event.type == frames.OPENED:
            return self._open(event)
        known = self._connections.pop(event.connection, None)
        if known is None or event.type == frames.LOST:  # what was under way there has no end that could be told
            return []
        if event.type != frames.CLOSED:
            self._connections[event.connection] = known  # the one that was used last stands last
        return known.take(event)

    def _open(self, event: FrameEvent) -> list[Told]:
        self._connections[event.connection] = Connection(event)
        if len(self._connections) > MOST_CONNECTIONS:
            del self._connections[next(iter(self._connections))]
        return [Forgotten(event.request)] if event.request else []

    def release(self, until_ns: int) -> list[Told]:
        """Return the requests that ended with writes before a moment, and were kept back until those were complete."""
        return [told for connection in self._connections.values() for told in connection.release(until_ns)]

    def settle(self, now_ns: int) -> list[Told]:
        """Return what ends because nothing happens."""
        return [told for connection in self._connections.values() for told in connection.settle(now_ns)]

    def under_way(self) -> list[ev.RequestEvent]:
        """Return the requests that have not ended."""
        return [event for connection in self._connections.values() for event in connection.under_way()]

    def end_process(self, pid: int, at_ns: int) -> list[Told]:
        """End what a process served that has ended."""
        gone = [key for key, connection in self._connections.items() if connection.pid == pid]
        return [told for key in gone for told in self._connections.pop(key).close(at_ns, ev.DIED)]

    def doubt(self) -> None:
        """Let go of all connections: events were lost, and with them blocks of headers and ends of streams."""
        self._connections.clear()
