"""Where something waited over a stretch of time: the queues of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.model_queues import Queues

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.correlator.surroundings import Surroundings


def queues(around: Surroundings, span: Span) -> Queues:
    """Return every queue over a stretch that ends now; sockets and threads are as of their last reading."""
    return Queues(
        run_queue=around.cpus.run_queue(span),
        disks=around.disks.queues(span),
        disk_users=around.disks.movers(span),
        sockets=around.sockets.latest,
        socket_count=around.sockets.count,
        threads=around.threads.states(span.until_ns),
        cgroups=around.cgroups.limits(span),
        pressure=around.pressures.over(span),
        connections=around.connections.setups(span),
        interpreters=around.code.over(span),
    )
