"""Every planted fault gets the verdict that is true of it; that the fault is there is asserted first."""

import json

import pytest
from faults.catalogue import FAULTS, SLOW_MS
from faults.observing import assert_present, observe

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
MOST_UNACCOUNTED = 0.005


def parameters():
    for fault in FAULTS:
        yield pytest.param(fault, id=fault.name, marks=[] if fault.quick else [pytest.mark.slow])


@pytest.mark.parametrize("fault", parameters())
def test_a_planted_fault_is_named(fault):
    observed = observe(fault, slow_ms=SLOW_MS)
    assert_present(fault, observed, slow_ms=SLOW_MS)

    endpoint = observed.endpoint(fault.route)
    assert (endpoint["principle"], endpoint["mechanism"]) == (fault.principle, fault.mechanism), endpoint
    assert max(endpoint["ledger_ms"], key=endpoint["ledger_ms"].get) == fault.bucket, endpoint["ledger_ms"]
    if fault.named is not None:
        assert observed.environment[fault.named] in json.dumps(endpoint["evidence"])
    assert fault.where in endpoint["summary"]
    for request in slow_requests(observed.report, fault.route):
        assert abs(request["unaccounted_ms"]) <= MOST_UNACCOUNTED * request["duration_ms"], request


def slow_requests(report, route):
    prefix = route.replace("{}", "")
    found = [request for request in report["slow_requests"] if (request["target"] or "").startswith(prefix)]
    assert found, report["slow_requests"]
    return found
