"""Every mechanism's verdict: numbers with their unit first, whom to blame, and what to do next."""

import re

import looped as lo
import making as m
import pytest
from judging import judge

from perfwatch.agent.model import MECHANISMS

PEER = "10.0.0.5:5432"
UNITS = re.compile(r"\d(?:\.\d)? (?:ms|s|%)")


RECORDS = {
    "cpu": lambda: m.served(1, 1000, on_cpu=400),
    "gc": lambda: m.served(1, 1000, on_cpu=400, gc_ns=390 * m.MS),
    "sleep": lambda: m.served(1, 1000, sleep=400, waits=(m.wait("sleep", 400, call="clock_nanosleep"),)),
    "gil": lambda: m.served(1, 1000, gil=400, waits=(m.wait("gil", 400, waker=m.waker(7)),)),
    "lock": lambda: m.served(1, 1000, lock=400, waits=(m.wait("lock", 400, detail="0x7f", waker=m.waker(7)),)),
    "event-loop": lambda: lo.followed(1, 1000, loop=400, culprits=(lo.culprit(7, 400, "/export"),)),
    "queue": lambda: m.served(1, 1000, queue=400),
    "run-queue": lambda: m.served(1, 1000, run_queue=400),
    "throttle": lambda: m.served(1, 1000, run_queue=400, throttled_ns=400 * m.MS),
    "disk": lambda: m.served(1, 1000, disk=400, waits=(m.wait("disk", 400, call="fsync"),)),
    "memory": lambda: m.served(1, 1000, fault=400, waits=(m.wait("fault", 400, call=None),)),
    "network": lambda: m.served(1, 1000, send=400, waits=(m.wait("send", 400, call="sendto"),)),
    "dependency": lambda: m.served(1, 1000, calls=400, peers=(m.peer(PEER, 400),)),
}
BLAMED = {
    "gil": "waker",
    "lock": "waker",
    "event-loop": "keeper",
    "network": "client",
    "dependency": "peer",
}


@pytest.mark.parametrize("mechanism", RECORDS)
def test_a_verdict_is_a_number_a_culprit_and_a_next_step(mechanism):
    verdict = judge(RECORDS[mechanism]())
    assert verdict.mechanism == mechanism
    told = {one.name: one for one in verdict.evidence}
    measured = [one for one in verdict.evidence if one.name.endswith("_ms")]
    assert measured[0].value == 400 or mechanism == "gc"
    assert all(UNITS.search(one.text) for one in measured)
    assert BLAMED.get(mechanism, measured[0].name) in told
    assert 1 <= len(verdict.advice) <= 3
    assert len(set(verdict.advice)) == len(verdict.advice)
    for advice in verdict.advice:
        assert advice[0].isupper()
        assert advice.endswith((".", ")", "?"))
        assert len(advice.split()) >= 5, advice


def test_every_mechanism_but_those_of_calls_is_audited_here():
    """Those are in test_calls.py, with all that is told of a call; pools in test_pools.py."""
    assert set(MECHANISMS) - set(RECORDS) == {"chatty", "connect", "tls", "transfer", "pool"}
