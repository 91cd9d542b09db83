"""Hostile input: whatever comes, nothing raises and nothing grows without bound. And what a request costs."""

import math
import time
import types
import typing

import around_in_bulk as bulk
import looped as lo
import making as m
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent.correlator.endpoints import MAX_ENDPOINTS
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.surroundings import Sample
from perfwatch.agent.report import build, correlate, to_json, to_text
from perfwatch.agent.report_cells import cells
from perfwatch.probes import frames
from perfwatch.probes import records as raw

TEXT = st.text(max_size=40)
MAYBE = st.none() | TEXT
NS = st.integers(-(2**62), 2**62)
COUNT = st.integers(0, 2**40)
LEDGER = st.lists(NS, max_size=20).map(tuple)
THREADS = st.sampled_from(["one", "shared", "several", "unmatched", "followed"])
BUCKET = st.sampled_from(raw.BUCKETS)
WAKER = st.none() | st.builds(raw.Waker, COUNT, COUNT, TEXT, st.none() | COUNT)
WAIT = st.builds(raw.Wait, NS, NS, NS, BUCKET, MAYBE, MAYBE, MAYBE, WAKER, NS, WAKER)
CALL = st.builds(
    raw.Call,
    started_ns=NS, connected_ns=st.none() | NS, secured_ns=st.none() | NS, sent_ns=st.none() | NS,
    answered_ns=st.none() | NS, ended_ns=NS, peer=TEXT, local=TEXT, connection=COUNT, tid=COUNT,
    protocol=st.sampled_from(["postgresql", "unknown"]), operation=MAYBE, sent_bytes=NS, received_bytes=NS,
    kind=st.sampled_from(["call", "publish"]), outcome=st.sampled_from(["answered", "unanswered", "failed"]),
    stack=st.none() | NS, read_ns=st.none() | NS, conflict=st.booleans(),
)  # fmt: skip
CULPRIT = st.builds(raw.Culprit, st.none() | COUNT, MAYBE, MAYBE, NS, COUNT, COUNT)
SERVED = st.builds(
    raw.ServedRequest,
    at_ns=NS, id=st.integers(0, 9), connection=COUNT, pid=st.integers(0, 3), tid=COUNT, arrived_ns=st.none() | NS,
    started_ns=NS, ended_ns=NS, method=MAYBE, target=MAYBE, status=st.none() | COUNT, booked_ns=LEDGER,
    peers=st.lists(st.builds(raw.Peer, TEXT, NS, COUNT), max_size=3).map(tuple),
    waits=st.lists(WAIT, max_size=4).map(tuple), received_bytes=COUNT, sent_bytes=COUNT, local=TEXT, remote=TEXT,
    outcome=st.sampled_from(["answered", "aborted", "died"]), threads=THREADS, waits_lost=COUNT,
    throttled_ns=NS, fidelity=st.sampled_from(["exact", "sampled"]), calls=st.lists(CALL, max_size=3).map(tuple),
    calls_lost=COUNT, culprits=st.lists(CULPRIT, max_size=2).map(tuple), asked=st.none() | COUNT,
    body=st.sampled_from([None, "text", "compressed", "other"]),
)  # fmt: skip
OPEN = st.builds(
    raw.OpenRequest,
    id=st.integers(0, 9), pid=st.integers(0, 3), tid=COUNT, arrived_ns=st.none() | NS, started_ns=NS, method=MAYBE,
    target=MAYBE, booked_ns=LEDGER, state=BUCKET, state_since_ns=NS, call=MAYBE, detail=MAYBE, peer=MAYBE,
    local=TEXT, threads=THREADS, throttled_ns=NS,
)  # fmt: skip
FLOAT = st.floats()
MANY = st.one_of(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2**40), NS)
FIGURES = {int: MANY, int | None: st.none() | MANY, str: TEXT, str | None: MAYBE, bool: st.booleans(), float: FLOAT}


def anything(kind):
    """Whatever fits the types of a record's fields, down to the records that it holds; times and names collide."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: COMMON[name] if name in COMMON else fitting(hint) for name, hint in hints.items()})


def fitting(hint):
    known = FIGURES.get(hint)
    if known is not None:
        return known
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        inner = [one for one in typing.get_args(hint) if one is not ...]
        if len(inner) == 1:
            return st.lists(fitting(inner[0]), max_size=3).map(tuple)
        return st.tuples(*map(fitting, inner))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return st.one_of(*(st.none() if one is types.NoneType else fitting(one) for one in typing.get_args(hint)))
    return anything(hint)


NAME = st.sampled_from(["host", "vda", "{x}"])
SMALL = st.integers(0, 2)
NEAR = st.integers(0, 5).map(lambda second: m.START + second * m.SECOND)
AT = st.one_of(NEAR, NEAR, NEAR, NEAR, NEAR, NEAR, NEAR, NS)
ALL_OF_IT = st.sampled_from(raw.BUCKETS).map(lambda bucket: m.booked(**{bucket: 4000}))
COMMON = {"at_ns": AT, "pid": SMALL, "tid": SMALL, "cookie": SMALL, "id": SMALL, "connection": SMALL}
COMMON |= {"started_ns": NEAR, "ended_ns": NEAR, "booked_ns": ALL_OF_IT | LEDGER, "throttled_ns": NS}
COMMON |= dict.fromkeys(("scope", "path", "device", "probe", "peer", "local"), NAME)
SERVED_NEAR = anything(raw.ServedRequest)
KINDS = typing.get_args(Sample)
SAMPLE = st.one_of(*map(anything, KINDS))
RECORD = st.one_of(
    SAMPLE,
    SERVED,
    SERVED_NEAR,
    anything(frames.TasksSample),
    st.builds(raw.InFlight, NS, COUNT, st.lists(OPEN, max_size=4).map(tuple)),
    st.builds(raw.HostSample, NS, NS, NS, NS, COUNT, NS, NS),
    st.builds(raw.ProcessSample, NS, st.integers(0, 3), st.sampled_from(["target", "perfwatch"]), NS, NS, COUNT),
    st.builds(raw.ListenerSample, NS, TEXT, COUNT, COUNT),
    st.builds(raw.TargetChange, NS, COUNT, st.sampled_from(["attached", "forked", "executed", "exited", "gone"]), TEXT),
    st.builds(raw.Loss, NS, TEXT, COUNT, TEXT),
)


@settings(max_examples=60)
@given(st.lists(RECORD, max_size=12), st.none() | st.floats())
def test_any_records_make_a_report(records, slow_ms):
    info = m.info(slow_ms=slow_ms)
    view, judged = correlate(info, records)
    report = build(info, view, judged)
    msgspec.json.decode(to_json(report))
    text = to_text(report, 80)
    assert all(cells(line) <= 80 for line in text.splitlines())
    assert text.replace("\n", "").isprintable()


def shares_of(view):
    for queues in (view.queues, view.queues_overall):
        yield from (disk.utilisation for disk in queues.disks)
        yield from (limit.throttled for limit in queues.cgroups)
        yield from (part for one in queues.pressure for part in (one.cpu, one.memory, one.io))
    for lines in (view.saturation, view.saturation_overall):
        yield from (part for one in lines for part in (one.utilisation, one.saturation))
    if view.own_cost is not None:
        yield view.own_cost.budget
        yield from (part for _, part, _ in view.own_cost.probes)


def climbing(records):
    """One record a second of one subject, whose counters never fall: what probes really deliver, at its wildest."""
    highest = {}
    for second, record in enumerate(records):
        changes = {"at_ns": m.START + second * m.SECOND}
        for name, value in msgspec.structs.asdict(record).items():
            if type(value) is int and name != "at_ns":
                changes[name] = highest[name] = max(highest.get(name, 0), value)
            elif name in ("scope", "path", "device"):
                changes[name] = "host"
        yield msgspec.structs.replace(record, **changes)


@settings(max_examples=150)
@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: st.tuples(
            st.lists(anything(kind), min_size=2, max_size=6), st.lists(SERVED_NEAR, min_size=1, max_size=3)
        )
    )
)
def test_whatever_surrounds_a_request_the_figures_stay_shares(records):
    """Once as they come, then as if they came once a second."""
    samples, served = records
    correlator = Correlator(m.info(slow_ms=0))
    for record in [*samples, *served, *climbing(samples), *served]:
        for request in correlator.feed(record):
            assert 0 <= request.verdict.share <= 1
            assert 0 <= request.verdict.confidence <= 1
        view = correlator.view()
        assert all(0 <= share <= 1 for share in shares_of(view) if share is not None)
        figures = [one.waiting_mean for one in (view.queues.run_queue, view.queues_overall.run_queue) if one]
        figures += [disk.depth for disk in (*view.queues.disks, *view.queues_overall.disks)]
        assert all(math.isfinite(figure) and figure >= 0 for figure in figures)


@settings(max_examples=20)
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
        target = f"/{number}/a" if number % 2 else f"/static/{number}.css"
        correlator.feed(m.served(number, number, ms=ms, pid=number % 1000, target=target, asked=number))
    for number in range(60_000, 70_000):
        culprits = tuple(lo.culprit(number * 9 + one, 20, f"/{number}/{one}") for one in range(8))
        calls = (lo.call(number, 20, peer=f"10.0.0.1:{number}"), lo.call(number, 9, peer=f"10.0.0.2:{number}"))
        record = lo.followed(number, number, loop=160, calls=29, pid=number, culprits=culprits)
        correlator.feed(msgspec.structs.replace(record, calls=calls))
        correlator.feed(lo.tasks(number, *((f"10.0.0.1:{number}{one}", lo.SEMAPHORE) for one in range(9))))
    for number in range(10_000):
        correlator.feed(raw.ProcessSample(m.START + number, number, "target", 1, 1, 1))
        correlator.feed(raw.ListenerSample(m.START, f"unix:{number}", 1, 1))
        correlator.feed(raw.Loss(m.START, f"probe {number}", 1, ""))
        correlator.feed(raw.TargetChange(m.START, number, "forked", ""))
        for sample in bulk.one_of_each(number):
            correlator.feed(sample)
    view = correlator.view()
    assert len(correlator._counted) <= 2 * 16_384
    assert len(correlator._traffic._named) <= 2 * 4096
    assert len(correlator._traffic._by_process) <= 256
    assert len(correlator._traffic.habits) <= 2 * 1024
    assert len(correlator._traffic.loops) <= 2 * 4096
    assert len(correlator._traffic.givers) <= 2 * 4096
    assert len(correlator._tasks) <= 2 * 32_768
    assert len(correlator._chances) <= 1024
    assert len(correlator._chances._repeats) <= 2 * 4096
    assert len(correlator._around.connections._handshakes) <= 64
    assert not any(one.calls for one in correlator._traffic._named.values())
    assert len(correlator._around.host._processes) <= 1024
    around = correlator._around
    names = (
        around.disks._devices, around.disks._latencies, around.disks._processes, around.disks._files,
        around.memory._processes, around.cgroups._by_path, around.pressures._by_scope,
        around.sockets._listeners, around.threads._latest, around.thread_times._last_ns,
        around.costs._usual_ns, around.costs._slowed,
    )  # fmt: skip
    assert {len(kept) for kept in names} == {64}
    assert len(around.cpus._samples._kept) == len(around.disks._users._kept) == len(around.memory._samples._kept) == 64
    assert len(around.cpus._users) <= 512
    assert len(around.disks._moved) <= 512
    assert len(around.sockets._dumps) == 16
    assert len(around.connections._known) <= 2 * 2048
    assert len(around.threads._waited) <= 1024
    assert len(around.code.interpreters._samples) == 64
    assert len(around.code._pauses) <= 2 * 8192
    assert len(around.code._by_thread) <= 2 * 32_768
    assert len(around.code._paused) == 256
    assert len(view.queues.interpreters) <= 16
    assert len(view.queues.sockets) <= 64
    assert len(view.queues.disks) <= 16
    assert len(view.listeners) <= 64
    assert len(view.losses) <= 65
    assert view.lost == 10_000
    assert len(view.events) == 200
    assert len(view.requests) == 1000


def test_a_jump_in_time_makes_an_hour_at_most():
    view, _ = correlate(m.info(), [m.served(1, 0, ms=5), m.served(2, 10**12, ms=5), m.served(3, 0, ms=5)])
    assert len(view.timeline) == 3600
    assert sum(one.requests for one in view.timeline) == 2


def test_what_a_sample_costs(record_property):
    """Measured, not asserted: microseconds for each kind of record, as large as probes make them."""
    correlator = Correlator(m.info())
    spent = {}
    for second in range(200):
        for sample in bulk.full_second(second):
            started = time.perf_counter()
            assert correlator.feed(sample) == ()
            spent.setdefault(type(sample).__name__, []).append(time.perf_counter() - started)
    for name, each in spent.items():
        record_property(f"{name}_us", sorted(each)[len(each) // 2] * 1e6)
    started = time.perf_counter()
    assert correlator.view().queues.socket_count == 256
    record_property("view_ms", (time.perf_counter() - started) * 1e3)


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
