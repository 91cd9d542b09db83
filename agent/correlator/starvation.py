"""GIL waits that are run-queue waits of somebody else.

Whoever waits for the interpreter lock waits for its holder. Where the CPUs are taken by others, the
holder spends most of its turn in the run queue, and the rest of the process books that as `gil`. On a
host whose CPUs are full, GIL time is therefore shared out as the request's own running time was:
`run_queue` to `run_queue + on_cpu`. It moves only where the run queue is the larger part; contention for
the GIL alone leaves next to no run queue, because one thread at a time wants a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request


def starved_gil_ns(request: Request, context: Context) -> int:
    """Return how much of the request's GIL time was its holders' waiting for a CPU."""
    gil_ns = request.ledger["gil"]
    if not gil_ns or not context.host.full:
        return 0
    waiting_ns, running_ns = request.ledger["run_queue"], request.ledger["on_cpu"]
    return gil_ns * waiting_ns // (waiting_ns + running_ns) if waiting_ns > running_ns else 0
