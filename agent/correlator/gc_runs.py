"""The single runs of the garbage collectors that are shown: the newest, and the longest of all."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import named
from perfwatch.agent.model_memory import GcRun, GcRuns

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Context
    from perfwatch.probes.frames import GcPause

NEWEST: Final = 64
LONGEST: Final = 32


class Pauses:
    """Bounded; costs 1 us a run."""

    def __init__(self) -> None:
        self._newest: deque[GcPause] = deque(maxlen=NEWEST)
        self._longest: list[tuple[int, int, GcPause]] = []
        self._count = 0
        self._told: dict[int, GcRun] = {}

    def add(self, pause: GcPause) -> None:
        """Take in a run."""
        self._newest.append(pause)
        self._count += 1
        heapq.heappush(self._longest, (pause.paused_ns, -self._count, pause))
        if len(self._longest) > LONGEST:
            heapq.heappop(self._longest)

    def told(self, context: Context) -> GcRuns:
        """Say whose they were; what was said of one before stays: its request may be forgotten by now."""
        longest = [pause for _, _, pause in sorted(self._longest, key=lambda one: (-one[0], -one[1]))]
        before, self._told = self._told, {}
        for pause in (*self._newest, *longest):
            known = before.get(id(pause))
            self._told[id(pause)] = _run(pause, context) if known is None or known.serves is None else known
        return GcRuns(*(tuple([self._told[id(pause)] for pause in some]) for some in (self._newest, longest)))


def _run(pause: GcPause, context: Context) -> GcRun:
    request = None if pause.request is None else context.traffic.find(pause.request)
    tid = pause.tid or None
    return GcRun(
        started_ns=pause.started_ns,
        paused_ns=max(pause.paused_ns, 0),
        pid=pause.pid,
        tid=tid,
        thread=None if tid is None else context.around.code.interpreters.thread_name(pause.pid, tid),
        generation=pause.generation,
        collected=pause.collected,
        request=pause.request,
        serves=None if request is None else named(request),
        source=pause.source,
    )
