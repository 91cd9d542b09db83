"""One fault in action: the server under load, the recording, and what client and server saw themselves."""

from __future__ import annotations

import collections
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import serving
from recording import record_and_report, recording

from perfwatch.examples.load import Load, Sample

if TYPE_CHECKING:
    from faults.catalogue import Fault

FEWEST_SLOW = 5
WARM_S = 0.3
LEAST_SHARE = 0.5
MEASURED_AS = {
    "gil": ("handler", "blocked_ns"),
    "cpu": ("cpu", "cpu_ns"),
    "run_queue": ("cpu", "run_delay_ns"),
    "crowded": ("handler", "run_delay_ns"),
}
"""Which of the server's stretches is the fault, and which figure of it; others are blocked in their own stretch.
A CPU-bound handler blocks on nothing but the interpreter lock."""


@dataclass(frozen=True)
class Observed:
    """What three clocks say of the same seconds: the client's, the server's own, and perfwatch's."""

    samples: list[Sample]
    """The requests that began and ended while the recorder ran."""
    truth: list[serving.Measured]
    report: dict
    environment: dict[str, str]

    def endpoint(self, route):
        """The report's figures for a route."""
        found = [endpoint for endpoint in self.report["endpoints"] if endpoint["route"] == route]
        assert len(found) == 1, [endpoint["route"] for endpoint in self.report["endpoints"]]
        return found[0]

    def slow_requests(self, route):
        """The report's slow requests of a route."""
        prefix = route.replace("{}", "")
        return [request for request in self.report["slow_requests"] if (request["target"] or "").startswith(prefix)]


def observe(fault: Fault, *, slow_ms, record=record_and_report):
    """Start what the fault needs, load it, record it."""
    with contextlib.ExitStack() as stack:
        environment = {}
        for around in fault.around:
            environment |= stack.enter_context(around())
        server = stack.enter_context(fault.server(environment=environment))
        load = stack.enter_context(Load(server.address, fault.load))
        load.wait(WARM_S)
        begun_ns = time.monotonic_ns()
        report = record(server.pid, fault.seconds, slow_ms=slow_ms)
        ended_ns = time.monotonic_ns()
        load.stop()
        samples = [sample for sample in load.samples if begun_ns < sample.start_ns and sample.end_ns < ended_ns]
        return Observed(samples, serving.truth(server.address), report, environment)


def observe_whole(fault, *, slow_ms):
    """The same with each endpoint asked once before, and all of the load within the recording."""
    with contextlib.ExitStack() as stack:
        environment = {}
        for around in fault.around:
            environment |= stack.enter_context(around())
        server = stack.enter_context(fault.server(environment=environment))
        for endpoint in fault.load:
            serving.get(server.address, endpoint.call.path.replace("{n}", "0"))
        recorder = stack.enter_context(recording(server.pid, slow_ms=slow_ms))
        with Load(server.address, fault.load) as load:
            load.wait(fault.seconds)
        report = recorder.finish()
        return Observed(load.samples, serving.truth(server.address), report, environment)


def assert_whole(observed):
    """Assert that each request that was sent is there once, under its endpoint."""
    sent = collections.Counter(route_of(sample) for sample in observed.samples)
    assert {sample.status for sample in observed.samples} == {200}
    seen = {endpoint["route"]: endpoint["count"] for endpoint in observed.report["endpoints"]}
    assert seen == sent


def party_slow(party, observed, slow_ms):
    """Return the requests of an endpoint that were slow by the client's clock."""
    return [sample for sample in observed.samples if route_of(sample) == party.route and sample.latency_ms >= slow_ms]


def held_share(samples, truth, route):
    """Return for which part of the client's latency a request of that route was at work, or in its wait."""
    prefix = route.replace("{}", "")
    held = [entry for entry in truth if entry.kind != "handler" and entry.path.startswith(prefix)]
    overlap_ns = sum(
        max(0, min(entry.end_ns, sample.end_ns) - max(entry.start_ns, sample.start_ns))
        for sample in samples
        for entry in held
    )
    return overlap_ns / sum(sample.end_ns - sample.start_ns for sample in samples)


def assert_present(fault: Fault, observed, *, slow_ms):
    """Assert that the fault is there: by the client's clock it is slow, and the server's own says why."""
    judged = [sample for sample in observed.samples if sample.endpoint == fault.load[0].call.path]
    slow = [sample for sample in judged if sample.latency_ms >= slow_ms]
    assert len(slow) >= FEWEST_SLOW, f"{fault.name}: {len(slow)} slow of {len(judged)} requests"
    assert {sample.status for sample in slow} == {200}, fault.name
    share = planted_share(fault.kind, slow, observed.truth)
    assert share >= LEAST_SHARE, f"{fault.name}: {share:.0%} of the latency is the fault's"


def planted_share(kind, samples, truth):
    """Return which part of the client's latency the fault made."""
    planted_ns = sum(planted_by_path(kind, samples, truth).values())
    return planted_ns / sum(sample.end_ns - sample.start_ns for sample in samples)


def planted_by_path(kind, samples, truth):
    """Return per request how long the planted wait was, by the server's own clock (and the client's)."""
    if kind == "outside":
        return _outside(samples, truth)
    measured_as, figure = MEASURED_AS.get(kind, (kind, "blocked_ns"))
    planted = dict.fromkeys((without_query(sample.path) for sample in samples), 0)
    for entry in truth:
        if entry.kind == measured_as and entry.path in planted:
            planted[entry.path] += getattr(entry, figure)
    return planted


def _outside(samples, truth):
    """Return per request how much of the client's latency the handler did not see."""
    handled = {entry.path: entry.end_ns - entry.start_ns for entry in truth if entry.kind == "handler"}
    return {
        path: sample.end_ns - sample.start_ns - handled[path]
        for sample in samples
        if (path := without_query(sample.path)) in handled
    }


def route_of(sample):
    """Return the endpoint of a request, as a report names it."""
    return without_query(sample.endpoint).replace("{n}", "{}")


def without_query(path):
    """Return the path as perfwatch keeps it."""
    return path.partition("?")[0]
