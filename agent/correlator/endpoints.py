"""What is known of each endpoint, kept up to date request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.correlator.booked import BookedSums
from perfwatch.agent.correlator.called import Called
from perfwatch.agent.correlator.fair import FairSample
from perfwatch.agent.correlator.knock_on import held_by
from perfwatch.agent.correlator.latencies import Latencies
from perfwatch.agent.correlator.looping import keeper_in, known_later
from perfwatch.agent.correlator.normal import NormalSums
from perfwatch.agent.correlator.pooling import Pool, Pooled, mean_ledger, verdict_on
from perfwatch.agent.correlator.pools import given_back
from perfwatch.agent.correlator.routes import OTHER
from perfwatch.agent.correlator.what_if import Base, Predictions
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.model import (
    Endpoint,
    Evidence,
    Latency,
    Ledger,
    Mechanism,
    Request,
    Verdict,
    told_route,
)

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Traffic
    from perfwatch.agent.correlator.findings import Explanation
    from perfwatch.agent.correlator.judge import Judged
    from perfwatch.agent.correlator.looks import Looks
    from perfwatch.agent.correlator.normal import Normal
    from perfwatch.agent.correlator.slowness import Slowness
    from perfwatch.agent.correlator.weighing import Balance
    from perfwatch.agent.model import StackTime

MAX_ENDPOINTS: Final = 500
GLANCE_NS: Final = 2_000_000_000
_MAX_CALLED: Final = 32
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_NOTHING: Final = Latency(0.0, 0.0, 0.0, 0.0, 0.0)


class EndpointName(NamedTuple):
    """What one endpoint is told from the others by."""

    method: str
    route: str
    service: int | None
    """As in `Request`."""


class _Made(NamedTuple):
    """An endpoint's figures as they were once."""

    endpoint: Endpoint
    known: tuple[object, ...]
    """What of it other endpoints' requests tell."""
    is_rough: bool
    """For a glance."""


class _Glance(NamedTuple):
    """When a screen was shown figures as they were then, and on how many judged requests they rest."""

    at_ns: int
    judged: int


class EndpointState:
    """One method and route: all its durations, the sums of its ledgers, its latest verdicts."""

    __slots__ = (
        "_booked",
        "_glanced",
        "_is_fresh",
        "_made",
        "_predictions",
        "_slow",
        "_slowness",
        "_traffic",
        "_usual",
        "downstream",
        "errors",
        "latencies",
        "method",
        "name",
        "normals",
        "route",
        "sample",
        "service",
        "slow_count",
    )  # fmt: skip

    def __init__(self, name: EndpointName, slowness: Slowness, traffic: Traffic) -> None:
        self.method, self.route, self.service = name
        self.name = (self.method, told_route(self.route, self.service))
        """Method and route, as they are shown."""
        self.latencies = Latencies()
        self.slow_count = 0
        self.errors = 0
        self.downstream = Called(_MAX_CALLED)
        self.normals = NormalSums()
        self.sample = FairSample()
        self._predictions = Predictions()
        self._slowness = slowness
        self._traffic = traffic
        self._booked = BookedSums()
        self._slow = Pool()
        self._usual = Pool()
        self._made: _Made | None = None
        self._is_fresh = False
        """Nothing came since it was made."""
        self._glanced: _Glance | None = None

    def count(self, booked_ns: tuple[int, ...], *, slow: bool, failed: bool, sign: int = 1) -> None:
        """Count a request whose duration is in `latencies` already; with sign -1 take it back."""
        self._is_fresh = False
        self.slow_count += sign * slow
        self.errors += sign * failed
        self._booked.add(booked_ns, sign)

    @property
    def looks(self) -> Looks:
        """How the tasks of its requests were looked at, those that were judged."""
        return self._slow.looks.plus(self._usual.looks)

    def judged(self, request: Request, judged: Judged) -> None:
        """Add a judged request to the figures that the endpoint's verdict is made of."""
        self._is_fresh = False
        pool = self._slow if request.slow else self._usual
        pool.add(request.record.id, request.ledger.booked_ns, judged)

    def unjudged(
        self,
        request_id: int,
        booked_ns: tuple[int, ...],
        balance: Balance,
        stacks: tuple[StackTime, ...],
        *,
        slow: bool,
    ) -> None:
        """Take a judged request back."""
        (self._slow if slow else self._usual).remove(request_id, booked_ns, balance, stacks)

    def retold(self, request_id: int, verdict: Verdict, *, slow: bool) -> None:
        """Take another verdict of a judged request, of the same mechanism."""
        self._is_fresh = False
        (self._slow if slow else self._usual).retold(request_id, verdict)

    @property
    def cost_ns(self) -> int:
        """Time that users lost in its judged requests: what these took beyond what is never slow."""
        return self._lost_ns(self._slow) + (self._lost_ns(self._usual) if self._always_slow else 0)

    def normal(self, *, uncounted: int = 0) -> Normal | None:
        """Return what its requests are like that are not slow, where that is known well.

        `uncounted` slow ones are in `latencies` already, and not in `slow_count`.
        """
        count = self.latencies.count - uncounted
        return self.normals.known(count - self.slow_count, count)

    def endpoint(self) -> Endpoint:
        """Return its present figures; made anew only after a change."""
        return self._present(glance=False)

    @property
    def told(self) -> Endpoint:
        """Its figures as they were told last, whether exactly or for a glance."""
        return self.endpoint() if self._made is None else self._made.endpoint

    def glance(self, now_ns: int) -> Endpoint:
        """Return the same for a screen: while it rests on hardly more requests, all but its counts is up to 2 s old."""
        judged, last = self._slow.count + self._usual.count, self._glanced
        is_near = last is not None and 0 <= now_ns - last.at_ns < GLANCE_NS and 8 * judged <= 9 * last.judged
        if self._made is None or not is_near:
            self._glanced = _Glance(now_ns, judged)
            return self._present(glance=True)
        if self._is_fresh:
            return self._made.endpoint
        return msgspec.structs.replace(
            self._made.endpoint,
            count=self.latencies.count,
            slow_count=self.slow_count,
            errors=self.errors,
            latency_ms=self.latencies.summary() or _NOTHING,
        )

    def _present(self, *, glance: bool) -> Endpoint:
        made = self._made
        if (
            made is None
            or not self._is_fresh
            or (made.is_rough and not glance)
            or made.known != self._told_by_others(made.endpoint.verdict)
        ):
            endpoint = self._make(glance=glance)
            made = self._made = _Made(endpoint, self._told_by_others(endpoint.verdict), is_rough=glance)
            self._is_fresh = True
        return made.endpoint

    @property
    def _always_slow(self) -> bool:
        return self._slowness.always(self.latencies)

    def _lost_ns(self, pool: Pool) -> int:
        return max(pool.total_ns - pool.count * self._slowness.never_ns, 0)

    def _make(self, *, glance: bool) -> Endpoint:
        # Slow requests speak for their endpoint, unless more is lost in its usual ones.
        usual = self._lost_ns(self._usual) > self._lost_ns(self._slow) or not self._slow.count
        always = self._always_slow and usual
        pool = self._slow + self._usual if always else self._slow
        latency = self.latencies.summary() or _NOTHING
        verdict, frames = self._verdict(pool, latency, always=always) if pool.count else (self._healthy(), ())
        causes = [one.mechanism for one in verdict.causes] or [one for one in (verdict.mechanism,) if one is not None]
        return Endpoint(
            method=self.method,
            route=self.route,
            count=self.latencies.count,
            slow_count=self.slow_count,
            errors=self.errors,
            latency_ms=latency,
            ledger=pool.ledger() if pool.count else self._mean(),
            judged_count=pool.count,
            verdict=verdict,
            stacks=pool.stacks.times(),
            frames=frames,
            service=self.service,
            downstream=self.downstream.largest(),
            normal=None if always else self._normal_ledger(),
            normal_count=0 if always else self.latencies.count - self.slow_count,
            what_if=self._predictions.of(causes, latency, self._base(verdict), glance=glance),
        )

    def _normal_ledger(self) -> Ledger | None:
        """Return the mean of all that is not slow: what is left of all without the slow ones."""
        count = self.latencies.count - self.slow_count
        booked_ns = [every - slow for every, slow in zip(self._booked.each(), self._slow.booked_ns, strict=True)]
        return mean_ledger(self.latencies.total_ns - self._slow.total_ns, booked_ns, count) if count > 0 else None

    def _base(self, verdict: Verdict) -> Base:
        traffic, loops = self._traffic, self._traffic.loops
        deed = loops.deed_of(self.name) if loops.held_by(self.name).requests else None
        kept_by = None if deed is None else deed.bucket
        held = held_by(verdict, " ".join(self.name))
        return Base(self.sample, traffic.demand, traffic.cpus, kept_by, held)

    def _mean(self) -> Ledger:
        return mean_ledger(self.latencies.total_ns, self._booked.each(), self.latencies.count)

    def _verdict(self, pool: Pool, latency: Latency, *, always: bool) -> Pooled:
        name = " ".join(self.name)
        subject = (
            f"{name} always takes long (p50 {duration(latency.p50 * 1e6)})"
            if always
            else f"{name} is slow (p95 {duration(latency.p95 * 1e6)})"
        )
        if not always and latency.p95 < pool.total_ns / pool.count / 2e6:
            # Slow ones are rare: the p95 would not show them.
            subject = f"{name} is slow at times ({duration(pool.total_ns / pool.count)} on average)"
        return verdict_on(subject, pool, self._known_later, None if always else self.normal())

    def _known_later(self, mechanism: Mechanism, told: tuple[Evidence, ...]) -> Explanation:
        if mechanism in ("pool", "lock"):
            return given_back(told, self._traffic.givers.of(self.name))
        return known_later(mechanism, told, self.name, self._traffic.loops)

    def _told_by_others(self, verdict: Verdict) -> tuple[object, ...]:
        """Return what of other endpoints' requests its verdict is made of: changes when that does."""
        keeper = keeper_in(verdict.evidence)
        loops = self._traffic.loops
        deed = None if keeper is None else loops.deed_of(keeper)
        return (loops.held_by(self.name), deed, self._traffic.givers.of(self.name), self._traffic.demand.version)

    def _healthy(self) -> Verdict:
        slowest = duration(self.latencies.max_ns)
        count = self.latencies.count
        return Verdict("healthy", None, 0.0, 1.0, f"nothing slow in {count} requests; slowest {slowest}")


class Endpoints:
    """All endpoints of a session, at most `MAX_ENDPOINTS`; the routes beyond that share one per method."""

    def __init__(self, slowness: Slowness, traffic: Traffic) -> None:
        self._slowness = slowness
        self._traffic = traffic
        self._states: dict[tuple[str, str, int | None], EndpointState] = {}

    def of(self, method: str, route: str, service: int | None) -> EndpointState:
        """Return the state of an endpoint, a new one for a new name; one route of two services is two endpoints."""
        state = self._states.get((method, route, service))
        if state is not None:
            return state
        if len(self._states) >= MAX_ENDPOINTS - len(_METHODS) - 1:
            method, route, service = method if method in _METHODS else "?", OTHER, None
        name = EndpointName(method, route, service)
        return self._states.setdefault(name, EndpointState(name, self._slowness, self._traffic))

    def ranked(self) -> list[EndpointState]:
        """Return those that have requests: what costs users most first, then what is slow, then the busiest."""
        states = [state for state in self._states.values() if state.latencies.count]
        states.sort(
            key=lambda one: (
                *(-one.cost_ns, -one.slow_count, -one.latencies.count),
                *(one.route, one.method, one.service or 0),
            )
        )
        return states
