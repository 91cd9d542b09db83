"""How sure a verdict is: what the weighing says, turned into how often such a verdict is right.

The weighing tells strong from weak, but not how often a strong one is wrong. That was counted: `STEPS` is fitted by
`benchmarks/certainty.py` to verdicts on labelled faults of real servers (docs/accuracy.md says how those are made, and
what comes of it). Those were measured exactly. What was sampled is worth less by `fidelity.py`, as before.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import Final

from perfwatch.agent.correlator.fidelity import trust

STEPS: tuple[tuple[float, float], ...] = (
    (0.25, 0.2),
    (0.35, 0.5),
    (0.45, 0.8),
    (0.55, 0.96),
    (0.75, 0.98),
    (0.99, 0.99),
)
"""(what the weighing says, how often that is right), ascending; between two of them a straight line.

Of 1,771 verdicts in 199 runs were right: 1 of 8 below 0.3, 7 of 14 below 0.4, 11 of 13 below 0.5, 110 of 112 below 0.7,
and all 1,624 above. That was on a crowded machine; on an idle one all of 5,802 were right, and none was below 0.4.
"""
_MOST: Final = 0.99


def sure(raw: float, readings: int) -> float:
    """Return the part of verdicts of this strength that is right; `readings` of thread states stand for it, if any."""
    kept = trust(readings)
    return round(min(_on_line(raw / kept) * kept, _MOST), 3) if kept > 0 else 0.0


def _on_line(raw: float) -> float:
    steps = STEPS
    at = bisect_right(steps, raw, key=itemgetter(0))
    if at == 0:
        return steps[0][1]
    if at == len(steps):
        return steps[-1][1]
    (from_raw, low), (to_raw, high) = steps[at - 1], steps[at]
    return low + (high - low) * (raw - from_raw) / (to_raw - from_raw)
