"""Traces for Perfetto, as its own trace processor imports them, and its user interface shows them."""

from contextlib import contextmanager

import around
import exporting
import fake_records
import making as m
import pytest
import two_ends
from perfetto_ui import needs_perfetto, needs_trace_processor, processed, shown

from perfwatch.agent.model import arrival_of, resumed_at
from perfwatch.probes.frames import GcPause, PythonSample, ThreadName
from perfwatch.probes.records import InFlight, ListenerSample, ServedRequest, ThreadWait

pytestmark = needs_trace_processor
BY_TRACK = """
select parent.name as parent, track.name as track, slice.depth, slice.name as slice, count(*) as n, sum(slice.dur) as ns
from slice join track on slice.track_id = track.id left join track parent on track.parent_id = parent.id
group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
ON_THREADS = """
select process.pid, thread.tid, thread.name as thread, slice.depth, slice.name as slice, slice.ts, slice.dur
from slice join thread_track on slice.track_id = thread_track.id join thread using (utid) join process using (upid)
where thread_track.name is null order by slice.ts, slice.depth
"""
COUNTED = "select ts, value from counter join counter_track t on t.id = track_id where t.name = '{}' order by ts"
ARROWS = """
select origin.name as origin, reached.name as reached from flow
join slice origin on origin.id = slice_out join slice reached on reached.id = slice_in order by 1, 2
"""


@contextmanager
def trace_of(tmp_path, records, info=None, **selection):
    file = exporting.recorded(tmp_path / "session", records, info)
    with processed(exporting.exported(file, "perfetto", **selection), tmp_path) as trace:
        yield trace


def test_a_shop_arrives_whole(tmp_path):
    """Each request, wait and call of a fuller recording is there, with its length, and where its arrows lead."""
    records = fake_records.generate(10)
    served = [record for record in records if isinstance(record, ServedRequest)]
    orders = [record for record in served if record.target.startswith("/order/")]
    with trace_of(tmp_path, records, fake_records.session_info()) as trace:
        told = {(one[0], one[1], one[3]): one[4:] for one in trace.rows(BY_TRACK)}
        arrows = trace.rows(ARROWS)
        [(slices, length)] = trace.rows(
            "select count(*) as n, sum(dur) as ns from slice where name like '% /%' and depth = 0 and track_id not in "
            "(select id from thread_track)"
        )
        in_flight = trace.rows(COUNTED.format("requests in flight"))
        backlog = trace.rows(COUNTED.format(f"accept queue {fake_records.LISTENER}"))
    assert (slices, length) == (len(served), sum(one.ended_ns - arrival_of(one) for one in served))
    endpoint = ("Requests", "POST /order/{}")
    locked = sum(wait.blocked_ns for one in orders for wait in one.waits if wait.bucket == "lock")
    assert told[*endpoint, "POST /order/{}"] == (len(orders), sum(one.ended_ns - arrival_of(one) for one in orders))
    assert told[*endpoint, "lock"] == (len(orders), locked)
    assert told[*endpoint, "queue"] == (len(orders), sum(one.started_ns - one.arrived_ns for one in orders))
    calls = [call for one in orders for call in one.calls]
    selects = [call for call in calls if call.operation == fake_records.SELECT]
    assert told["Calls", fake_records.POSTGRES, fake_records.SELECT] == (
        len(selects),
        sum(call.ended_ns - call.started_ns for call in selects),
    )
    assert len(arrows) == len(calls)
    assert {origin for origin, _ in arrows} == {"POST /order/{}"}
    assert in_flight == [(one.at_ns, one.count) for one in records if isinstance(one, InFlight)]
    assert backlog == [(one.at_ns, one.backlog) for one in records if isinstance(one, ListenerSample)]


def test_what_is_told_of_a_request(tmp_path):
    with trace_of(tmp_path, exporting.shop(), request=2) as trace:
        said = dict(
            trace.rows(
                "select key, display_value from args join slice using (arg_set_id) where name = 'POST /order/{}' "
                "and track_id not in (select id from thread_track)"
            )
        )
        waited = dict(
            trace.rows(
                "select key, display_value from args join slice using (arg_set_id) where name = 'lock' "
                "and track_id not in (select id from thread_track)"
            )
        )
    assert said["debug.id"] == "2"
    assert said["debug.target"] == "/order/2"
    assert said["debug.verdict.mechanism"] == "lock"
    assert float(said["debug.ledger ms.lock"]) == 450
    assert float(said["debug.ledger ms.unaccounted"]) == 0
    assert waited["debug.in"] == "Cache.get (cache.py:61)"
    assert waited["debug.stack"].endswith("ThreadWorker.handle (gthread.py:281)")
    assert waited["debug.ended by"] == "worker-3 (tid 4321)"


def test_requests_at_the_same_time_lie_in_rows_of_their_own(tmp_path):
    """Four overlap; what a slice holds never leaves it, although waits that are told overlap and outlast it."""
    records = [exporting.slow_order(number, 1000 + 100 * number) for number in range(4)]
    waits = (*records[0].waits, m.wait("disk", 900, started_ns=records[0].started_ns + 100 * m.MS))
    records[0] = exporting.changed(records[0], waits=waits)
    with trace_of(tmp_path, records) as trace:
        rows = trace.rows(
            "select track.name as track, depth, count(*) as n from slice join track on track_id = track.id "
            "group by track_id, depth"
        )
        outside = trace.rows(
            "select part.name from slice part join slice whole on part.parent_id = whole.id "
            "where part.ts < whole.ts or part.ts + part.dur > whole.ts + whole.dur"
        )
    assert outside == []
    assert sorted(row for row in rows if row[0] == "POST /order/{}" and row[1] == 0) == [("POST /order/{}", 0, 1)] * 4


def test_threads_have_their_requests_states_waits_and_collections(tmp_path):
    order = exporting.slow_order(3, 1500)
    outside = m.wait("sleep", 200, started_ns=around.at(100))
    records = [
        around.threads(0, around.thread(4320, "D"), around.thread(4313, "R")),
        PythonSample(around.at(1), 4313, "3.12.1", 0, 0, 0, (), True, (), (ThreadName(4313, "MainThread"),)),
        ThreadWait(around.at(300), 4313, 4320, outside),
        around.threads(1000, around.thread(4320, "D"), around.thread(4313, "T")),
        order,
        GcPause(around.at(1600), 4313, 4313, around.at(1550), 40 * m.MS, None, 2, None, "probe", 9),
        around.threads(2000, around.thread(4320, "R")),
    ]
    with trace_of(tmp_path, records) as trace:
        on_threads = trace.rows(ON_THREADS)
        beside = {(one[1], one[3]): one[4:] for one in trace.rows(BY_TRACK) if one[0] != "Requests"}
    [wait] = order.waits
    began, locked = order.started_ns, resumed_at(wait) - wait.started_ns
    assert on_threads == [
        (4313, 4313, "MainThread", 0, "POST /order/{}", began, order.ended_ns - began),
        (4313, 4313, "MainThread", 1, "lock", wait.started_ns, locked),
    ]
    assert beside["state, as it was read", "fault"] == (1, 2000 * m.MS)
    assert beside["state, as it was read", "on_cpu"] == (1, 1000 * m.MS)
    assert beside["state, as it was read", "other"] == (1, 1000 * m.MS)
    assert beside["waits, outside of requests", "sleep"] == (1, 200 * m.MS)
    assert beside["garbage collector", "gc"] == (1, 40 * m.MS)


def test_counters_are_rates_of_two_records(tmp_path):
    records = [
        around.cpu(0, (0, 0)),
        around.disk(0),
        around.memory(0, available=5000),
        around.cpu(1000, (500, 900), runnable=(1, 3)),
        around.disk(1000, queue_ms=2500),
        exporting.slow_order(1, 1000),
    ]
    with trace_of(tmp_path, records) as trace:
        assert trace.rows(COUNTED.format("CPU busy")) == [(around.at(1000), pytest.approx(70))]
        assert trace.rows(COUNTED.format("run queue")) == [(around.at(500), 1), (around.at(1000), 3)]
        assert trace.rows(COUNTED.format("disk queue vda")) == [(around.at(1000), pytest.approx(2.5))]
        assert trace.rows(COUNTED.format("memory available")) == [(around.at(0), 5000)]


def test_arrows_lead_into_the_service_that_was_called(tmp_path):
    """Its request comes a moment before the caller's thread has sent it, by the kernel's own account."""
    call = two_ends.call(10, 90)
    records = [*two_ends.MEMBERS, two_ends.callee(2, 9.8, 88), two_ends.caller_of(1, 90.5, call)]
    with trace_of(tmp_path, records, two_ends.INFO) as trace:
        arrows = trace.rows(ARROWS)
        processes = dict(trace.rows("select pid, name from process where pid > 0"))
    assert processes == {two_ends.FRONT: "uvicorn", 4401: "gunicorn"}
    assert arrows == [("GET /buy/{} @4312", "GET /price/{}"), ("GET /buy/{} @4312", "GET /price/{} @4400")]


def test_a_recording_may_claim_anything(tmp_path):
    """Names that are markup or controls, numbers out of any bounds, slices that end before they begin."""
    wild = exporting.changed(
        exporting.slow_order(2**62, 1600, code=(exporting.HOSTILE, exporting.RUNNING)),
        pid=2**40,
        tid=2**41,
        arrived_ns=-(2**62),
        started_ns=2**63 - 1,
        target="/\x1b[2J\u202e",
        remote="\x00",
    )
    backwards = exporting.changed(exporting.slow_order(5, 900), started_ns=m.START + 2**50, arrived_ns=m.START + 2**50)
    with trace_of(tmp_path, [exporting.slow_order(1, 1000), backwards, wild]) as trace:
        names = {name for (name,) in trace.rows("select name from slice union select string_value from args")}
    assert all(name.isprintable() for name in names if name)


@pytest.mark.slow
@needs_perfetto
def test_the_user_interface_shows_it(tmp_path):
    file = exporting.recorded(tmp_path / "shop", fake_records.generate(10), fake_records.session_info())
    with shown(exporting.exported(file, "perfetto"), tmp_path) as page:
        for name in ("POST /order/{}", fake_records.POSTGRES, "run queue", "requests in flight", "gunicorn 4313"):
            page.until(f"document.body.innerText.includes({name!r})")
        page.picture(tmp_path / "perfetto.png")
