"""Slow requests of real servers whose base cost is larger than what makes them slow."""

import functools
import statistics

import pytest
import serving
from faults import surroundings
from faults.catalogue import Fault, clients
from faults.observing import observe, planted_by_path, without_query

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
BASE_MS = 100
SLOW_MS = 125
FEWEST = 5


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(functools.partial(serving.gunicorn, "faulty:app"), id="gunicorn"),
        pytest.param(serving.http_server, id="http.server", marks=pytest.mark.slow),
    ],
)
def test_a_base_cost_is_not_blamed_for_what_makes_a_request_slow(server):
    fault = Fault(
        "based",
        (clients(f"/based/{{n}}?ms={BASE_MS}", 2), clients("/refresh/{n}?ms=60", 1, pause_s=0.3)),
        *("concurrency", "lock", "calls", "lock"),
        around=(surroundings.slow_service,),
        server=server,
        seconds=6,
    )
    observed = observe(fault, slow_ms=SLOW_MS)
    asked = [sample for sample in observed.samples if sample.endpoint == fault.load[0].call.path]
    planted_ns = planted_by_path("lock", asked, observed.truth)
    late = [one for one in asked if one.latency_ms >= SLOW_MS]
    waited = [planted_ns[without_query(one.path)] for one in late]
    assert len(late) >= FEWEST
    # The naive reading is wrong: of the slow ones the call is the larger part, and the lock is what the others lack.
    assert sum(waited) < 0.45 * sum(one.end_ns - one.start_ns for one in late)
    assert statistics.median(waited) > (SLOW_MS - BASE_MS) * 0.4e6

    endpoint = observed.endpoint(fault.route)
    assert endpoint["ledger_ms"]["calls"] > endpoint["ledger_ms"]["lock"]
    assert (endpoint["principle"], endpoint["mechanism"]) == ("concurrency", "lock"), endpoint
    assert "a lock held by refresh() at planted.py:" in endpoint["summary"], endpoint["summary"]
    assert "are mostly dependency" in endpoint["summary"]
    facts = {one["name"]: one["value"] for one in endpoint["evidence"]}
    assert sum(endpoint["normal_ledger_ms"].values()) == pytest.approx(BASE_MS, rel=0.1)
    assert facts["beyond_normal_ms"] == pytest.approx(sum(waited) / len(waited) / 1e6, rel=0.25)
