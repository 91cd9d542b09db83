"""Events of lanes, kept until it is known whose time they were in; bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.probes.ledger.following.jobs import Job

Sink = Callable[[object, int], None]
"""Takes an event that was held until its owner was known, and the owner's id."""
MAX_HELD: Final = 4096


class Held:
    """Those of all lanes, by thread."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.lanes: dict[int, list[tuple[int, object]]] = {}
        """By thread, those that have some."""

    def hold(self, tid: int, at_ns: int, event: object) -> None:
        """Keep an event of a lane."""
        held = self.lanes.setdefault(tid, [])
        if len(held) < MAX_HELD:
            held.append((at_ns, event))

    def tell(self, tid: int, since_ns: int, owner: int | None) -> None:
        """Tell those of a stretch that began then to its owner; all are let go of."""
        for at_ns, event in self.lanes.pop(tid, ()):
            if owner and since_ns <= at_ns:
                self._sink(event, owner)

    def give(self, job: Job) -> None:
        """Let a worker's job have those of its time: whose it is shows when it is done."""
        job.held += [event for at_ns, event in self.lanes.pop(job.tid, ()) if at_ns >= job.started_ns]

    def tell_job(self, job: Job, owner: int) -> None:
        """Tell what a job has."""
        for event in job.held:
            self._sink(event, owner)
        job.held.clear()

    def forget(self, tid: int) -> None:
        """Let go of what was held for a thread."""
        self.lanes.pop(tid, None)
