"""Streams of HTTP/2 that share a connection, judged: who has the permit, who waits for it, who only sleeps."""

import functools

import pytest
import serving_loops
from faults.following import follow
from streaming import StreamingClient

from perfwatch.examples.load import Sample

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
ROUNDS = 12
HOLDS, WAITS, NAPS = "/hold-permit/{n}?ms=150", "/permit/{n}", "/nap/{n}?ms=200"


def send(address):
    """Have streams of three kinds under way at once, round by round, on one connection."""
    samples = []
    with StreamingClient(address) as client:
        for number in range(ROUNDS):
            paths = [(path, path.replace("{n}", f"{number}")) for path in (HOLDS, WAITS, NAPS)]
            client.ask(*(path for _, path in paths))
            for (endpoint, path), exchange in zip(paths, client.finish(), strict=True):
                samples.append(Sample(path, exchange.start_ns, exchange.end_ns, exchange.status, endpoint))
    return samples


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=pytest.mark.slow)])
def test_who_waits_for_a_permit_is_told_from_who_sleeps_on_the_same_connection(loop):
    followed, _ = follow(functools.partial(serving_loops.hypercorn, loop=loop), send)
    records = [record for record in followed.records if record.target != "/_truth"]
    assert len(records) == 3 * ROUNDS
    assert {(record.protocol, record.threads) for record in records} == {("http/2", "followed")}
    told = {path: followed.endpoint(path) for path in (HOLDS, WAITS, NAPS)}
    assert {path: endpoint["mechanism"] for path, endpoint in told.items()} == {
        HOLDS: "sleep",
        WAITS: "pool",
        NAPS: "sleep",
    }
    assert told[WAITS]["ledger_ms"]["lock"] >= 0.7 * 150
    assert {request["protocol"] for request in followed.report["slow_requests"]} == {"http/2"}
