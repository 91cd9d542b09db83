"""A whole recording in at most 480 equal stretches of time: what a report's charts are drawn of; pure.

It begins with stretches of a second; where there are too many, two and two become one. A request belongs to the stretch
in which it ended; a record that corrects an earlier one takes its place. Quantiles are at most 0.4 % off.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.latencies import at_ranks, step_of
from perfwatch.agent.model import arrival_of, has_failed
from perfwatch.agent.report_contract_timeline import Moment
from perfwatch.probes.records import HostSample, InFlight, ServedRequest
from perfwatch.probes.samples import PressureSample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model import Record, Request, SessionInfo

MAX_MOMENTS: Final = 480
_SECOND_NS: Final = 1_000_000_000
_QUANTILES: Final = (0.50, 0.95)
_KNOWN: Final = 20_000
"""So many of the newest requests may still be corrected."""


class Trend:
    """Takes the records of a recording in their order; costs a thirtieth of what the correlator does."""

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self._length_ns = _SECOND_NS
        self._stretches: dict[int, _Stretch] = {}
        self._known: dict[int, tuple[int, int, bool]] = {}
        self._host: HostSample | None = None
        self._pressure: PressureSample | None = None

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Take each record on its way to somebody else."""
        for record in records:
            self.take(record)
            yield record

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record:
            case ServedRequest():
                self._serve(record)
            case InFlight():
                stretch = self._at(record.at_ns)
                stretch.in_flight = max(stretch.in_flight, record.count)
            case HostSample():
                self._sample(record)
            case PressureSample(scope="host"):
                self._press(record)

    def judged(self, requests: Iterable[Request]) -> None:
        """Mark those that were slow; each once."""
        for request in requests:
            self._at(request.record.ended_ns).slow += request.slow

    def moments(self, info: SessionInfo, now_ns: int) -> list[Moment]:
        """Return the stretches, from the recording's start to the last one in which there was anything."""
        return [self._moment(number, info, now_ns) for number in range(max(self._stretches, default=-1) + 1)]

    def _moment(self, number: int, info: SessionInfo, now_ns: int) -> Moment:
        since_ns = self._origin_ns + number * self._length_ns
        passed_ns = min(max(now_ns - since_ns, _SECOND_NS // 100), self._length_ns)
        return self._stretches.get(number, _Stretch()).moment(info.unix_s(since_ns), passed_ns / _SECOND_NS)

    def _serve(self, record: ServedRequest) -> None:
        earlier = self._known.pop(record.id, None)
        if earlier is not None:
            self._at(earlier[0]).count(*earlier[1:], sign=-1)
        told = (record.ended_ns, max(record.ended_ns - arrival_of(record), 0), has_failed(record))
        self._known[record.id] = told
        self._at(told[0]).count(*told[1:], sign=1)
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    def _sample(self, sample: HostSample) -> None:
        last, self._host = self._host, sample
        if last is not None:
            stretch = self._at(sample.at_ns)
            stretch.busy_ns += max(sample.cpu_busy_ns - last.cpu_busy_ns, 0)
            stretch.idle_ns += max(sample.cpu_idle_ns - last.cpu_idle_ns, 0)

    def _press(self, sample: PressureSample) -> None:
        last, self._pressure = self._pressure, sample
        if last is not None:
            stretch = self._at(sample.at_ns)
            stretch.passed_ns += max(sample.at_ns - last.at_ns, 0)
            stretch.for_cpu_ns += max((sample.cpu_some_ns or 0) - (last.cpu_some_ns or 0), 0)
            stretch.for_io_ns += max((sample.io_some_ns or 0) - (last.io_some_ns or 0), 0)

    def _at(self, at_ns: int) -> _Stretch:
        """Return the stretch of a moment; a recording may claim any time."""
        past_ns = max(at_ns - self._origin_ns, 0)
        while past_ns // self._length_ns >= MAX_MOMENTS:
            self._fold()
        number = past_ns // self._length_ns
        known = self._stretches.get(number)
        if known is None:
            known = self._stretches[number] = _Stretch()
        return known

    def _fold(self) -> None:
        folded: dict[int, _Stretch] = {}
        for number, stretch in self._stretches.items():
            folded.setdefault(number // 2, _Stretch()).add(stretch)
        self._stretches, self._length_ns = folded, 2 * self._length_ns


class _Stretch:
    """One stretch while it grows."""

    __slots__ = (
        "busy_ns",
        "durations",
        "errors",
        "for_cpu_ns",
        "for_io_ns",
        "idle_ns",
        "in_flight",
        "passed_ns",
        "slow",
    )

    def __init__(self) -> None:
        self.durations: Counter[int] = Counter()
        """How many requests took how long, by the step of their length."""
        self.errors = self.slow = self.in_flight = 0
        self.busy_ns = self.idle_ns = self.passed_ns = self.for_cpu_ns = self.for_io_ns = 0

    def count(self, duration_ns: int, failed: bool, *, sign: int) -> None:  # noqa: FBT001 - as it is remembered
        self.durations[step_of(duration_ns)] += sign
        self.errors += sign * failed

    def add(self, other: _Stretch) -> None:
        self.durations.update(other.durations)
        self.in_flight = max(self.in_flight, other.in_flight)
        for name in ("busy_ns", "errors", "for_cpu_ns", "for_io_ns", "idle_ns", "passed_ns", "slow"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def moment(self, at: float, length_s: float) -> Moment:
        whole_ns = self.busy_ns + self.idle_ns
        p50_ms, p95_ms = self._quantiles_ms()
        return Moment(
            at=at,
            length_s=length_s,
            requests=self.durations.total(),
            slow=self.slow,
            errors=self.errors,
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            in_flight=self.in_flight,
            cpu=self.busy_ns / whole_ns if whole_ns else None,
            cpu_pressure=min(self.for_cpu_ns / self.passed_ns, 1.0) if self.passed_ns else None,
            io_pressure=min(self.for_io_ns / self.passed_ns, 1.0) if self.passed_ns else None,
        )

    def _quantiles_ms(self) -> Iterable[float | None]:
        count = self.durations.total()
        ranks = [ceil(quantile * count) for quantile in _QUANTILES]
        return [ns / 1e6 for ns in at_ranks(self.durations, ranks)] if count else (None, None)
