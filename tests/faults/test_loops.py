"""Every planted fault of event loops, pools and calls: who causes it and who waits are told right, in one run."""

import pytest
from faults.catalogue import SLOW_MS
from faults.flaws import assert_present, flaws
from faults.loop_catalogue import LOOP_FAULTS
from faults.observing import assert_whole, observe_whole

pytestmark = [pytest.mark.fault, pytest.mark.ledger]


def parameters():
    for fault in LOOP_FAULTS:
        yield pytest.param(fault, id=fault.name, marks=[] if fault.quick else [pytest.mark.slow])


@pytest.mark.parametrize("fault", parameters())
def test_whoever_causes_it_and_whoever_waits_are_told(fault):
    observed = observe_whole(fault, slow_ms=SLOW_MS)
    for party in fault.parties:
        assert_present(party, observed)
    assert_whole(observed)
    wrong = [flaw for party in fault.parties for flaw in flaws(party, observed)]
    assert not wrong, "\n".join(wrong)
