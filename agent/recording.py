"""A recording: what the collector yields goes to a session file, with the verdicts as they are reached.

Each verdict is stored, so that a replay can be held against it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.engine import Correlator

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from perfwatch.agent.collector import Collector
    from perfwatch.agent.session.writer import SessionWriter
    from perfwatch.probes.records import Record

COMMIT_S: Final = 1.0


def recorded(
    collector: Collector, writer: SessionWriter, stop: threading.Event, duration_s: float | None = None
) -> Iterator[tuple[Correlator, tuple[Record, ...]]]:
    """Yield the collector's batches, each after it was written, and the correlator that has taken it in."""
    correlator = Correlator(collector.info)
    next_commit = time.monotonic() + COMMIT_S
    for batch in collector.batches(stop, duration_s):
        for record in batch:
            writer.write(record)
            for request in correlator.feed(record):
                writer.write_verdict(request)
        if time.monotonic() >= next_commit:
            next_commit = time.monotonic() + COMMIT_S
            writer.commit()
        yield correlator, batch
    writer.close(collector.ended or "stopped")
