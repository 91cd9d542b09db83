"""Hostile input: whatever comes, nothing raises and nothing grows without bound. And what a request costs."""

import time

import making as m
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfwatch.agent.correlator.endpoints import MAX_ENDPOINTS
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.report import build, correlate, to_json, to_text
from perfwatch.agent.report_cells import cells
from perfwatch.probes import records as raw

TEXT = st.text(max_size=40)
MAYBE = st.none() | TEXT
NS = st.integers(-(2**62), 2**62)
COUNT = st.integers(0, 2**40)
LEDGER = st.lists(NS, max_size=20).map(tuple)
THREADS = st.sampled_from(["one", "shared", "several"])
BUCKET = st.sampled_from(raw.BUCKETS)
WAKER = st.none() | st.builds(raw.Waker, COUNT, COUNT, TEXT, st.none() | COUNT)
WAIT = st.builds(raw.Wait, NS, NS, NS, BUCKET, MAYBE, MAYBE, MAYBE, WAKER)
SERVED = st.builds(
    raw.ServedRequest,
    at_ns=NS, id=st.integers(0, 9), connection=COUNT, pid=st.integers(0, 3), tid=COUNT, arrived_ns=st.none() | NS,
    started_ns=NS, ended_ns=NS, method=MAYBE, target=MAYBE, status=st.none() | COUNT, booked_ns=LEDGER,
    peers=st.lists(st.builds(raw.Peer, TEXT, NS, COUNT), max_size=3).map(tuple),
    waits=st.lists(WAIT, max_size=4).map(tuple), received_bytes=COUNT, sent_bytes=COUNT, local=TEXT, remote=TEXT,
    outcome=st.sampled_from(["answered", "aborted", "died"]), threads=THREADS, waits_lost=COUNT,
)  # fmt: skip
OPEN = st.builds(
    raw.OpenRequest,
    id=st.integers(0, 9), pid=st.integers(0, 3), tid=COUNT, arrived_ns=st.none() | NS, started_ns=NS, method=MAYBE,
    target=MAYBE, booked_ns=LEDGER, state=BUCKET, state_since_ns=NS, call=MAYBE, detail=MAYBE, peer=MAYBE,
    local=TEXT, threads=THREADS,
)  # fmt: skip
RECORD = st.one_of(
    SERVED,
    st.builds(raw.InFlight, NS, COUNT, st.lists(OPEN, max_size=4).map(tuple)),
    st.builds(raw.HostSample, NS, NS, NS, NS, COUNT, NS, NS),
    st.builds(raw.ProcessSample, NS, st.integers(0, 3), st.sampled_from(["target", "perfwatch"]), NS, NS, COUNT),
    st.builds(raw.ListenerSample, NS, TEXT, COUNT, COUNT),
    st.builds(raw.TargetChange, NS, COUNT, st.sampled_from(["attached", "forked", "executed", "exited", "gone"]), TEXT),
    st.builds(raw.Loss, NS, TEXT, COUNT, TEXT),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(RECORD, max_size=12), st.none() | st.floats())
def test_any_records_make_a_report(records, slow_ms):
    info = m.info(slow_ms=slow_ms)
    view, judged = correlate(info, records)
    report = build(info, view, judged)
    msgspec.json.decode(to_json(report))
    text = to_text(report, 80)
    assert all(cells(line) <= 80 for line in text.splitlines())
    assert text.replace("\n", "").isprintable()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=4)), min_size=1, max_size=50))
def test_hostile_paths_make_no_more_endpoints_than_there_may_be(requests):
    correlator = Correlator(m.info())
    for number in range(700):
        method, segments = requests[number % len(requests)]
        correlator.feed(m.served(number, number, ms=600, method=f"{method}{number}", target="/".join(segments)))
    view = correlator.view()
    assert len(view.endpoints) <= MAX_ENDPOINTS
    assert sum(one.count for one in view.endpoints) == view.count == 700


def test_routes_beyond_the_bound_share_one_endpoint_per_method():
    view, judged = correlate(m.info(), (m.served(n, n, ms=600, target=f"/w{n}x") for n in range(700)))
    other = next(one for one in view.endpoints if one.route == "{other}")
    assert other.count == 700 - len(view.endpoints) + 1
    assert judged[-1].endpoint == ("GET", "{other}")


def test_nothing_grows_with_the_number_of_requests():
    """After 60,000 requests and 10,000 of everything else each collection is as small as its bound says."""
    correlator = Correlator(m.info())
    for number in range(60_000):
        ms = 600 if number % 20 == 0 else 5
        correlator.feed(m.served(number, number, ms=ms, pid=number % 1000, target=f"/{number}/a"))
    for number in range(10_000):
        correlator.feed(raw.ProcessSample(m.START + number, number, "target", 1, 1, 1))
        correlator.feed(raw.ListenerSample(m.START, f"unix:{number}", 1, 1))
        correlator.feed(raw.Loss(m.START, f"probe {number}", 1, ""))
        correlator.feed(raw.TargetChange(m.START, number, "forked", ""))
    view = correlator.view()
    assert len(correlator._counted) <= 2 * 16_384
    assert len(correlator._traffic._named) <= 2 * 4096
    assert len(correlator._traffic._by_process) <= 256
    assert len(correlator._host._processes) <= 1024
    assert len(view.listeners) <= 64
    assert len(view.losses) <= 65
    assert view.lost == 10_000
    assert len(view.events) == 200
    assert len(view.requests) == 1000


def test_a_jump_in_time_makes_an_hour_at_most():
    view, _ = correlate(m.info(), [m.served(1, 0, ms=5), m.served(2, 10**12, ms=5), m.served(3, 0, ms=5)])
    assert len(view.timeline) == 3600
    assert sum(one.requests for one in view.timeline) == 2


def test_what_a_request_costs(record_property):
    """Measured, not asserted: microseconds for a fast request and a judged one, milliseconds for a view."""
    correlator = Correlator(m.info())
    fast = [m.served(n, n, ms=4 + n % 7, target=f"/item/{n % 900}", pid=n % 4) for n in range(5000)]
    slow = [m.served(10_000 + n, 6000 + n, lock=300, calls=50, target="/order", pid=n % 4) for n in range(500)]
    for name, records in (("fast_us", fast), ("judged_us", slow)):
        started = time.perf_counter()
        judged = sum(len(correlator.feed(record)) for record in records)
        record_property(name, (time.perf_counter() - started) / len(records) * 1e6)
        assert judged == (0 if records is fast else len(slow))
    started = time.perf_counter()
    assert correlator.view().count == 5500
    record_property("view_ms", (time.perf_counter() - started) * 1e3)
