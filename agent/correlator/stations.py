"""What requests wait at a place that serves few at a time, by a queueing model: workers, interpreter lock, loop, CPUs.

Clients and server are taken as a closed network with one queue: `population` requests go round; each thinks for
`think_ns` (its client's pause, and all that it does elsewhere), then wants `demand_ns` of the station. Mean value
analysis says that one that arrives finds the queue that would be there without it (Reiser and Lavenberg 1980).
Schweitzer's approximation (1979) takes (population - 1) / population of the present queue for that, which makes the
time at the station R = demand (1 + (population - 1) R / (R + think)): a quadratic equation, for any population.
In the limit of many clients that rarely come this is M/M/1, R = demand / (1 - utilisation); where the station is
always busy it is R = population * demand - think. Several servers are one that is as fast as all of them, and a
delay (Seidmann et al. 1987).

Only differences and ratios of what it says are used, beside waits that were measured: both more bursty and more even
arrivals than it supposes would make its absolute figures wrong.
"""

from __future__ import annotations

from math import hypot


def waiting_ns(demand_ns: float, population: float, think_ns: float, servers: float = 1.0) -> float:
    """Return how long a request waits for its turn, on average; 0 where it is alone."""
    if demand_ns <= 0.0 or population <= 1.0:
        return 0.0
    servers = max(servers, 1.0)
    each_ns = demand_ns / servers
    think_ns = max(think_ns, 0.0) + demand_ns - each_ns
    excess_ns = population * each_ns - think_ns
    spent_ns = (excess_ns + hypot(excess_ns, 2.0 * (each_ns * think_ns) ** 0.5)) / 2.0
    return max(spent_ns - each_ns, 0.0)
