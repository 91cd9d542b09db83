"""A recording: what the collector yields goes to a session file, with the verdicts as they are reached.

Each verdict is stored, so that a replay can be held against it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from perfwatch.agent.collector import Collector
    from perfwatch.agent.export.live import Live
    from perfwatch.agent.model import Request
    from perfwatch.agent.session.writer import SessionWriter
    from perfwatch.probes.records import Record

COMMIT_S: Final = 1.0


def correlated(collector: Collector, stop: threading.Event, duration_s: float | None = None) -> Correlator:
    """Feed the collector's whole stream to a correlator, and return that."""
    correlator = Correlator(collector.info)
    for batch in collector.batches(stop, duration_s):
        for record in batch:
            correlator.feed(record)
    return correlator


def recorded(  # noqa: PLR0913 - who takes part in a recording
    collector: Collector,
    writer: SessionWriter,
    stop: threading.Event,
    duration_s: float | None = None,
    *,
    failed: Callable[[PerfwatchError], None] | None = None,
    live: Live | None = None,
) -> Iterator[tuple[Correlator, tuple[Record, ...]]]:
    """Yield the collector's batches, each after it was written, and the correlator that has taken it in.

    Where nothing more can be written, `failed` is told once and the stream goes on; without it, PerfwatchError ends it.
    `live` tells others of the stream.
    """
    correlator = Correlator(collector.info)

    def fed_with(record: Record) -> tuple[Request, ...]:
        judged = correlator.feed(record)
        if live is not None:
            live.take(record, correlator, judged)
        return judged

    next_commit = time.monotonic() + COMMIT_S
    for batch in collector.batches(stop, duration_s):
        fed = [(record, fed_with(record)) for record in batch]
        is_due = time.monotonic() >= next_commit
        if is_due:
            next_commit = time.monotonic() + COMMIT_S
        with _telling(failed):
            _write(writer, fed, commit=is_due)
        if live is not None:
            live.beat(correlator)
        yield correlator, batch
    with _telling(failed):
        writer.close(collector.ended or "stopped")
    if live is not None:
        live.finish(correlator)


def _write(writer: SessionWriter, fed: Sequence[tuple[Record, Sequence[Request]]], *, commit: bool) -> None:
    for record, requests in fed:
        writer.write(record)
        for request in requests:
            writer.write_verdict(request)
    if commit:
        writer.commit()


@contextmanager
def _telling(failed: Callable[[PerfwatchError], None] | None) -> Iterator[None]:
    try:
        yield
    except PerfwatchError as error:
        if failed is None:
            raise
        failed(error)
