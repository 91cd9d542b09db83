"""A real server of which a known part is serial, under a growing load: what is told of how it scales."""

import contextlib
import statistics

import pytest
import serving
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger, pytest.mark.slow]
CLIENTS = (1, 1, 2, 4, 8, 8)
"""More of them every few seconds: 1, 2, 4, 8, 16, 24 at a time."""
SECONDS = 6


@pytest.fixture(scope="module")
def scaled():
    """Return the report, and how long the server was in its serial part and beside it, on average, in seconds."""
    endpoint = Call("/share/{n}?serial=8&free=8")
    with serving.gunicorn("serial:app", threads=32) as server, recording(server.pid) as recorder:
        with contextlib.ExitStack() as stack:
            for count in CLIENTS:
                load = stack.enter_context(Load(server.address, (Endpoint(endpoint, clients=count),)))
                load.wait(SECONDS)
        report = recorder.finish()
        kinds = {
            kind: [one for one in serving.truth(server.address) if one.kind == kind] for kind in ("serial", "free")
        }
        return report, *(
            statistics.mean(one.end_ns - one.start_ns for one in kinds[kind]) / 1e9 for kind in ("serial", "free")
        )


def test_the_contention_is_about_the_part_that_is_serial(scaled):
    """Requests come to one lock more evenly than the law supposes: it tells less than the serial part."""
    report, serial_s, free_s = scaled
    law = report["saturation"]["scalability"]
    assert law["concurrency"][0] <= 1.2
    assert law["concurrency"][1] >= 20
    assert law["contention"]["value"] == pytest.approx(serial_s / (serial_s + free_s), abs=0.2)
    assert law["rate_rps"]["value"] == pytest.approx(1 / (serial_s + free_s), rel=0.25)


def test_with_many_at_a_time_the_law_gives_what_the_serial_part_lets_through(scaled):
    report, serial_s, _ = scaled
    law = report["saturation"]["scalability"]
    rate, contention, coherency = (law[name]["value"] for name in ("rate_rps", "contention", "coherency"))
    many = law["concurrency"][1]
    slowed = 1 + contention * (many - 1) + coherency * many * (many - 1)
    assert rate * many / slowed == pytest.approx(1 / serial_s, rel=0.15)
