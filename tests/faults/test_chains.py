"""Every planted chain is followed to its end: who held what was waited for, and what that one did meanwhile."""

import pytest
from faults.catalogue import SLOW_MS
from faults.chain_catalogue import CHAINS
from faults.observing import assert_present, observe

pytestmark = [pytest.mark.fault, pytest.mark.ledger]


def parameters():
    for one in CHAINS:
        yield pytest.param(one, id=one.name, marks=[] if one.fault.quick else [pytest.mark.slow])


@pytest.mark.parametrize("planted", parameters())
def test_a_planted_chain_is_followed(planted):
    fault = planted.fault
    observed = observe(fault, slow_ms=SLOW_MS)
    assert_present(fault, observed, slow_ms=SLOW_MS)

    endpoint = observed.endpoint(fault.route)
    assert (endpoint["principle"], endpoint["mechanism"]) == (fault.principle, fault.mechanism), endpoint["summary"]
    told = tuple((link["kind"], link["mechanism"]) for link in endpoint["chain"])
    assert told == planted.chain, (endpoint["summary"], endpoint["chain"])
    assert planted.says.format(**observed.environment) in endpoint["summary"]
    shares = [endpoint["share"], *(link["share"] for link in endpoint["chain"])]
    assert shares == sorted(shares, reverse=True), shares
    assert shares[-1] >= shares[0] / 2, shares
