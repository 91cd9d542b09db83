"""What perfwatch itself costs, and which of its probes were slowed to keep to its budget."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.rates import grown, part
from perfwatch.agent.model_queues import OwnCost

if TYPE_CHECKING:
    from perfwatch.probes.samples import CollectorSample, ProbeCost, RateChange

_MAX_PROBES: Final = 64
_MAX_REASON: Final = 200


class Costs:
    """The newest two samples of the collector, and the rates that were changed."""

    def __init__(self) -> None:
        self._first: CollectorSample | None = None
        self._before: CollectorSample | None = None
        self._latest: CollectorSample | None = None
        self._usual_ns: dict[str, int] = {}
        self._slowed: dict[str, RateChange] = {}
        self._sampled: dict[str, RateChange] = {}

    def sample(self, sample: CollectorSample) -> None:
        """Take in the collector's own figures; costs about 1 us."""
        if self._latest is None or sample.cpu_ns < self._latest.cpu_ns:  # the first one, or another process
            self._first, self._latest = sample, None
        self._before, self._latest = self._latest, sample

    def change(self, change: RateChange) -> None:
        """Take in that a probe is read at another rate (what it was first is its usual one), or follows a sample."""
        if change.followed is not None:
            self._follow(change, change.followed)
            return
        if change.probe not in self._usual_ns and len(self._usual_ns) >= _MAX_PROBES:
            return
        usual_ns = self._usual_ns.setdefault(change.probe, change.was_ns)
        if change.period_ns > usual_ns:
            self._slowed[change.probe] = change
        else:
            self._slowed.pop(change.probe, None)

    def _follow(self, change: RateChange, followed: float) -> None:
        if followed >= 1:
            self._sampled.pop(change.probe, None)
        elif change.probe in self._sampled or len(self._sampled) < _MAX_PROBES:
            self._sampled[change.probe] = change

    @property
    def slowed(self) -> tuple[tuple[str, float | None, str], ...]:
        """(probe, seconds between readings or None if it follows a sample, why), by name."""
        changes = sorted([*self._slowed.values(), *self._sampled.values()], key=lambda change: change.probe)
        return tuple(
            (one.probe, one.period_ns / 1e9 if one.followed is None else None, one.reason[:_MAX_REASON])
            for one in changes
        )

    @property
    def own(self) -> OwnCost | None:
        """What it costs at present; None before the first sample."""
        latest = self._latest
        if latest is None:
            return None
        return OwnCost(
            cpu=_cpu(self._before, latest),
            rss_bytes=latest.rss_bytes,
            budget=min(max(latest.budget, 0.0), 1.0) if isfinite(latest.budget) else 0.0,
            probes=self._probes(latest),
            cpu_mean=_cpu(self._first, latest),
        )

    def _probes(self, latest: CollectorSample) -> tuple[tuple[str, float, float], ...]:
        """Each probe's share of a core since the sample before; 0 where there is none."""
        known: dict[str, ProbeCost] = {}
        passed_ns = 0
        if self._before is not None:
            known = {one.name: one for one in self._before.probes[:_MAX_PROBES]}
            passed_ns = latest.at_ns - self._before.at_ns
        made = [
            (one.name, part(_used_ns(known.get(one.name), one), passed_ns), max(one.period_ns, 0) / 1e9)
            for one in latest.probes[:_MAX_PROBES]
        ]
        return tuple(sorted(made, key=lambda one: (-one[1], one[0])))


def _cpu(before: CollectorSample | None, after: CollectorSample) -> float | None:
    """Return the CPU of one core that was used between two samples."""
    used_ns = None if before is None else grown(before.cpu_ns, after.cpu_ns)
    passed_ns = 0 if before is None else after.at_ns - before.at_ns
    return None if used_ns is None or passed_ns <= 0 else used_ns / passed_ns


def _used_ns(before: ProbeCost | None, after: ProbeCost) -> int:
    return grown(0 if before is None else before.cpu_ns, after.cpu_ns) or 0
