"""The correlator: records in, verdicts out.

`feed` takes one record and returns the requests that it made judged; `view` says how things stand. Both
depend on nothing but the records so far and their order, so live and replay agree. All state is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.called import Called, timed
from perfwatch.agent.correlator.chains import follow
from perfwatch.agent.correlator.chances.sums import Chances
from perfwatch.agent.correlator.chronicle import Chronicle
from perfwatch.agent.correlator.context import Context, Traffic
from perfwatch.agent.correlator.endpoints import Endpoints, EndpointState
from perfwatch.agent.correlator.fair import taken
from perfwatch.agent.correlator.following import Following
from perfwatch.agent.correlator.host import Host
from perfwatch.agent.correlator.judge import Judged, balance_of, chained, judge
from perfwatch.agent.correlator.lately import lately as in_detail
from perfwatch.agent.correlator.latencies import Latencies
from perfwatch.agent.correlator.memory_now import memory_now
from perfwatch.agent.correlator.pending import Pending
from perfwatch.agent.correlator.queues import queues
from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.correlator.refining import refine
from perfwatch.agent.correlator.routes import Routes
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.shown import Shown
from perfwatch.agent.correlator.slowness import Slowness
from perfwatch.agent.correlator.standing import session_verdict
from perfwatch.agent.correlator.surroundings import Surroundings
from perfwatch.agent.correlator.tasks import Tasks
from perfwatch.agent.correlator.threads_now import threads_now
from perfwatch.agent.correlator.timeline import Timeline
from perfwatch.agent.correlator.use import saturations
from perfwatch.agent.correlator.waited import Waited
from perfwatch.agent.model import BUCKETS, ClockReading, Ledger, Request, ServedRequest, View, arrival_of
from perfwatch.probes.frames import TasksSample
from perfwatch.probes.records import HostSample, InFlight, ListenerSample, Loss, ProcessSample, TargetChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.correlator.chances.notes import Note
    from perfwatch.agent.correlator.looks import Looks
    from perfwatch.agent.correlator.weighing import Balance
    from perfwatch.agent.model import OpenRequest, Record, SessionInfo

LATELY_NS: Final = 10_000_000_000
"""What a view calls lately."""
_MAX_CALLED: Final = 512
CORRECTABLE: Final = 16_384
"""So many requests, at least, can be corrected by a later record; beyond, it counts as another request."""


class _Counted(msgspec.Struct, frozen=True, gc=False):
    """How a request was counted: what a correction of it takes back."""

    endpoint: EndpointState
    duration_ns: int
    booked_ns: tuple[int, ...]
    slow: bool
    failed: bool
    second: int
    balance: Balance | None
    calls: int
    """So many of its calls were summed: those that it made until then."""
    normal: Balance | None = None
    """Where it is one of those that say what is normal."""
    notes: tuple[Note, ...] = ()
    """What it could have spared."""


class Correlator:
    """The state of one session. Not thread-safe."""

    def __init__(self, info: SessionInfo, *, whole: bool = False) -> None:
        """`whole`: all that it is fed is one stretch, and what a view else shows of the last seconds is of all."""
        self._info, self._whole = info, whole
        self._slowness = Slowness(None if info.slow_ms is None else info.slow_ms * 1e6)
        self._now_ns = 0
        self._first_ns = 0
        self._open_at_ns = 0
        self._slow_count = 0
        self._errors = 0
        self._latencies = Latencies()
        self._routes = Routes()
        self._counted: Recent[int, _Counted] = Recent(CORRECTABLE)
        self._judged = Shown()
        self._downstream = Called(_MAX_CALLED)
        self._chances = Chances()
        self._timeline = Timeline(info.started_ns)
        self._around = Surroundings(Host(info.cpus), info.targets, whole=whole)
        self._traffic = Traffic(info.cpus)
        self._endpoints = Endpoints(self._slowness, self._traffic)
        self._tasks = Tasks()
        self._quick: list[Request] = []
        self._pending = Pending()
        self._waited = Waited()
        self._following = Following(self._around.services, self._judged.get)
        self._chronicle = Chronicle(info.started_ns)
        self.served: Request | None = None
        """What the newest `ServedRequest` was, judged or not; one that a later record judges anew is told by `feed`."""

    def feed(self, record: Record) -> tuple[Request, ...]:
        """Take in one record; returns the requests judged by it.

        About 12 us for a fast request, 40-120 us for a judged one, 80-180 us more for its stacks, 50-150 us where a
        chain of blame is followed, 4 us for each call that it made; 2-50 us for a sample, a second of all probes
        0.14 ms; 0.3 us for each stack read from outside.
        """
        if record.at_ns > self._now_ns:
            self._first_ns = self._first_ns or record.at_ns
            self._now_ns = record.at_ns
        self._timeline.advance(self._now_ns)
        match record:
            case ServedRequest():
                return self._take(*refine(_sound(record), self._tasks))
            case InFlight():
                self._open_at_ns = record.at_ns
                self._traffic.opened(_sound_flight(record))
                self._around.histories.flying(record)
                self._timeline.fly(self._traffic.open_count)
            case HostSample():
                self._around.host.sample(record)
                self._timeline.use(self._around.host.cpu_use)
            case ProcessSample():
                self._around.host.process(record)
            case ListenerSample():
                self._chronicle.listener(record)
                self._around.sockets.listener(record)
            case TargetChange() | Loss() | ClockReading():
                self._chronicle.note(record)
            case TasksSample():
                self._tasks.take(record)
                self._around.deadlocks.tasks(record)
            case _:
                self._around.take(record)
        return ()

    def view(self, *, glance: bool = False) -> View:
        """Return how things stand; endpoints are made anew only where something changed.

        For a `glance` it costs less: what an endpoint's verdict rests on may be 2 s old, so it depends on when somebody
        looks. Otherwise all depends on the records alone.
        """
        passed_s = (self._now_ns - self._first_ns) / 1e9
        ranked = self._endpoints.ranked()
        chronicle, around, host = self._chronicle, self._around, self._around.host
        now_ns = self._now_ns
        endpoints = tuple(state.glance(now_ns) if glance else state.endpoint() for state in ranked)
        context = self._context()
        requests = self._judged.requests
        self._waited.look(requests)
        ever = Span(None, now_ns)
        lately = ever if self._whole else Span(now_ns - LATELY_NS, now_ns)
        return View(
            now_ns=now_ns,
            in_flight_at_ns=self._open_at_ns or None,
            first_ns=self._first_ns,
            verdict=session_verdict(self._info, ranked, self._slowness, self._open_at_ns, context),
            slow_threshold_ms=self._info.slow_ms,
            count=self._latencies.count,
            slow_count=self._slow_count,
            errors=self._errors,
            throughput_rps=self._latencies.count / passed_s if passed_s > 0 else 0.0,
            concurrency=self._latencies.total_ns / 1e9 / passed_s if passed_s > 0 else 0.0,
            latency_ms=self._latencies.summary(),
            endpoints=endpoints,
            requests=requests,
            in_flight=self._traffic.open,
            in_flight_count=self._traffic.open_count,
            timeline=self._timeline.instants(),
            events=tuple(chronicle.events),
            lost=chronicle.lost,
            target_gone=chronicle.target_gone,
            cpu_use=host.cpu_use_mean if self._whole else host.cpu_use,
            memory_use=host.memory_use,
            own_cpu=host.used_by("perfwatch", self._now_ns),
            listeners=chronicle.listeners,
            losses=chronicle.losses,
            cpu_use_mean=host.cpu_use_mean,
            runnable_mean=host.runnable_mean,
            workers=host.workers(self._now_ns, besides=max(len(self._info.targets), 1)),
            queues=queues(around, lately),
            queues_overall=queues(around, ever),
            saturation=saturations(around, lately),
            saturation_overall=saturations(around, ever),
            own_cost=around.costs.own,
            slowed_probes=around.costs.slowed,
            peers=around.services.peers,
            downstream=self._downstream.largest(),
            opportunities=self._chances.opportunities(endpoints, around.connections),
            deadlocks=around.deadlocks.found(context),
            threads=threads_now(context, lately),
            memory=memory_now(around, lately),
            gc_runs=around.code.runs.told(context),
            scalability=self._traffic.windows.scalability(),
            lately=in_detail(around, chronicle.listeners, lately),
            permits=self._waited.permits,
            disk_waits=self._waited.disk,
        )

    def _context(self) -> Context:
        lost_ns, judged = self._chronicle.last_loss_ns, self._judged.get
        return Context(self._around, self._traffic, self._now_ns, lost_ns, judged, self._info.probes)

    def _take(self, record: ServedRequest, looks: Looks) -> tuple[Request, ...]:
        """Serve a request; then judge those anew that called it, and follow those further that waited for it."""
        self._following.take(record)
        told = self._serve(record, looks)
        if self._around.services.is_followed:
            told = (*told, *self._following.judged_anew(record, self._judge_anew))
        victims = self._pending.concerned(record)
        if victims:
            told = (*told, *self._followed_further(victims))
        quick, self._quick = self._quick, []
        return (*quick, *told)

    def _serve(self, record: ServedRequest, looks: Looks) -> tuple[Request, ...]:
        earlier = self._counted.pop(record.id)
        if earlier is not None:
            self._retract(record.id, earlier)
        arrived_ns = arrival_of(record)
        duration_ns = max(record.ended_ns - arrived_ns, 0)
        route = self._around.code.spans.route_of(record, self._routes.fold(record.target))
        service = self._around.services.of(record.pid)
        endpoint = self._endpoints.of(record.method or "?", route, service)
        endpoint.latencies.add(duration_ns)
        if earlier is None:
            self._traffic.counted(record, endpoint.name)
        slow, judged = self._slowness.of(duration_ns, endpoint.latencies)
        # What a reader was shown a verdict on keeps one.
        judged = judged or (earlier is not None and earlier.balance is not None)
        says_normal = not slow and endpoint.normals.wants(endpoint.latencies.count)
        request = Request(record, endpoint.route, Ledger(duration_ns, record.booked_ns), slow, None, service=service)
        weighed = None
        if judged:
            self._following.ask(record)
            request = self._following.followed(request, self._judge_quick)
            request, weighed = self._judge(request, endpoint, looks)
        elif says_normal:
            weighed = balance_of(request, self._context(), looks)
        balance, normal = weighed if judged else None, weighed if says_normal else None
        failed = request.failed
        endpoint.count(record.booked_ns, slow=slow, failed=failed)
        sample = endpoint.sample
        sample.put(record.id, taken(record, duration_ns, weighed) if sample.wants(record.id) else None)
        if record.calls:
            self._sum_calls(record, endpoint, earlier)
        self._latencies.add(duration_ns)
        self._slow_count += slow
        self._errors += failed
        second = self._timeline.count(min(record.ended_ns, self._now_ns), duration_ns, slow=slow, failed=failed)
        if normal is not None:
            endpoint.normals.add(normal)
        notes = self._chances.take(request, judged=judged, earlier=None if earlier is None else earlier.notes)
        counted = _Counted(
            endpoint,
            duration_ns,
            record.booked_ns,
            slow,
            failed,
            second,
            balance,
            len(record.calls),
            normal,
            notes,
        )
        self._counted.put(record.id, counted)
        self._traffic.served(record)
        self._around.histories.served(record, self._traffic, is_new=earlier is None)
        self.served = request
        return (request,) if judged else ()

    def _judge(self, request: Request, endpoint: EndpointState, looks: Looks) -> tuple[Request, Balance]:
        judged = judge(request, self._context(), looks, endpoint)
        request = self._keep(request, judged)
        endpoint.judged(request, judged)
        return request, judged.balance

    def _judge_anew(self, request: Request) -> tuple[Request, ...]:
        """Judge a request again if its callees are others now, or were judged otherwise."""
        followed = self._following.followed(request, self._judge_quick)
        counted = self._counted.get(request.record.id)
        if followed is request or counted is None:
            return ()
        if counted.balance is None:
            return (self._keep(followed, judge(followed, self._context())),)
        return (self._judge_counted(followed, counted, counted.balance),)

    def _judge_counted(self, request: Request, counted: _Counted, before: Balance) -> Request:
        """Judge a request again that was judged, and counted."""
        number, endpoint = request.record.id, counted.endpoint
        endpoint.unjudged(number, counted.booked_ns, before, request.stacks, slow=counted.slow)
        anew, balance = self._judge(request, endpoint, before.looks)
        endpoint.sample.renew(number, balance)
        self._counted.pop(number)
        self._counted.put(number, msgspec.structs.replace(counted, balance=balance))
        return anew

    def _judge_quick(self, request: Request) -> Request:
        """Judge a request that a judged one called: it is shown with it, and is no part of its endpoint's verdict."""
        judged = self._keep(request, judge(request, self._context()))
        self._quick.append(judged)
        return judged

    def _followed_further(self, victims: Iterable[int]) -> Iterator[Request]:
        """Tell the chains anew of those, by id, that waited for a request, which ended later than they did."""
        context = self._context()
        for victim in victims:
            request, counted = self._judged.get(victim), self._counted.get(victim)
            if request is None or request.verdict is None or request.verdict.mechanism is None:
                continue
            if counted is None or counted.balance is None:
                continue
            followed = follow(request, request.verdict.mechanism, context)
            self._pending.put(request.record, followed._replace(moments=()))
            verdict = chained(request.verdict, counted.balance, followed)
            if verdict is request.verdict:
                continue
            if verdict.mechanism == "lock":  # who held it, when, is evidence too
                yield self._judge_counted(request, counted, counted.balance)
            else:
                request = msgspec.structs.replace(request, verdict=verdict)
                self._judged.put(request)
                counted.endpoint.retold(victim, verdict, slow=counted.slow)
                yield request

    def _keep(self, request: Request, judged: Judged) -> Request:
        request = msgspec.structs.replace(request, verdict=judged.verdict, stacks=judged.stacks, frames=judged.frames)
        self._judged.put(request)
        self._pending.put(request.record, judged.followed)
        return request

    def _sum_calls(self, record: ServedRequest, endpoint: EndpointState, earlier: _Counted | None) -> None:
        """Add the calls of a request; of a corrected one those that it made since: a correction only adds to them."""
        calls = timed(record.calls[earlier.calls :] if earlier is not None else record.calls)
        if calls:
            for sums in (self._downstream, endpoint.downstream):
                sums.take(calls, is_more=earlier is not None and earlier.calls > 0)

    def _retract(self, request_id: int, counted: _Counted) -> None:
        endpoint, duration_ns = counted.endpoint, counted.duration_ns
        endpoint.latencies.remove(duration_ns)
        endpoint.sample.drop(request_id)
        endpoint.count(counted.booked_ns, slow=counted.slow, failed=counted.failed, sign=-1)
        if counted.balance is not None:
            # One that is no longer listed leaves its stacks in those of its endpoint.
            judged = self._judged.pop(request_id)
            stacks = judged.stacks if judged is not None else ()
            endpoint.unjudged(request_id, counted.booked_ns, counted.balance, stacks, slow=counted.slow)
        if counted.normal is not None:
            endpoint.normals.add(counted.normal, -1)
        self._chances.take_back(endpoint.name, counted.notes)
        self._latencies.remove(duration_ns)
        self._slow_count -= counted.slow
        self._errors -= counted.failed
        self._timeline.retract(counted.second, duration_ns, slow=counted.slow, failed=counted.failed)


def _sound(record: ServedRequest) -> ServedRequest:
    if len(record.booked_ns) == len(BUCKETS):
        return record
    return msgspec.structs.replace(record, booked_ns=_fitted(record.booked_ns))


def _sound_flight(record: InFlight) -> InFlight:
    def sound(request: OpenRequest) -> OpenRequest:
        if len(request.booked_ns) == len(BUCKETS):
            return request
        return msgspec.structs.replace(request, booked_ns=_fitted(request.booked_ns))

    return msgspec.structs.replace(record, requests=tuple(sound(request) for request in record.requests))


def _fitted(booked_ns: tuple[int, ...]) -> tuple[int, ...]:
    """Fit the ledger of another version: buckets unknown to it are 0, those unknown to us left open."""
    return (*booked_ns, *(0,) * len(BUCKETS))[: len(BUCKETS)]
