"""Why a request that had been read waited for another thread: the pool of threads that its handler runs in was full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import DOING, Explanation, amount, counted, waits_in
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request

_SHORTEN_ADVICE: Final = (
    "All threads of the pool that its handler runs in were taken: shorten what occupies them, or make the handler "
    "`async def` if it only waits for others."
)
_ENLARGE_ADVICE: Final = (
    "If those threads mostly wait, make the pool larger: anyio.to_thread.current_default_thread_limiter().total_tokens "
    "(FastAPI, Starlette: 40), ThreadPoolExecutor(max_workers=...), waitress threads=."
)


def worker_ns(request: Request) -> int:
    """Return how much of `queue` a request waited that had been read already."""
    return max(min(sum(wait.blocked_ns for wait in waits_in(request, "queue")), request.ledger["queue"]), 0)


def explain_worker(request: Request, context: Context) -> Explanation:
    """Say how long no thread began its job, and what the other requests of its process did meanwhile."""
    waits, record = waits_in(request, "queue"), request.record
    text = f"it was read, and then waited {{}} for a free thread, in {counted(len(waits), 'wait')}"
    evidence = [
        amount("worker_queue", worker_ns(request), text),
        Evidence("queued_for", "thread", "it waited for a thread of a pool, not in its socket"),
    ]
    beside = context.traffic.beside(record, record.ended_ns)
    if beside.most is not None:
        bucket, part = beside.most
        others = counted(beside.requests, "other request")
        doing = f"{part * 100:.0f} % of their time {DOING[bucket]}"
        evidence.append(Evidence("busy_with", bucket, f"meanwhile {others} of process {record.pid} spent {doing}"))
    return Explanation(tuple(evidence), (_SHORTEN_ADVICE, _ENLARGE_ADVICE))
