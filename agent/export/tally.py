"""Follows a stream, live or recorded, for those who are told of each request once: what is settled, and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.export.conventions import kind_of
from perfwatch.agent.export.schemes import Schemes
from perfwatch.agent.export.settling import Settling
from perfwatch.agent.export.totals import Totals
from perfwatch.probes.records import Loss, ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.correlator.engine import Correlator
    from perfwatch.agent.model import Record, Request


class Tally:
    """What is known of one stream so far."""

    def __init__(self) -> None:
        self.schemes = Schemes()
        self.totals = Totals()
        self._settling = Settling()
        self._now_ns = 0

    def take(self, record: Record, correlator: Correlator, judged: Iterable[Request], *, is_told: bool = False) -> None:
        """Take a record that the correlator was fed just now, and what it judged by it.

        `is_told`: it was taken before; what is judged by it may be judged anew.
        """
        if not is_told:
            self._count(record, correlator)
        for request in judged:
            self._settling.renew(request)

    def _count(self, record: Record, correlator: Correlator) -> None:
        self._now_ns = max(self._now_ns, record.at_ns)
        self.schemes.take(record)
        if isinstance(record, ServedRequest) and correlator.served is not None:
            self._settling.put(correlator.served, self._now_ns)
        elif isinstance(record, Loss):
            self.totals.lost_events += max(record.lost, 0)

    def settled(self) -> list[Request]:
        """Count what nothing will change any more, and return it, each request once."""
        return self._counted(self._settling.settled(self._now_ns))

    def rest(self) -> list[Request]:
        """Count and return all that is left, at the end of the stream."""
        return self._counted(self._settling.rest())

    def _counted(self, requests: Iterable[Request]) -> list[Request]:
        found = list(requests)
        for request in found:
            self.totals.add(request, kind_of(request, self.schemes))
        self.totals.late_corrections = self._settling.late
        return found
