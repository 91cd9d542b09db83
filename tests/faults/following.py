"""Requests through an event loop by three clocks: the client's, the server's own, and the ledger's records."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import serving
from faults.observing import without_query
from recording import recording

from perfwatch.agent.session.reader import SessionReader
from perfwatch.examples.http_client import Call, Connection
from perfwatch.examples.load import Sample
from perfwatch.probes.records import BUCKETS, ServedRequest

SLOW_MS = 20


@dataclass(frozen=True)
class Followed:
    """The same requests: what clients sent, what the server did, what was recorded."""

    samples: list[Sample]
    truth: list[serving.Measured]
    records: list[ServedRequest]
    """One for each request: the last that was recorded of it."""
    report: dict

    @cached_property
    def by_target(self):
        """The records by path."""
        return {record.target: record for record in self.records}

    @cached_property
    def ledgers(self):
        """Milliseconds by bucket of the slow ones, by path, as the report says them."""
        return {request["target"]: request["ledger_ms"] for request in self.report["slow_requests"]}

    def endpoint(self, path):
        """Return what the report says of an endpoint, a path with `{n}` in it."""
        route = without_query(path).replace("{n}", "{}")
        (found,) = [endpoint for endpoint in self.report["endpoints"] if endpoint["route"] == route]
        return found

    def pairs(self, endpoint):
        """Return (what the client saw, the record) of each request of an endpoint, a path with `{n}` in it."""
        return [
            (sample, self.by_target[without_query(sample.path)])
            for sample in self.samples
            if sample.endpoint == endpoint
        ]

    def clocked(self, path, kind, figure):
        """Return the sum of a figure over what the server clocked of a request."""
        return sum(figure(entry) for entry in self.truth if (entry.path, entry.kind) == (without_query(path), kind))


def follow(serve, drive, *around, options=()):
    """Start a server, have `drive(address)` send requests and return its samples while the recorder runs."""
    with contextlib.ExitStack() as stack:
        needed = {}
        for surrounding in around:
            needed |= stack.enter_context(surrounding())
        server = stack.enter_context(serve(environment=needed))
        recorder = stack.enter_context(recording(server.pid, slow_ms=SLOW_MS, options=options))
        samples = drive(server.address)
        report = recorder.finish()
        return Followed(samples, serving.truth(server.address), served(recorder.file), report), needed


def served(file):
    """Return the requests of a session; a correction stands in the place of what it corrects."""
    with SessionReader(file) as session:
        return list({record.id: record for record in session.records() if isinstance(record, ServedRequest)}.values())


@dataclass(frozen=True, slots=True)
class InTurn(Sample):
    """A request of a client that has nothing else to do."""

    waited_ns: int
    """Of its latency: how long the client waited for a CPU."""


def run_delay_ns():
    """Return how long this thread has waited on a run queue in its life."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1])


def send_in_turn(address, calls, rounds, timeout_s=10):
    """Send the calls over and over on one connection, never two at once; returns what the client saw."""
    connection, samples = Connection(address, timeout_s), []
    for number in range(rounds):
        for call in calls:
            sent = Call(call.path.replace("{n}", str(number)), call.method, call.body)
            delay_ns = run_delay_ns()
            answer = connection.request(sent)
            delay_ns = run_delay_ns() - delay_ns
            samples.append(InTurn(sent.path, answer.start_ns, answer.end_ns, answer.status, call.path, delay_ns))
    connection.close()
    return samples


def latency_ns(record):
    """Return the time from the first byte's arrival to the answer's last."""
    return record.ended_ns - (record.arrived_ns or record.started_ns)


def booked_ns(record, bucket):
    return record.booked_ns[BUCKETS.index(bucket)]


def unaccounted(record):
    """Return how much of the latency no bucket explains, 0..1; up to 20 us of a short one are two clocks' edges."""
    off_ns = abs(latency_ns(record) - sum(record.booked_ns))
    return 0 if off_ns <= 20_000 else off_ns / latency_ns(record)


def most(values, part=0.95):
    """Return the value that so many of them do not exceed."""
    return sorted(values)[int(len(values) * part)]
