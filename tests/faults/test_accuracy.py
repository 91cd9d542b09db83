"""The ledger against two other clocks: the client's, and the server's own. All requests are recorded ones."""

import contextlib
from dataclasses import dataclass

import pytest
import serving
from faults import surroundings
from faults.observing import planted_by_path, without_query
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load, Sample, percentile_ms

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SLOW_MS = 20
EDGE_MS = 2
"""A client sees a little more than the server's kernel: just above the threshold they may differ in good faith."""
SECONDS = 4
HOGS = 3
LEAST_CAPTURED = 0.99
MOST_OFF = 0.02
MOST_P95_OFF = 0.03
MOST_UNACCOUNTED = 0.005
FEWEST = 20
EDGE_NS = 5_000
WAITS_OF_A_FLUSH = 200

WAITS = {
    "/sleep/{n}?ms=90": ("sleep", "sleep"),
    "/lock/{n}": ("lock", "lock"),
    "/call-timeout/{n}?ms=100": ("calls", "calls"),
    "/fsync/{n}?ms=60": ("disk", "disk"),
}
"""Path, the server's name for the wait, the ledger's bucket."""
WAITING = (
    Endpoint(Call("/sleep/{n}?ms=90"), clients=1, pause_s=0.03),
    Endpoint(Call("/lock/{n}"), clients=2, pause_s=0.03),
    Endpoint(Call("/refresh/{n}?ms=120"), clients=1, pause_s=0.05),
    Endpoint(Call("/call-timeout/{n}?ms=100"), clients=1, pause_s=0.03),
    Endpoint(Call("/fsync/{n}?ms=60"), clients=1, pause_s=0.06),
)
COMPUTING = (Endpoint(Call("/cpu/{n}?ms=80"), clients=1, pause_s=0.02),)


@dataclass(frozen=True)
class Compared:
    """The same requests by three clocks."""

    samples: list[Sample]
    truth: list[serving.Measured]
    report: dict

    @property
    def slow(self):
        """What the clients counted as slow."""
        return [sample for sample in self.samples if sample.latency_ms >= SLOW_MS + EDGE_MS]

    @property
    def reported(self):
        """The report's slow requests by path."""
        return {request["target"]: request for request in self.report["slow_requests"]}


def compare(endpoints, *around):
    with contextlib.ExitStack() as stack:
        environment = {}
        for surrounding in (surroundings.slow_service, surroundings.disk_directory, *around):
            environment |= stack.enter_context(surrounding())
        server = stack.enter_context(serving.gunicorn("faulty:app", environment=environment))
        recorder = stack.enter_context(recording(server.pid, slow_ms=SLOW_MS))
        with Load(server.address, endpoints) as load:
            load.wait(SECONDS)
        report = recorder.finish()
        assert {sample.status for sample in load.samples} == {200}
        return Compared(load.samples, serving.truth(server.address), report)


def hogs():
    return surroundings.busy_neighbours(HOGS)


@pytest.fixture(scope="module")
def calm():
    return compare(WAITING)


@pytest.fixture(scope="module")
def hogged():
    return compare((*WAITING, *COMPUTING), hogs)


@pytest.fixture(scope="module", params=["calm", pytest.param("hogged", marks=pytest.mark.slow)])
def compared(request):
    return request.getfixturevalue(request.param)


def test_every_request_is_captured(compared):
    assert compared.report["requests"]["count"] == pytest.approx(len(compared.samples), rel=1 - LEAST_CAPTURED)


def test_what_clients_call_slow_is_captured(calm):
    assert_captured(calm, {without_query(sample.path) for sample in calm.slow})


@pytest.mark.slow
def test_what_the_server_calls_slow_is_captured_beside_hogs(hogged):
    # Beside hogs a client waits for a CPU too: it calls slow what was answered at once. The handler's clock does not.
    handlers = [entry for entry in hogged.truth if entry.kind == "handler"]
    assert_captured(hogged, {entry.path for entry in handlers if entry.end_ns - entry.start_ns >= SLOW_MS * 1e6})


def assert_captured(compared, slow):
    assert len(slow) >= FEWEST
    captured = slow & compared.reported.keys()
    assert len(captured) >= LEAST_CAPTURED * len(slow), sorted(slow - captured)


def test_every_ledger_adds_up(compared):
    off = []
    for request in compared.reported.values():
        booked_ms = sum(request["ledger_ms"].values())
        assert request["duration_ms"] == pytest.approx(booked_ms + request["unaccounted_ms"], abs=0.02)
        off.append(abs(request["unaccounted_ms"]) / request["duration_ms"])
    assert len(off) >= FEWEST
    assert sorted(off)[int(len(off) * 0.95)] <= MOST_UNACCOUNTED, sorted(off)[-10:]


def test_p95_is_the_clients(calm):
    judged = 0
    for endpoint in calm.report["endpoints"]:
        if endpoint["latency_ms"]["p95"] < SLOW_MS:
            continue
        prefix = endpoint["route"].replace("{}", "")
        samples = [sample for sample in calm.samples if sample.path.startswith(prefix)]
        assert endpoint["count"] == len(samples), endpoint["route"]
        assert endpoint["latency_ms"]["p95"] == pytest.approx(percentile_ms(samples, 95), rel=MOST_P95_OFF)
        judged += 1
    assert judged == len(WAITING)


@pytest.mark.parametrize("path", WAITS)
def test_a_planted_wait_is_the_servers(calm, path):
    kind, bucket = WAITS[path]
    samples = [sample for sample in calm.slow if sample.endpoint == path]
    planted_ns = planted_by_path(kind, samples, calm.truth)
    assert_within(planted_ns, calm.reported, bucket)


@pytest.mark.parametrize(
    "around", [pytest.param((), id="calm"), pytest.param((hogs,), id="hogged", marks=pytest.mark.slow)]
)
def test_on_cpu_is_the_threads_own_cpu_clock(around):
    compared = compare(COMPUTING, *around)
    planted_ns = planted_by_path("cpu", compared.slow, compared.truth)
    assert_within(planted_ns, compared.reported, "on_cpu")


def assert_within(planted_ns, reported, bucket):
    """Hold the sums against each other, and 95 of each hundred captured requests by themselves.

    By itself, a request of some hundred short disk waits may be off by what two clocks differ by at both ends of each;
    and on a virtual machine whose host takes the CPU away in their midst, so are more of them: 80 of a hundred hold.
    """
    pairs = [
        (planted, reported[path]["ledger_ms"][bucket] * 1e6) for path, planted in planted_ns.items() if path in reported
    ]
    assert len(pairs) >= 10
    planted, booked = (sum(column) for column in zip(*pairs, strict=True))
    assert booked == pytest.approx(planted, rel=MOST_OFF)
    edges_ns, part = (WAITS_OF_A_FLUSH * EDGE_NS, 0.8) if bucket == "disk" else (EDGE_NS, 0.95)
    off = sorted(max(abs(booked - planted) - edges_ns, 0) / planted for planted, booked in pairs)
    assert off[int(len(off) * part)] <= MOST_OFF, off[-5:]
