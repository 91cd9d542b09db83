"""A trace for Perfetto (https://ui.perfetto.dev): requests, threads, calls and queues on one time axis.

`Requests` has a track for each endpoint, `Calls` one for each peer, `Queues` the counters; a process has its threads.
What overlaps on a track lies in rows of its own. Arrows lead from a request to its calls, and to the requests that it
made in other services that are watched. Times are the recording's monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.export.perfetto_counters import Counters
from perfwatch.agent.export.perfetto_slices import Slices
from perfwatch.agent.export.perfetto_threads import Threads
from perfwatch.agent.export.perfetto_trace import Trace

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported


def write(exported: Exported, out: BinaryIO) -> None:
    """Write the trace, packet by packet: first what was sampled, then the requests."""
    trace = Trace(out, exported.info)
    counters, threads = Counters(trace), Threads(trace, exported.info)
    for record in exported.records():
        counters.take(record)
        threads.take(record)
    threads.finish()
    slices = Slices(trace, threads)
    for request in exported.requests():
        slices.put(request)
