"""What a report says of queues, resources and perfwatch's own cost: the overall figures of the view."""

import json

import making as m
import queued

from perfwatch.agent.model_queues import Queues
from perfwatch.agent.report import build, correlate, to_json


def report_of(view, info=None):
    return json.loads(to_json(build(info or m.info(), view)))


def test_queues_and_resources_are_those_of_the_whole_session():
    view, _ = correlate(m.info(), [m.host(0, 0, 0), m.host(1000, 500, 1500)])
    recent = queued.crowded(view, queues_overall=Queues(), saturation_overall=())
    overall = queued.crowded(view, queues=Queues(), saturation=())
    nothing, told = (report_of(one) for one in (recent, overall))
    assert nothing["queues"]["disks"] == nothing["saturation"]["resources"] == []
    assert (nothing["saturation"]["disk"], nothing["saturation"]["psi"]) == (None, None)
    assert told["queues"]["run_queue"]["waiting_mean"] == 2.14
    assert [one["name"] for one in told["queues"]["run_queue"]["top"]] == ["gunicorn", "postgres", "kworker/1:2"]
    assert told["saturation"]["psi"] == {"cpu": 0.12, "memory": 0.0, "io": 0.034}
    assert (told["saturation"]["cpu"], told["saturation"]["disk"], told["saturation"]["network"]) == (0.25, 0.93, None)
    assert told["queues"]["threads"] == {"R": 3, "S": 31, "D": 1}


def test_a_listening_socket_has_its_deepest_queue_and_connections_have_their_bytes():
    view, _ = correlate(m.info(), [])
    listeners = (("0.0.0.0:8000", 12, 2048), ("unix:/run/x.sock", 1, 128))
    report = report_of(queued.crowded(view, listeners=listeners))
    unread, listening, reader, written, *_ = report["queues"]["sockets"]
    assert (unread["local"], unread["backlog"], unread["backlog_max"], unread["backlog_now"]) == (
        "unix:/run/x.sock", 1, 128, None,
    )  # fmt: skip
    assert (listening["local"], listening["backlog"], listening["backlog_now"], listening["recv_q"]) == (
        "0.0.0.0:8000", 12, 5, None,
    )  # fmt: skip
    assert (reader["peer"], reader["send_q"], reader["rtt_ms"], reader["rwnd_limited_ms"], reader["retransmits"]) == (
        "10.0.3.7:40001", 1_200_000, 84, 7400, 3,
    )  # fmt: skip
    assert (written["role"], written["recv_q"], written["backlog"]) == ("connected", 65536, None)


def test_several_sockets_that_share_an_address_keep_their_own_queues():
    view, _ = correlate(m.info(), [])
    shared = tuple(queued.socket("listening", cookie=n, pid=n, recv_q=n, send_q=128) for n in (1, 9))
    crowd = queued.crowded(view, listeners=(("0.0.0.0:8000", 4, 128),), queues_overall=Queues(sockets=shared))
    sockets = report_of(crowd)["queues"]["sockets"]
    assert [(one["pid"], one["backlog_now"], one["backlog"]) for one in sockets] == [(1, 1, 4), (9, 9, 9)]


def test_the_session_says_what_perfwatch_cost_and_what_it_could_not_do():
    view, _ = correlate(m.info(), [])
    info = m.info(probes=(queued.LEDGER_LOST, *queued.PROBES[1:]))
    session = report_of(queued.crowded(view), info)["session"]
    ledger, sockets, threads, _ = session["probes"]
    assert (ledger["missing"], ledger["remedy"]) == (queued.LEDGER_LOST.lost, "sudo perfwatch 4312")
    assert (sockets["period_s"], threads["status"], threads["reason"]) == (1, "limited", "wait channels cannot be read")
    assert (session["cost"]["cpu"], session["cost"]["cpu_mean"], session["cost"]["budget"]) == (0.034, 0.017, 0.1)
    assert session["cost"]["probes"][1] == {"name": "sockets", "cpu": 0.0091, "period_s": 4}
    assert session["slowed"] == [{"probe": "sockets", "period_s": 4, "reason": "a reading took 97 ms: 20,000 sockets"}]
