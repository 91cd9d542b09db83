"""What would be gained, in words: an endpoint without what makes it slow. For reports and screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Latency, Mechanism, WhatIf


def gains(what_if: Sequence[WhatIf], latency_ms: Latency) -> Iterator[str]:
    """Say of each mechanism what an endpoint would take without it."""
    for one in what_if:
        yield f"without {one.mechanism}: {_falls(one, latency_ms)}"


def gain_of(mechanism: Mechanism | None, what_if: Sequence[WhatIf], latency_ms: Latency) -> str | None:
    """Say what an endpoint would take without one mechanism; None where nothing is predicted of it."""
    return next((f"without it: {_falls(one, latency_ms)}" for one in what_if if one.mechanism == mechanism), None)


def _falls(one: WhatIf, latency_ms: Latency) -> str:
    p95, p50 = (
        f"{name} {duration(now_ms * 1e6)} → {duration(then_ms * 1e6)}"
        for name, now_ms, then_ms in (("p95", latency_ms.p95, one.p95_ms), ("p50", latency_ms.p50, one.p50_ms))
    )
    return f"{p95} ({p50})"
