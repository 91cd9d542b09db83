"""How far a verdict may be trusted whose ledger was sampled and not measured.

In the sampled fidelity a thread is looked at a hundred times a second, and which thread served a request is inferred.
So the confidence of a verdict is 0.7 of what an exact ledger would give, times n/(n+4) for n readings of 10 ms: 0.30
for a request of 30 ms, 0.5 for 100 ms, 0.67 for a second. For many requests together n is the number of all their
readings: chance evens out, what is inferred wrongly does not. Less than three readings are no ledger at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.agent.model import Request

READING_NS: Final = 10_000_000
INFERRED: Final = 0.7
POLLED: Final = 0.7
"""What a confidence is worth where the collector's runs were found in readings of stacks: how long is a guess."""
LEAST_READINGS: Final = 3
_HALF: Final = 4


def readings_of(request: Request) -> int:
    """Return how many readings of thread states a latency spans, at least 1; 0 for an exact ledger."""
    if request.record.fidelity != "sampled":
        return 0
    return max(request.ledger.total_ns // READING_NS, 1)


def trust(readings: int) -> float:
    """Return what a confidence is worth that so many readings stand for; 1 for exact ledgers, which have none."""
    return INFERRED * readings / (readings + _HALF) if readings > 0 else 1.0
