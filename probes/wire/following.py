"""How much of the traffic is followed: all of it, or a sample of the connections that the packets' budget allows; pure.

Whether a connection belongs to the sample is decided by a hash of its two ports, in the kernel's filter (`filters.py`)
and here alike: a connection is followed as a whole or not at all.
"""

from __future__ import annotations

from typing import Final

from perfwatch.probes.wire.filters import SHARES

MAX_PACKETS_S: Final = 5_000
"""More than so many packets a second are not read for long: they would cost some 3 % of a core."""
_INTERVAL_NS: Final = 500_000_000
_CALM_INTERVALS: Final = 20
_CALM: Final = 3


def in_sample(port: int, other_port: int, share: int) -> bool:
    """Whether a connection belongs to a sample of so many 64ths."""
    return share >= SHARES or ((port ^ other_port) * 0x9E3779B1 & 0xFFFFFFFF) >> 26 < share


class Following:
    """What is followed, by the packets that came and those that were dropped.

    One step less where packets were dropped or too many came, twice a second at most; one step more after 10 s with
    less than a third of the budget. The first step gives up the bare acknowledgements, where they are followed at all;
    each other one half of the connections.
    """

    def __init__(self, *, acknowledgements: bool, max_packets_s: int = MAX_PACKETS_S) -> None:
        self._first_share = int(acknowledgements)
        self._last = self._first_share + SHARES.bit_length() - 1
        self._max_packets_s = max_packets_s
        self._step = self._packets = self._dropped = self._calm = 0
        self._since_ns: int | None = None

    @property
    def acknowledgements(self) -> bool:
        """Whether segments without payload are followed."""
        return self._step < self._first_share

    @property
    def share(self) -> int:
        """How many 64ths of the connections are followed."""
        return SHARES >> max(self._step - self._first_share, 0)

    def update(self, now_ns: int, packets: int, dropped: int) -> bool:
        """Count what came since the last call; whether more or less is followed from here on."""
        if self._since_ns is None:
            self._since_ns = now_ns
        self._packets += packets
        self._dropped += dropped
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns < _INTERVAL_NS:
            return False
        before = self._step
        self._step = self._next(self._max_packets_s * elapsed_ns // 1_000_000_000)
        self._since_ns, self._packets, self._dropped = now_ns, 0, 0
        return self._step != before

    def _next(self, budget: int) -> int:
        if self._dropped or self._packets > budget:
            self._calm = 0
            return min(self._step + 1, self._last)
        self._calm = self._calm + 1 if self._packets * _CALM < budget else 0
        if self._calm < _CALM_INTERVALS:
            return self._step
        self._calm = 0
        return max(self._step - 1, 0)

    def __str__(self) -> str:
        if self._step == 0:
            return "follows all connections"
        if self.share == SHARES:
            return "does not see the end of a connection's set-up: too many packets"
        return f"follows 1 in {SHARES // self.share} connections: too many packets"
