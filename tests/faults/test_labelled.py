"""The labelled faults beyond the first two catalogues: other servers and versions, traps, two causes, no fault."""

import dataclasses

import pytest
from faults.catalogue import SLOW_MS
from faults.flaws import assert_present, flaws
from faults.labelled import cases, drawn, mended, varied
from faults.mixed_catalogue import CASES
from faults.observing import assert_whole, observe_whole, party_slow

from perfwatch.agent.model import MECHANISMS

FEWEST_SERVERS = 2
SECONDS = 3


def parameters():
    for case in CASES:
        yield pytest.param(case, id=case.name, marks=[] if case.quick else [pytest.mark.slow])


@pytest.mark.fault
@pytest.mark.ledger
@pytest.mark.parametrize("case", parameters())
def test_each_endpoint_is_told_right(case):
    observed = observe_whole(dataclasses.replace(case, seconds=SECONDS), slow_ms=SLOW_MS)
    assert_whole(observed)
    sound = [party for party in case.parties if party.principle == "healthy"]
    guilty = [party for party in case.parties if party.principle != "healthy"]
    for party in guilty:
        assert_present(party, observed)
    wrong = [flaw for party in guilty for flaw in flaws(party, observed)]
    for party in sound:
        endpoint = observed.endpoint(party.route)
        if not party_slow(party, observed, SLOW_MS) and endpoint["principle"] != "healthy":
            wrong.append(f"{party.route} is accused: {endpoint['summary']}")
    assert not wrong, "\n".join(wrong)


def test_every_mechanism_is_planted_on_several_kinds_of_servers():
    servers = {name: set() for name in MECHANISMS}
    for case in cases():
        for party in case.parties:
            if party.mechanism:
                servers[party.mechanism].add(repr(case.server))
    assert {name: len(found) for name, found in servers.items() if len(found) < FEWEST_SERVERS} == {}


def test_a_name_stands_for_one_case():
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)


def test_a_stronger_fault_takes_longer_and_who_waits_stays():
    (case,) = [case for case in cases() if case.name == "lock-and-sleep"]
    strong = varied(case, 2, more=1, pause=3)
    holder, victim = strong.load
    assert (holder.call.path, holder.clients, holder.pause_s) == ("/refresh/{n}?ms=180", 1, pytest.approx(0.15))
    assert (victim.call.path, victim.clients) == ("/lock/{n}?also=sleep:50&ms=160", 4)


def test_a_seed_draws_the_same_figures_again():
    for case in cases():
        assert drawn(case, 5).load == drawn(case, 5).load
    changed = [case.name for case in cases() if drawn(case, 5).load != drawn(case, 6).load]
    assert len(changed) == len(cases())


def test_without_its_fault_a_case_has_the_rest_of_its_load():
    (case,) = [case for case in cases() if case.name == "sleep-and-cpu"]
    assert [endpoint.call.path for endpoint in mended(case).load] == ["/sleep/{n}?ms=0&also=cpu:30"]
