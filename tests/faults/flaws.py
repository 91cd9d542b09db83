"""What of the verdicts on a case's endpoints is not true, in words."""

from __future__ import annotations

import json

from faults.catalogue import SLOW_MS
from faults.observing import held_share, party_slow, planted_share, without_query

FEWEST_SLOW = 8
LEAST_SHARE = 0.5
MOST_UNACCOUNTED = 0.02


def assert_present(party, observed):
    """Assert by the clocks of clients and server that these requests are slow, why, and whom they wait for."""
    slow = party_slow(party, observed, SLOW_MS)
    assert len(slow) >= FEWEST_SLOW, f"{party.route}: {len(slow)} slow requests"
    share = planted_share(party.kind, slow, observed.truth)
    assert share >= LEAST_SHARE, f"{party.route}: {share:.0%} of the latency is the fault's"
    if party.held_by is not None:
        share = held_share(slow, observed.truth, party.held_by)
        assert share >= LEAST_SHARE, f"{party.route}: {party.held_by} takes {share:.0%} of its latency"


def flaws(party, observed):
    """Say what of an endpoint's verdict and ledgers is not true."""
    endpoint = observed.endpoint(party.route)
    told = (endpoint["principle"], endpoint["mechanism"])
    if told != (party.principle, party.mechanism):
        yield f"{party.route}: told {told}, is {(party.principle, party.mechanism)}: {endpoint['summary']}"
    elif endpoint["share"] < LEAST_SHARE:
        yield f"{party.route}: a share of {endpoint['share']}: {endpoint['summary']}"
    largest = max(endpoint["ledger_ms"], key=endpoint["ledger_ms"].get)
    if largest != party.bucket:
        yield f"{party.route}: most is {largest}, not {party.bucket}: {spent(endpoint)}"
    said = json.dumps([endpoint["summary"], endpoint["evidence"]])
    for named in must_name(party, observed.environment):
        if not any(name in said for name in named):
            yield f"{party.route}: {named} is not named: {said}"
    yield from unbalanced(party, observed)


def must_name(party, environment):
    """Say what the evidence must name, each in one of several ways: whoever keeps a loop by its route."""
    if party.named:
        yield (environment[party.named],)
    if party.held_by:
        function = party.held_by.split("/")[1].replace("-", "_")
        yield (f"GET {party.held_by}", *([f"{function}()"] if party.mechanism != "event-loop" else []))


def unbalanced(party, observed):
    """Say of which requests the ledger does not add up: all but one in twenty shall.

    Left out are those that were under way at the first answer: waitress shows by that alone who answers what it read.
    """
    first = shown_by_first(observed)
    requests = [request for request in observed.slow_requests(party.route) if request["target"] not in first]
    for request in requests:
        left_ms = request["duration_ms"] - sum(request["ledger_ms"].values())
        if abs(left_ms - request["unaccounted_ms"]) > 0.02:
            yield f"{party.route}: {request['target']} is off by {left_ms} ms"
    off = sorted(abs(request["unaccounted_ms"]) / request["duration_ms"] for request in requests)
    if off and off[int(len(off) * 0.95)] > MOST_UNACCOUNTED:
        yield f"{party.route}: unaccounted of the latency: {[round(part, 3) for part in off[-8:]]}"


def shown_by_first(observed):
    """Return the paths of the requests that were sent before any was answered."""
    first_ns = min(sample.end_ns for sample in observed.samples)
    return {without_query(sample.path) for sample in observed.samples if sample.start_ns < first_ns}


def spent(endpoint):
    return {bucket: ms for bucket, ms in endpoint["ledger_ms"].items() if ms}
