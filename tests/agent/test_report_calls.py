"""What a report says of calls to other processes, and of those that kept an event loop: as JSON and as text."""

import json
import math

import asking as a
import making as m
import msgspec
import pytest

from perfwatch.agent.call_bars import drawn, stretches
from perfwatch.agent.correlator.call_times import PARTS
from perfwatch.agent.model import FrameShare
from perfwatch.agent.report import build, correlate, to_json, to_text
from perfwatch.agent.report_cells import cells
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import MAX_CALLS, MAX_OPERATION_CHARS, PeerProcess

EVIL = "\x1b[2J\u202e" + "漢" * 60
SLEEPS = Frame("slow", "/srv/shop/app.py", 12)


def report_of(*records):
    view, judged = correlate(m.info(), records)
    return build(m.info(), view, judged)


def json_of(*records):
    return json.loads(to_json(report_of(*records)))


def section(text, title):
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(f"── {title} "))
    return [line.rstrip() for line in lines[start + 1 : lines.index("", start)]]


def called(text):
    return section(text, "the slowest requests: their calls, and who kept their loop")


def order(request_id=4, at_ms=1000.0, **fields):
    """A request of 600 ms that asked twelve times for 30 ms, on a new connection, and once for 120 ms."""
    start = at_ms - 480
    calls = [a.call(start + 30 * n, 30) for n in range(1, 12)]
    first = a.call(start, 20, connect=5, tls=5)
    last = a.call(at_ms - 120, 60, transfer=60, operation="COMMIT")
    return a.asks(m.served(request_id, at_ms, on_cpu=120, calls=480, target="/order"), first, *calls, last, **fields)


def test_each_call_is_told_with_its_stretches():
    record = order()
    call = msgspec.structs.replace(record.calls[0], stack=0, read_ns=record.calls[0].answered_ns + 2 * m.MS)
    record = msgspec.structs.replace(record, calls=(call, *record.calls[1:]), calls_lost=3, code=m.stacks((SLEEPS,)))
    [request] = json_of(record)["slow_requests"]
    assert (len(request["calls"]), request["call_count"], request["culprits"]) == (13, 16, [])
    assert request["calls"][0] == {
        "peer": a.POSTGRES,
        "protocol": "postgresql",
        "operation": a.SELECT,
        "kind": "call",
        "outcome": "answered",
        "offset_ms": 120,
        "duration_ms": 30,
        "connect_ms": 5,
        "tls_ms": 5,
        "send_ms": 0,
        "wait_ms": 20,
        "transfer_ms": 0,
        "unread_ms": 2,
        "new_connection": True,
        "sent_bytes": 60,
        "received_bytes": 400,
        "pid": 4313,
        "tid": 4313,
        "local": "10.0.3.9:50001",
        "function": "slow",
        "file": "/srv/shop/app.py",
        "line": 12,
    }
    assert request["calls"][1]["new_connection"] is False
    assert request["calls"][1]["function"] is None


def test_calls_are_summed_for_the_session_and_each_endpoint():
    report = json_of(order(1, 1000), order(2, 2000), m.served(3, 3000, ms=600))
    [commit, select] = sorted(report["downstream"], key=lambda one: one["operation"])
    assert (select["count"], select["requests"], select["per_request"]) == (24, 2, 12)
    assert (commit["count"], commit["transfer_share"]) == (2, 0.5)
    by_route = {one["route"]: one["downstream"] for one in report["endpoints"]}
    assert (by_route["/order"], by_route["/"]) == (report["downstream"], [])


def blocked(**fields):
    """A request that waited 58 ms for another one, and one that was in nobody's way."""
    record = m.served(1, 1000, loop=62, sleep=540, target="/victim")
    culprits = (a.culprit(9, 58), a.culprit(None, 4, None, None))
    return msgspec.structs.replace(record, culprits=culprits, **fields)


def test_who_kept_the_loop_is_told_with_what_it_did_by_its_own_verdict():
    view, judged = correlate(m.info(), [m.served(9, 900, sleep=580, target="/block"), blocked()])
    place = FrameShare("slow", "/srv/shop/app.py", 12, 0.9, "time.sleep")
    judged[0] = msgspec.structs.replace(judged[0], frames=(place,))
    report = build(m.info(), view, judged)
    [victim] = [one for one in report.slow_requests if one.id == 1]
    told = [(one.request, one.held_ms, one.share, one.function, one.line, one.called) for one in victim.culprits]
    assert told == [(9, 58, 0.0963, "slow", 12, "time.sleep"), (None, 4, 0.0066, None, None, None)]
    assert called(to_text(report))[1] == (
        "   loop  62 ms, kept by GET /block 58 ms (time.sleep in slow() at app.py:12), the loop itself 4.0 ms"
    )


def test_who_kept_the_loop_is_told_by_where_it_was_when_it_let_go():
    wait = m.wait("loop", 58, waker=m.waker(9), waker_stack=0)
    report = report_of(blocked(waits=(wait,), code=m.stacks((SLEEPS,))))
    [victim] = report.slow_requests
    assert [(one.function, one.called) for one in victim.culprits] == [("slow", None), (None, None)]


def test_where_nobody_knows_what_it_did_its_name_is_told():
    assert "kept by GET /block 58 ms, the loop itself 4.0 ms" in to_text(report_of(blocked()))


def test_many_culprits_are_told_as_the_first_and_the_rest():
    record = msgspec.structs.replace(blocked(), culprits=tuple(a.culprit(n, 9 - n) for n in range(8)))
    assert "GET /block 7.0 ms, and 5 others 20 ms" in " ".join(" ".join(called(to_text(report_of(record)))).split())


def test_calls_of_the_slowest_are_folded_and_drawn():
    lines = called(to_text(report_of(order())))
    assert lines == [
        "14:13:20.400  #4  GET /order  600 ms",
        "    12x SELECT * FROM t WHERE id = ?                   360 ms    30 ms each  ····░░░░░░░░░░░░····",
        "        COMMIT                                         120 ms                ················░░==",
        "   + connect, # tls, > send, ░ wait, = transfer",
    ]


def test_of_each_endpoint_the_slowest_is_told_and_then_others():
    def slow(request_id, ms, target):
        return a.asks(m.served(request_id, 1000 * request_id, ms=ms, target=target), a.call(500, 1))

    orders = [slow(n, 800 + n, "/order") for n in range(1, 10)]
    report = report_of(*orders, slow(20, 700, "/search"), slow(21, 750, "/search"), m.served(22, 22_000, ms=900))
    told = [line.split()[1] for line in called(to_text(report)) if "  #" in line]
    assert told == ["#9", "#8", "#7", "#6", "#21"]


def test_beside_several_peers_their_addresses_are_told():
    record = order()
    other = a.call(700, 9, peer=a.REDIS, protocol="redis", operation=None, outcome="unanswered")
    lines = called(to_text(report_of(msgspec.structs.replace(record, calls=(*record.calls, other)))))
    assert lines[1].startswith("    12x SELECT * FROM t WHERE id = ?  10.0.0.5:5432  ")
    assert lines[3].startswith("        (operation not known) (unans…  10.0.0.6:6379  ")


def test_what_is_too_much_is_counted():
    calls = [a.call(500, 1, operation=f"SELECT {n}") for n in range(20)]
    record = a.asks(m.served(1, 1000, calls=600), *calls, calls_lost=4)
    assert called(to_text(report_of(record)))[-2:] == [
        "   and 16 more calls",
        "   + connect, # tls, > send, ░ wait, = transfer",
    ]


def test_what_was_asked_of_whom_is_a_table():
    failed = a.refused(2000, 5, peer="unix:/run/pg.sock")
    lines = section(to_text(report_of(order(), a.asks(m.served(2, 2100, ms=600), failed))), "downstream")
    assert lines == [
        " " * 52 + "calls   /req      p50      p95  set-up    bytes",
        "10.0.0.5:5432  postgresql  (1 new connection)",
        "   SELECT * FROM t WHERE id = ?                        12     12    30 ms    30 ms     3 %   5.5 kB",
        "   COMMIT                                               1      1   120 ms   120 ms     0 %    460 B",
        "unix:/run/pg.sock  postgresql  (1 new connection, 1 failed)",
        "   (operation not known)                                1      1   5.0 ms   5.0 ms   100 %     60 B",
    ]


def test_a_peer_on_this_host_is_named_beside_its_address():
    def listening(pid, seen_by):
        return PeerProcess(m.START, seen_by, a.POSTGRES, pid, "post\x1bgres", is_target=False)

    text = to_text(report_of(listening(812, 4313), order()))
    assert "10.0.0.5:5432  postgresql  post\\x1bgres (pid 812)  (1 new connection)" in section(text, "downstream")
    text = to_text(report_of(listening(812, 4313), listening(813, 4314), order()))
    assert "10.0.0.5:5432  postgresql  (1 new connection)" in section(text, "downstream")


def test_where_nothing_was_called_nothing_is_said_of_it():
    text = to_text(report_of(m.served(1, 1000, lock=600)))
    assert "downstream" not in text
    assert "their calls" not in text


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_hostile_names_stay_harmless_and_within_the_width(width):
    record = order(culprits=(a.culprit(9, 58, "/" + EVIL, EVIL), a.culprit(None, 1, None, None)))
    calls = tuple(
        msgspec.structs.replace(one, peer=f"{EVIL}{n}", operation=EVIL * (n % 3), local=EVIL)
        for n, one in enumerate(record.calls)
    )
    text = to_text(report_of(msgspec.structs.replace(record, calls=calls)), width)
    assert max(map(cells, text.split("\n"))) <= width
    assert text.replace("\n", "").isprintable()
    assert r"\x1b[2J" in text


@pytest.mark.parametrize("figure", [-(2**63), 2**63])
def test_figures_out_of_this_world_stay_within_the_width(figure):
    call = a.call(0, 1, started_ns=0, ended_ns=figure, sent_bytes=figure, received_bytes=2**63, read_ns=figure)
    record = a.asks(m.served(1, 1000, ms=600), call, call, calls_lost=2**63, culprits=(a.culprit(1, -(10.0**13)),))
    text = to_text(report_of(record), 72)
    assert max(map(cells, text.split("\n"))) <= 72


def test_a_report_of_very_many_calls_is_bounded():
    operation = "S" * MAX_OPERATION_CHARS
    calls = [a.call(0, 1, operation=operation)] * MAX_CALLS
    report = report_of(*(a.asks(m.served(n, n, ms=600 + n % 7), *calls) for n in range(200)))
    listed = sum(len(one.calls) for one in report.slow_requests)
    assert 19_000 < listed <= 20_000
    assert {one.call_count for one in report.slow_requests} == {MAX_CALLS}
    assert report.downstream[0].count == 200 * MAX_CALLS


def test_each_cell_of_an_axis_shows_what_most_of_it_was():
    found = list(stretches(10, (10, 0, 0, 5, 14), PARTS))
    assert [(part, start, end) for part, start, end in found] == [
        ("connect", 10, 20), ("wait", 20, 25), ("transfer", 25, 39)
    ]  # fmt: skip
    assert drawn(found, 50, 5) == [None, "connect", "wait", "transfer", None]
    assert drawn([("wait", 0, 0.001)], 50, 5) == ["wait", None, None, None, None]
    assert drawn([("wait", -1e30, 1e30)], 50, 3) == ["wait"] * 3
    assert drawn(found, 0, 2) == drawn([], 9, 2) == [None, None]
    assert drawn(found, math.inf, 2)[1] is None
