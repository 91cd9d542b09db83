"""The JSON contract, field by field, and that it says what the correlator said."""

import json
import typing

import fake_records
import making as m
import msgspec
import pytest
import queued
from report_shape import CONTRACT, MAYBE, faults

from perfwatch.agent import report_contract as contract
from perfwatch.agent import report_contract_calls as call_contract
from perfwatch.agent import report_contract_queues as queue_contract
from perfwatch.agent.model import Container, ProbeStatus, TargetInfo
from perfwatch.agent.report import build, correlate, to_json, to_text
from perfwatch.agent.report_drawn import drawn_of
from perfwatch.agent.report_html.document import to_html
from perfwatch.agent.report_markdown import to_markdown
from perfwatch.probes.records import Loss

CONTAINER = Container("ab" * 32, "docker", "shop", "shop:1.2", "default/shop-7f")


def report_of(stream, info=None, **options):
    info = info or m.info()
    view, judged = correlate(info, stream)
    report = build(info, view, judged, **options)
    return view, judged, json.loads(to_json(report))


def full():
    """A report in which nothing is empty."""
    info = fake_records.session_info()
    stream = (*fake_records.generate(20), Loss(fake_records.START_NS + 10**10, "ledger", 3, "full"))
    view, judged = correlate(info, stream)
    view = queued.crowded(view)
    return view, judged, json.loads(to_json(build(info, view, judged)))


def test_every_field_of_the_contract_is_there():
    _, _, report = full()
    assert list(faults(report, CONTRACT)) == []
    assert report["schema"] == "perfwatch.report/1"
    for key in ("endpoints", "in_flight", "slow_requests"):
        assert report[key], f"nothing in {key} to check"
    for key in CONTRACT["queues"]:
        assert report["queues"][key], f"nothing in queues.{key} to check"
    for key in ("blockers", "calls"):
        assert any(one[key] for one in report["slow_requests"]), f"no {key} to check"
    assert report["downstream"]
    assert any(one["downstream"] for one in report["endpoints"])


def test_the_check_itself_finds_faults():
    _, _, report = full()
    del report["session"]["host"]["cpus"]
    report["endpoints"][0]["count"] = "4"
    report["slow_requests"][0]["slow"] = 1
    report["slow_requests"][0]["pid"] = True
    assert sorted(fault.split(" ")[0] for fault in faults(report, CONTRACT)) == [
        "report.endpoints[0].count",
        "report.session.host.cpus",
        "report.slow_requests[0].pid",
        "report.slow_requests[0].slow",
    ]


def test_the_structs_describe_the_json():
    info = fake_records.session_info()
    view, judged = correlate(info, fake_records.generate(5))
    report = build(info, queued.crowded(view), judged)
    assert msgspec.json.decode(to_json(report), type=contract.Report) == report


def test_every_struct_of_the_contract_is_documented():
    modules = (contract, queue_contract, call_contract)
    classes = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    structs = {one for one in classes if issubclass(one, contract.Struct)}
    assert len(structs) > 18
    assert all(one.__doc__ and typing.get_type_hints(one) is not None for one in structs)


def test_an_empty_session_has_every_key_too():
    view, _, report = report_of([])
    shape = CONTRACT | {
        "requests": CONTRACT["requests"] | {"latency_ms": MAYBE},
        "session": CONTRACT["session"] | {"cost": MAYBE},
        "queues": CONTRACT["queues"] | {"threads": MAYBE},
        "saturation": CONTRACT["saturation"] | {"psi": MAYBE},
    }
    assert list(faults(report, shape)) == []
    assert report["verdict"]["summary"] == view.verdict.summary


def test_figures_are_those_of_the_view():
    view, judged, report = full()
    assert report["requests"]["count"] == view.count
    assert report["requests"]["slow_count"] == view.slow_count
    assert report["requests"]["latency_ms"]["p95"] == view.latency_ms.p95
    assert report["verdict"]["summary"] == view.verdict.summary
    assert [one["route"] for one in report["endpoints"]] == [one.route for one in view.endpoints]
    assert len(report["slow_requests"]) == len({one.record.id for one in judged})
    assert report["lost"] == view.lost == 3
    assert [(one["name"], one["lost"]) for one in report["session"]["probes"]] == [("ledger", 3), ("host", 0)]


def test_ledgers_add_up_to_the_nanosecond():
    _, judged, report = full()
    for one, request in zip(report["slow_requests"], judged, strict=True):
        total = round(sum(one["ledger_ms"].values()) * 1e6) + round(one["unaccounted_ms"] * 1e6)
        assert total == round(one["duration_ms"] * 1e6) == request.ledger.total_ns


def test_of_a_corrected_request_the_last_stands():
    _, judged, report = report_of([m.served(1, 1000, lock=600), m.served(1, 2000, lock=600, send=900)])
    assert len(judged) == 2
    [listed] = report["slow_requests"]
    assert (listed["duration_ms"], listed["mechanism"]) == (1500, "network")


def test_times_are_unix_seconds():
    _, _, report = report_of([m.served(1, 1000, lock=600)])
    assert report["session"]["started_at"] == 1_790_000_000
    assert report["slow_requests"][0]["start"] == pytest.approx(1_790_000_000.4)


def test_usual_requests_of_an_always_slow_endpoint_are_told_from_slow_ones():
    _, _, report = report_of([m.served(n, n, ms=50) for n in range(5)] + [m.served(9, 9, ms=600)])
    assert [one["slow"] for one in report["slow_requests"]] == [False] * 5 + [True]
    assert report["requests"]["slow_count"] == 1


def test_blockers_are_summed_by_thread_and_request():
    waits = (
        m.wait("lock", 100, waker=m.waker(7, 11)),
        m.wait("gil", 50, waker=m.waker(8, 12)),
        m.wait("lock", 200, waker=m.waker(7, 11)),
        m.wait("lock", 30),
        m.wait("calls", 120, waker=m.waker(None, 13)),
    )
    _, _, report = report_of([m.served(1, 1000, lock=330, gil=50, calls=120, on_cpu=100, waits=waits)])
    blockers = report["slow_requests"][0]["blockers"]
    assert [(one["kind"], one["tid"], one["request"], one["share"]) for one in blockers] == [
        ("lock", 11, 7, 0.5),
        ("gil", 12, 8, 0.0833),
    ]


def test_who_had_the_cpu_is_a_blocker_but_for_the_time_that_a_quota_took():
    waits = (
        m.wait("lock", 100, runnable_ns=50 * m.MS, ahead=m.waker(3, 21, "hog"), waker=m.waker(7, 11)),
        m.wait("run_queue", 0, runnable_ns=200 * m.MS, throttled_ns=120 * m.MS, ahead=m.waker(3, 21, "hog")),
        m.wait("run_queue", 0, runnable_ns=90 * m.MS, throttled_ns=90 * m.MS, ahead=m.waker(None, 22)),
        m.wait("run_queue", 0, runnable_ns=60 * m.MS),
    )
    stream = [m.served(1, 1000, lock=100, run_queue=400, on_cpu=500, waits=waits, throttled_ns=210 * m.MS)]
    _, _, report = report_of(stream)
    [request] = report["slow_requests"]
    assert [(one["kind"], one["tid"], one["thread"], one["request"], one["share"]) for one in request["blockers"]] == [
        ("run_queue", 21, "hog", 3, 0.13),
        ("lock", 11, "worker-3", 7, 0.1),
    ]
    assert (request["throttled_ms"], request["fidelity"]) == (210, "exact")


def test_of_an_estimated_request_the_report_says_so():
    _, _, report = report_of([m.served(1, 1000, lock=600, fidelity="sampled")])
    assert report["slow_requests"][0]["fidelity"] == "sampled"


def test_what_only_the_caller_knows_is_taken_from_it():
    info = m.info(probes=(ProbeStatus("ledger", "running"), ProbeStatus("host", "unavailable", "no /proc")))
    _, _, report = report_of([], info, records={"ledger": 12}, notes=["2 of 600 seconds are damaged"])
    assert [one["records"] for one in report["session"]["probes"]] == [12, None]
    assert report["notes"] == ["2 of 600 seconds are damaged"]


def test_without_a_list_the_judged_requests_of_the_view_are_taken():
    info = m.info()
    view, _ = correlate(info, (m.served(n, n, ms=600) for n in range(1, 1102)))
    report = build(info, view)
    assert len(report.slow_requests) == 1000
    assert report.notes == ["only the last 1000 judged requests are listed"]


def test_the_list_is_bounded():
    info = m.info()
    view, judged = correlate(info, (m.served(n, n, ms=600) for n in range(1, 10_004)))
    report = build(info, view, judged)
    assert (len(report.slow_requests), report.slow_requests_omitted) == (10_000, 3)
    assert report.slow_requests[-1].id == 10_003
    assert report.notes == ["3 judged requests are left out of the list, the oldest ones"]


def test_the_container_is_told_in_every_form():
    info = m.info(container=CONTAINER)
    view, judged = correlate(info, [m.served(1, 1, lock=600)])
    report = build(info, view, judged)
    assert json.loads(to_json(report))["session"]["container"] == msgspec.to_builtins(CONTAINER)
    for text in (to_text(report, 100), to_markdown(report), to_html(report, drawn_of(report, info, view, judged))):
        assert "container shop (shop:1.2), pod default/shop-7f, docker" in text.replace("\\", "")
    unnamed = build(m.info(container=Container("ab" * 32)), view, judged)
    assert "in container abababababab\n" in to_text(unnamed, 100)
    assert "container" not in to_text(build(m.info(), view, judged), 100)


def test_of_several_targets_each_has_its_own_container():
    front = TargetInfo(4312, "gunicorn shop:app", "3.12.4", "gunicorn", None, CONTAINER)
    back = TargetInfo(4400, "uvicorn stock:app", "3.12.4", "uvicorn", None, Container("cd" * 32, name="stock"))
    info = m.info(pid=4312, container=CONTAINER, targets=(front, back))
    view, judged = correlate(info, [m.served(1, 1, lock=600)])
    report = build(info, view, judged)
    text = to_text(report, 120)
    assert "\npid 4312 in container shop (shop:1.2), pod default/shop-7f, docker\n" in text
    assert "and pid 4400 · uvicorn · Python 3.12.4: uvicorn stock:app, in container stock\n" in text
    assert [one.container.name for one in report.session.targets] == ["shop", "stock"]


def test_names_that_are_no_text_can_be_written():
    _, _, report = report_of([], m.info(command="gunicorn \udcff", hostname="h\udc80"))
    assert report["session"]["command"] == "gunicorn ?"
