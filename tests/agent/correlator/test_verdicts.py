"""The verdicts on endpoints and on the session."""

import making as m
import pytest

from perfwatch.agent.report import correlate


def drive(records, **changes):
    return correlate(m.info(**changes), records)[0]


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


def orders(count=40, slow=10, **fields):
    """POST /order/N: usually 30 ms of CPU, at times 340 ms more for a lock."""
    made = []
    for n in range(1, count + 1):
        late = n > count - slow
        spent = {"on_cpu": 10} | ({"lock": 340, "calls": 60} if late else {})
        waits = (m.wait("lock", 340, detail="0x7f02", waker=m.waker(900 + n)),) if late else ()
        made.append(m.served(n, n * 100, method="POST", target=f"/order/{n}", waits=waits, **spent, **fields))
    return made


def test_an_endpoint_is_judged_by_the_mean_of_its_slow_requests():
    view = drive(orders())
    [endpoint] = view.endpoints
    assert (endpoint.method, endpoint.route) == ("POST", "/order/{}")
    assert (endpoint.count, endpoint.slow_count, endpoint.judged_count) == (40, 10, 10)
    assert endpoint.ledger.total_ns == 410 * m.MS
    assert endpoint.ledger["lock"] == 340 * m.MS
    assert endpoint.verdict.mechanism == "lock"
    assert endpoint.verdict.share == pytest.approx(340 / 410, abs=1e-4)
    assert endpoint.verdict.summary == "POST /order/{} is slow (p95 410 ms): 83 % of it waits for a lock"
    assert endpoint.verdict == view.verdict
    assert facts(endpoint.verdict)["lock"] == "0x7f02"
    assert "lock took 340.0 ms of 410.0 ms on average, over 10 requests" in [
        one.text for one in endpoint.verdict.evidence
    ]
    assert endpoint.verdict.advice


def test_evidence_is_what_most_of_them_name():
    peers = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.2:80"]
    records = [m.served(n, n, calls=600, peers=(m.peer(address, 600),)) for n, address in enumerate(peers)]
    verdict = drive(records).verdict
    assert verdict.summary == "GET / is slow (p95 600 ms): 100 % of it waits for 10.0.0.2:80"
    [text] = [one.text for one in verdict.evidence if one.name == "peer"]
    assert text.endswith("(the latest; so in 3 of 5)")


def test_what_hardly_any_of_them_share_is_left_out():
    records = [m.served(n, n, lock=600, waits=(m.wait("lock", 600, detail=hex(n)),)) for n in range(10)]
    assert "lock" not in facts(drive(records).verdict)


def test_rare_slow_requests_are_called_so():
    records = [*(m.served(n, n, ms=5) for n in range(100)), m.served(1000, 200, sleep=900)]
    assert drive(records).verdict.summary == "GET / is slow at times (900 ms on average): 100 % of it is sleep"


def test_an_endpoint_may_be_undecided():
    mixed = [m.served(n, n, lock=200, calls=200, on_cpu=200) for n in range(10)]
    verdict = drive(mixed).endpoints[0].verdict
    assert verdict.principle == "unknown"
    assert verdict.summary.endswith("no single cause: lock 33 % and dependency 33 %")


def test_disagreement_lowers_confidence():
    agreeing = drive([m.served(n, n, lock=450, calls=150) for n in range(8)]).verdict
    split = [m.served(n, n, **({"lock": 600} if n % 4 else {"calls": 600})) for n in range(8)]
    disagreeing = drive(split).verdict
    assert agreeing.mechanism == disagreeing.mechanism == "lock"
    assert agreeing.share == disagreeing.share == 0.75
    assert disagreeing.confidence < agreeing.confidence


def test_the_session_is_judged_by_what_costs_its_users_most():
    records = orders()
    records += [m.served(100 + n, n, disk=600, target="/report") for n in range(3)]
    records += [m.served(200 + n, n, ms=5, target="/quick") for n in range(100)]
    view = drive(sorted(records, key=lambda record: record.at_ns))
    assert [one.route for one in view.endpoints] == ["/order/{}", "/report", "/quick"]
    assert view.verdict == view.endpoints[0].verdict


def test_without_slow_requests_all_is_healthy():
    view = drive([m.served(n, n * 1000, ms=5 + n, target=f"/i/{n}") for n in range(1, 14)])
    assert view.verdict.principle == "healthy"
    assert view.verdict.summary == "no slow request in 13.0 s (13 requests); slowest 18 ms, GET /i/{}"
    [endpoint] = view.endpoints
    assert endpoint.verdict.summary == "nothing slow in 13 requests; slowest 18 ms"
    assert endpoint.judged_count == 0
    assert endpoint.ledger["on_cpu"] == endpoint.ledger.total_ns == 12 * m.MS


def test_before_the_first_request_nothing_is_known():
    view = drive([m.host(12_000, 0, 0)])
    assert (view.verdict.principle, view.verdict.mechanism) == ("unknown", None)
    assert view.verdict.summary == "no request seen yet, in 12.0 s of watching 127.0.0.1:8000"
    assert view.latency_ms is None
    assert view.endpoints == ()


def test_before_the_first_record_there_is_a_view_all_the_same():
    view = drive([])
    assert (view.now_ns, view.first_ns, view.timeline) == (0, 0, ())


def test_a_deadlock_is_no_healthy_session():
    stuck = [m.opened(n, 3000, 5000, target=f"/stuck/{n}", detail="0x7f02") for n in range(4)]
    view = drive([m.served(50, 1000, ms=5), m.in_flight(5000, *stuck)])
    assert view.verdict.mechanism == "lock"
    assert view.verdict.summary == (
        "4 requests in flight, the oldest GET /stuck/{} for 3.00 s: 100 % of it waits for a lock"
    )
    assert facts(view.verdict)["lock"] == "0x7f02"


def test_and_that_before_any_request_has_ended():
    view = drive([m.in_flight(5000, m.opened(1, 2000, 5000, "calls", peer="10.0.0.5:5432"))])
    assert view.verdict.mechanism == "dependency"
    assert facts(view.verdict)["peer"] == "10.0.0.5:5432"


@pytest.mark.parametrize(("age_ms", "mechanism"), [(900, "disk"), (40_000, "lock")])
def test_what_hangs_must_outweigh_the_rest_or_be_old(age_ms, mechanism):
    past = [m.served(100 + n, n * 100, disk=600, target="/report") for n in range(100)]
    view = drive([*past, m.in_flight(50_000, m.opened(1, age_ms, 50_000))])
    assert view.verdict.mechanism == mechanism


def test_what_takes_as_long_as_usual_does_not_hang():
    past = [m.served(100 + n, n * 100, disk=2000, target="/report") for n in range(3)]
    view = drive([*past, m.in_flight(2000, m.opened(1, 1900, 2000, target="/report"))])
    assert view.verdict.mechanism == "disk"
