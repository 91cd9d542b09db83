"""Opportunities: what is noted of a request, what is added up, and that corrections take it back."""

import making as m
import msgspec
import pytest

from perfwatch.agent.correlator.chances.sums import SHOWN, Chances
from perfwatch.agent.report import correlate
from perfwatch.probes.records import Call
from perfwatch.probes.samples import Connection

PEER = "10.0.0.5:5432"


def found(records, **changes):
    return correlate(m.info(**changes), records)[0].opportunities


def only(records, **changes):
    [one] = found(records, **changes)
    return one


def call(at_ms, ms, operation="SELECT ?", **fields):
    started_ns = m.START + round(at_ms * m.MS)
    made = {
        "started_ns": started_ns,
        "connected_ns": None,
        "secured_ns": None,
        "sent_ns": started_ns + 1000,
        "answered_ns": started_ns + round(ms * m.MS) - 1000,
        "ended_ns": started_ns + round(ms * m.MS),
        "peer": PEER,
        "local": "127.0.0.1:40000",
        "connection": 1,
        "tid": 4313,
        "protocol": "postgresql",
        "operation": operation,
        "sent_bytes": 100,
        "received_bytes": 100,
    }
    return Call(**(made | fields))


def served(*arguments, calls=(), **fields):
    """As `making.served`, whose `calls` are a bucket's time."""
    return msgspec.structs.replace(m.served(*arguments, **fields), calls=calls)


def asking(number, **fields):
    """A GET that asks for the same, ten times a second, for 8 ms of work."""
    return served(number, number * 100, **({"asked": 7, "on_cpu": 8, "target": "/report"} | fields))


def facts(one):
    return {fact.name: fact.value for fact in one.evidence}


def test_identical_requests_that_do_identical_work_could_be_kept():
    one = only([asking(n) for n in range(20)])
    assert (one.kind, one.endpoint, one.count, one.saves_ms) == ("cache", ("GET", "/report"), 19, 8.0)
    assert one.text == (
        "GET /report: 19 of 20 requests repeated, within a minute, the work of one like it: "
        "a cache would save 8.0 ms of each"
    )
    assert facts(one) == {"repeated": 19, "example": "/report", "on_cpu_ms": 8.0}
    assert one.advice


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda n: {"asked": n}, id="another query"),
        pytest.param(lambda _: {"asked": None}, id="a query that was not seen"),
        pytest.param(lambda _: {"method": "POST"}, id="not a GET"),
        pytest.param(lambda _: {"status": 404}, id="not found"),
        pytest.param(lambda _: {"on_cpu": 1}, id="too little work"),
        pytest.param(lambda n: {"on_cpu": 8 + 30 * (n % 2)}, id="another work"),
        pytest.param(lambda n: {"sent_bytes": 1000 + 100 * n}, id="another answer"),
        pytest.param(lambda n: {"calls": (call(n * 100, 2, f"SELECT {n}"),)}, id="other calls"),
        pytest.param(lambda n: {"calls": (call(n * 100, 2, "UPDATE t SET a = ?"),)}, id="it writes"),
        pytest.param(lambda n: {"calls": (call(n * 100, 2, kind="publish"),)}, id="it publishes"),
        pytest.param(lambda _: {"calls_lost": 3}, id="not all of its calls are known"),
    ],
)
def test_what_is_not_the_same_is_no_reason_for_a_cache(change):
    assert found([asking(n, **change(n)) for n in range(20)]) == ()


def test_long_ago_or_seldom_is_no_reason_for_a_cache():
    assert found([m.served(n, n * 61_000, asked=7, on_cpu=8) for n in range(20)]) == ()
    rare = [asking(n) for n in range(10)] + [asking(n, asked=n) for n in range(100, 200)]
    assert found(rare) == ()


def test_static_files_are_told_by_folder():
    paths = ("/static/a.css", "/static/js/b.js", "/static/img/c.png", "/logo.SVG")
    records = [m.served(n, n * 10, ms=2, sent_bytes=5000, target=paths[n % 4]) for n in range(40)]
    records += [m.served(100 + n, n * 10, ms=2, target="/static") for n in range(2)]
    kinds = {one.endpoint: one for one in found(records)}
    folder = next(one for endpoint, one in kinds.items() if endpoint[1].startswith("/static"))
    assert (folder.kind, folder.count, folder.saves_ms) == ("static", 32, 2.0)
    assert "(4 routes)" in folder.text
    assert kinds["GET", "/logo.SVG"].count == 10
    assert found([m.served(n, n * 10, ms=2, target="/report.pdf", method="GET") for n in range(40)]) == ()
    assert found([m.served(n, n * 10, ms=2, target="/static/a.css", method="POST") for n in range(40)]) == ()


def test_large_texts_as_they_are_could_be_compressed():
    def answered(body, **spent):
        return [m.served(n, n * 10, sent_bytes=60_000, body=body, **(spent or {"ms": 2})) for n in range(10)]

    one = only(answered("text", on_cpu=1, send=10))
    assert (one.kind, one.count, one.saves_ms) == ("compress", 10, 7.0)
    assert facts(one)["sent_bytes"] == 600_000
    assert only(answered("text")).saves_ms is None
    for body in ("compressed", "other", None):
        assert found(answered(body)) == ()


def test_calls_that_could_overlap_are_told_of_judged_requests():
    def asked_twice(n, ms):
        calls = [call(n * 1000 - 2 * ms + one * ms, ms, f"GET /{one}", protocol="http/1") for one in range(2)]
        return m.served(n, n * 1000, calls=2 * ms, peers=(m.peer(PEER, 2 * ms),)), tuple(calls)

    records = [
        msgspec.structs.replace(record, calls=calls) for record, calls in (asked_twice(n, 40) for n in range(1, 8))
    ]
    one = only(records)
    assert (one.kind, one.count, one.saves_ms) == ("overlap-calls", 7, 40.0)
    assert f"GET /0 at {PEER}; GET /1 at {PEER}" in facts(one)["example"]


def in_conflict(n, *operations, at=1, **fields):
    """A transaction of calls of 2 ms each, one of which may be answered with a conflict."""
    begin = n * 100 - 2 * len(operations)
    calls = tuple(
        call(begin + 2 * place, 2, operation, **(fields if place == at else {}))
        for place, operation in enumerate(operations)
    )
    return served(n, n * 100, ms=2 * len(operations), calls=calls)


AGAIN = ("BEGIN", "UPDATE a", "ROLLBACK", "BEGIN", "UPDATE a", "COMMIT")


@pytest.mark.parametrize(
    ("operations", "fields", "lost_ms"),
    [
        pytest.param(AGAIN, {}, 6.0, id="rolled back and done again"),
        pytest.param(AGAIN, {"conflict": True}, 6.0, id="refused, rolled back and done again: once"),
        pytest.param(
            ("SELECT ?", "UPDATE a", "UPDATE a"), {"conflict": True}, None, id="its beginning is not done again"
        ),
        pytest.param(("UPDATE b", "UPDATE b"), {"conflict": True, "at": 0}, 2.0, id="without a transaction"),
        pytest.param(("BEGIN", "UPDATE a", "ROLLBACK"), {}, None, id="given up"),
        pytest.param(("BEGIN", "UPDATE a", "COMMIT", "BEGIN", "UPDATE a", "COMMIT"), {}, None, id="no conflict"),
    ],
)
def test_work_that_is_done_again_after_a_conflict(operations, fields, lost_ms):
    chances = found([in_conflict(n, *operations, **fields) for n in range(1, 8)])
    if lost_ms is None:
        assert chances == ()
        return
    [one] = chances
    assert (one.kind, one.count, one.saves_ms) == ("retries", 7, lost_ms)
    assert "7 times in all" in one.text


def test_connections_that_are_used_once_are_told():
    def opening(n):
        started_ns = m.START + (n * 100 - 10) * m.MS
        return m.served(n, n * 100, calls=10, calls_lost=0), call(
            n * 100 - 10, 10, connection=n, connected_ns=started_ns + 4 * m.MS, secured_ns=started_ns + 7 * m.MS
        )

    def connection(n, resumed):
        return Connection(
            *(m.START + n, n, "connected", "127.0.0.1:1", PEER, m.START, m.MS, 3 * m.MS, "TLSv1.3", resumed, 0),
            *(False, None, None, None),
        )

    records = [msgspec.structs.replace(record, calls=(one,)) for record, one in map(opening, range(1, 20))]
    reuse = only(records)
    assert (reuse.kind, reuse.count, reuse.saves_ms) == ("reuse-connections", 19, pytest.approx(7.0, abs=0.01))
    kinds = [one.kind for one in found([*records, *(connection(n, False) for n in range(19))])]
    assert kinds == ["reuse-connections", "resume-tls"]
    assert [one.kind for one in found([*records, *(connection(n, n > 4) for n in range(19))])] == ["reuse-connections"]
    assert [one.kind for one in found([*records, *(connection(n, None) for n in range(19))])] == ["reuse-connections"]


def test_a_correction_takes_back_what_was_noted():
    records = [asking(n, body="text", sent_bytes=9000) for n in range(20)]
    again = [msgspec.structs.replace(one, at_ns=one.at_ns + 9000 * m.MS) for one in records]
    assert found([*records, *again]) == found(records)
    gone = [m.served(n, 9000 + n, ms=1) for n in range(20)]
    assert found([*records, *gone]) == ()


def test_what_saves_most_is_first_and_there_are_not_too_many():
    records = [
        m.served(100 * route + n, n * 10, on_cpu=route, asked=route, target=f"/r/{'x' * route}")
        for route in range(3, 33)
        for n in range(10)
    ]
    chances = found(records)
    assert len(chances) == SHOWN
    assert [one.saves_ms for one in chances] == sorted((one.saves_ms for one in chances), reverse=True)


def test_sums_are_bounded():
    chances = Chances()
    for number in range(5000):
        record = m.served(number, number, ms=3, target=f"/static/{'y' * (number % 50)}{number}.css", asked=number)
        request = correlate(m.info(slow_ms=1), [record])[1][0] if number < 1 else None
        if request is not None:
            template = request
        chances.take(msgspec.structs.replace(template, record=record, route=record.target), judged=False, earlier=None)
    assert len(chances) <= 1024
