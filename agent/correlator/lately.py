"""What the pages show in detail, over the last seconds of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.doors import doors
from perfwatch.agent.correlator.progress import progress
from perfwatch.agent.model_lately import LastSeconds, Lately, NetworkUse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.correlator.rates import NetworkRate
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.correlator.surroundings import Surroundings


def lately(around: Surroundings, deepest: Iterable[tuple[str, int, int]], span: Span) -> Lately:
    """Return it; `deepest` is (address, deepest accept queue, its limit) of the session."""
    sockets = around.sockets
    dumps = sockets.dumps(span)
    total = sockets.total
    return Lately(
        cpus=around.cpus.uses(span),
        network=_network(sockets.rate(span)),
        doors=doors(sockets, deepest, span),
        socket_states=() if total is None else total.by_state,
        unread_bytes=None if total is None else total.recv_q_bytes,
        unacked_bytes=None if total is None else total.send_q_bytes,
        progress=progress(sockets.latest, dumps),
        own_io=around.disks.own_io(span),
        files=around.disks.open_files(),
        seconds=LastSeconds(
            disk_busy=around.disks.busy.until(span.until_ns),
            io_pressure=around.pressures.io.until(span.until_ns),
            cpu_pressure=around.pressures.cpu.until(span.until_ns),
            standing_bytes=sockets.standing.until(span.until_ns),
            accept_queue=sockets.waiting.until(span.until_ns),
        ),
    )


def _network(rate: NetworkRate | None) -> NetworkUse | None:
    if rate is None:
        return None
    return NetworkUse(
        received_bytes_s=rate.received_bytes_s,
        sent_bytes_s=rate.sent_bytes_s,
        retransmitted=rate.retransmitted,
        overflows=rate.overflows,
        refused=rate.refused,
        interface_errors=rate.interface_errors,
    )
