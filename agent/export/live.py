"""What others are told while a recording is made: the recorder feeds it, and never waits for anybody.

Whoever is told gets values that change no more, in the recorder's thread, and must hand them on at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from perfwatch.agent.export.standing import Standing
from perfwatch.agent.export.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.engine import Correlator
    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.model import Record, Request, SessionInfo

PERIOD_S: Final = 2.0


class Told(Protocol):
    """Somebody who is told."""

    def take(self, requests: Sequence[Request], schemes: Schemes, standing: Standing, /) -> None:
        """Take requests that nothing changes any more, each once, and how things stand now."""


class Live:
    """Follows a recording that is being made, for those who are told."""

    def __init__(self, info: SessionInfo, told: Sequence[Told]) -> None:
        self._info = info
        self._told = told
        self._tally = Tally()
        self._due_s = 0.0

    def take(self, record: Record, correlator: Correlator, judged: Iterable[Request], *, is_told: bool = False) -> None:
        """Take a record that the correlator was fed just now; 8 us for a request.

        `is_told`: it was taken before, and another correlator was fed it again.
        """
        self._tally.take(record, correlator, judged, is_told=is_told)

    def lose(self, count: int) -> None:
        """Count records that are lost: there was no room for them."""
        self._tally.totals.lost_events += count

    def beat(self, correlator: Correlator) -> None:
        """Tell what is due; a few milliseconds every 2 s."""
        if time.monotonic() < self._due_s:
            return
        self._tell(self._tally.settled(), correlator)
        self._due_s = time.monotonic() + PERIOD_S

    def finish(self, correlator: Correlator) -> None:
        """Tell all that is left."""
        self._tell(self._tally.rest(), correlator)

    def _tell(self, requests: Sequence[Request], correlator: Correlator) -> None:
        standing = Standing(self._info, self._tally.totals.copy(), correlator.view(glance=True))
        for one in self._told:
            one.take(requests, self._tally.schemes, standing)
