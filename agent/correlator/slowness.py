"""Which requests are slow, and which are judged.

With a fixed threshold a request is slow when it takes at least that long, and nothing else is judged. By
default it is slow when it takes at least 20 ms, and over 3 times its endpoint's running median or over
500 ms. The median is that of the endpoint's last 256 durations, this one included; fewer than 5 say
nothing about what is usual. Where the median itself is 20 ms or more the endpoint is always slow: then
its usual requests of at least 20 ms are judged too, though they are not counted as slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from perfwatch.agent.correlator.latencies import Latencies

LEAST_NS: Final = 20_000_000
ALWAYS_SLOW_OVER_NS: Final = 500_000_000
TIMES_MEDIAN: Final = 3
LEAST_DURATIONS: Final = 5


class Slowness(NamedTuple):
    """The rule of one session."""

    fixed_ns: float | None

    @property
    def certain_ns(self) -> float:
        """What takes longer is slow, whatever its endpoint usually takes."""
        return ALWAYS_SLOW_OVER_NS if self.fixed_ns is None else self.fixed_ns

    @property
    def never_ns(self) -> int:
        """What takes less is not slow, whatever its endpoint usually takes."""
        return LEAST_NS if self.fixed_ns is None else 0

    def of(self, duration_ns: int, usual: Latencies) -> tuple[bool, bool]:
        """Return whether a request is slow and whether it is judged; `usual` has its duration already."""
        if self.fixed_ns is not None:
            slow = duration_ns >= self.fixed_ns
            return slow, slow
        if duration_ns < LEAST_NS:
            return False, False
        median_ns = usual.median_ns()
        slow = duration_ns > ALWAYS_SLOW_OVER_NS or (
            usual.count >= LEAST_DURATIONS and duration_ns > TIMES_MEDIAN * median_ns
        )
        return slow, slow or median_ns >= LEAST_NS

    def always(self, usual: Latencies) -> bool:
        """Return whether an endpoint is slow as a rule."""
        return self.fixed_ns is None and usual.median_ns() >= LEAST_NS
