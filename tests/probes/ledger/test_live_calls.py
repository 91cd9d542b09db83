"""Calls of a threaded server: as many as it made, with the times that it measured itself."""

import socket
import time

import psycopg2
import pytest
from calling import (
    HEAD,
    PAUSE_S,
    PIECE_BYTES,
    PIECES,
    WAIT_S,
    openssl_is_here,
    redis_server,
    slow_http,
    slow_https,
    slow_names,
    slow_unix,
    watched_caller,
)
from faults import surroundings

from perfwatch.examples.starting import free_port
from perfwatch.probes.readers import uprobes

pytestmark = pytest.mark.ledger
ANSWER_BYTES = len(HEAD) + PIECES * PIECE_BYTES


@pytest.fixture(name="caller")
def run_caller():
    with watched_caller() as caller:
        yield caller


def alike(ns, measured_ns):
    """Within 10 %, or 1 ms: two clocks, one of which runs Python between its readings."""
    return ns == pytest.approx(measured_ns, rel=0.1, abs=1e6)


def is_in_order(call):
    moments = [call.started_ns, call.connected_ns, call.secured_ns, call.sent_ns, call.answered_ns, call.read_ns]
    known = [each for each in [*moments, call.ended_ns] if each is not None]
    return known == sorted(known)


def agrees(call, measured, place):
    """Whether client and ledger agree; the client's clock stops when it has read, not when it could have."""
    return (
        alike(call.read_ns - call.sent_ns, measured["wait"][place])
        and alike(call.ended_ns - call.read_ns, measured["transfer"][place])
        and call.answered_ns - call.sent_ns >= WAIT_S * 1e9
        and is_in_order(call)
    )


def await_queries(address):
    """Wait until PostgreSQL answers: it listens before that."""
    end = time.monotonic() + 20
    while True:
        try:
            psycopg2.connect(address).close()
        except psycopg2.OperationalError:
            assert time.monotonic() < end, "PostgreSQL does not start"
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_two_calls_on_a_new_connection_take_what_the_client_measured(caller, family, host):
    with slow_http(family) as port:
        request, measured = caller.play(f"/http?host={host}&port={port}&count=2")
    first, second = request.calls
    assert [call.operation for call in request.calls] == ["GET /items/{}"] * 2
    assert {call.protocol for call in request.calls} == {"http/1"}
    assert {call.peer for call in request.calls} == {f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"}
    assert {call.connection for call in request.calls} == {first.connection}
    assert alike(first.connected_ns - first.started_ns, measured["connect"][0])
    assert second.connected_ns is None
    assert agrees(first, measured, 0)
    assert agrees(second, measured, 1)
    assert first.ended_ns - first.answered_ns >= (PIECES - 1) * PAUSE_S * 1e9
    assert {call.received_bytes for call in request.calls} == {ANSWER_BYTES}
    assert {call.tid for call in request.calls} == {request.tid}
    assert request.calls_lost == 0


def test_a_place_in_the_code_is_told_where_it_was_waited(caller):
    with slow_http() as port:
        request, _ = caller.play(f"/http?port={port}")
    (call,) = request.calls
    names = [request.code.frames[place].function for place in request.code.stacks[call.stack]]
    assert "exchange" in names
    assert "calls_http" in names


def test_a_connection_that_was_kept_is_told_from_a_new_one(caller):
    with slow_http() as port:
        first, _ = caller.play(f"/kept?port={port}")
        second, _ = caller.play(f"/kept?port={port}")
    assert first.calls[0].connected_ns is not None
    assert second.calls[0].connected_ns is None
    assert first.calls[0].connection == second.calls[0].connection


def test_what_is_sent_counts_as_sending(caller):
    with slow_http() as port:
        request, measured = caller.play(f"/http?port={port}&body=1000000")
    (call,) = request.calls
    assert call.operation == "POST /items/{}"
    assert call.sent_bytes > 1_000_000
    assert agrees(call, measured, 0)


def test_a_unix_socket_is_called_like_any_other(caller):
    with slow_unix() as path:
        request, measured = caller.play(f"/unix?path={path}")
    (call,) = request.calls
    assert (call.protocol, call.operation, call.peer) == ("http/1", "GET /items/{}", f"unix:{path}")
    assert call.connected_ns is not None
    assert call.received_bytes == ANSWER_BYTES
    assert agrees(call, measured, 0)


@pytest.mark.skipif(not openssl_is_here(), reason="makes its certificate with openssl")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_handshake_is_told_by_its_records_and_is_no_call(caller, version):
    with slow_https() as port:
        request, measured = caller.play(f"/https?port={port}&version={version}")
    first, second = request.calls
    assert {(call.protocol, call.operation) for call in request.calls} == {("http/1", "GET /items/{}")}
    assert alike(first.secured_ns - first.started_ns, measured["connect"][0] + measured["tls"][0])
    assert first.secured_ns - first.connected_ns >= 0.5 * (first.secured_ns - first.started_ns)
    assert agrees(first, measured, 0)
    assert (second.connected_ns, second.secured_ns) == (None, None)
    assert agrees(second, measured, 1)


def test_where_openssl_cannot_be_looked_at_only_the_times_are_known(monkeypatch):
    monkeypatch.setattr(uprobes, "are_possible", lambda: False)
    with watched_caller() as caller, slow_https() as port:
        request, measured = caller.play(f"/https?port={port}")
    assert [(call.protocol, call.operation) for call in request.calls] == [("tls", None)] * 2
    assert agrees(request.calls[1], measured, 1)


def test_queries_are_told_one_by_one_and_the_login_is_connecting(caller):
    with surroundings.postgres() as environment:
        await_queries(environment["FAULTY_PG"])
        request, measured = caller.play(f"/pg?port={environment['PG']}&count=4")
    assert [call.operation for call in request.calls] == ["SELECT pg_sleep(?), ?"] * 4
    assert {call.protocol for call in request.calls} == {"postgresql"}
    first, *others = request.calls
    assert alike(first.connected_ns - first.started_ns, measured["connect"][0])
    assert {call.connected_ns for call in others} == {None}
    for call, wait_ns in zip(request.calls, measured["wait"], strict=True):
        assert alike(call.ended_ns - call.sent_ns, wait_ns)
        assert call.answered_ns - call.sent_ns >= 20e6
        assert is_in_order(call)


def test_commands_are_told_one_by_one(caller):
    with redis_server() as port:
        request, measured = caller.play(f"/redis?port={port}&count=20")
    assert [call.operation for call in request.calls] == ["PING", *["HGET ?"] * 20]
    assert {call.protocol for call in request.calls} == {"redis"}
    assert [call.connected_ns is not None for call in request.calls] == [True, *[False] * 20]
    assert all(
        call.ended_ns - call.started_ns <= ns for call, ns in zip(request.calls[1:], measured["wait"], strict=True)
    )


def test_a_connection_that_is_refused_has_failed(caller):
    request, measured = caller.play(f"/connect?port={free_port()}")
    (call,) = request.calls
    assert (call.outcome, call.connected_ns, call.sent_ns) == ("failed", None, None)
    assert alike(call.ended_ns - call.started_ns, measured["refused"][0])


def test_a_connection_on_which_nothing_is_said_was_only_made(caller):
    with slow_http() as port:
        request, measured = caller.play(f"/connect?port={port}&wait_ms=20")
    (call,) = request.calls
    assert (call.outcome, call.sent_ns, call.operation) == ("answered", None, "(connection only)")
    assert alike(call.ended_ns - call.started_ns, measured["connect"][0])


def test_what_nobody_waited_for_is_unanswered(caller):
    with slow_http() as port:
        request, _ = caller.play(f"/half?port={port}")
    (call,) = request.calls
    assert (call.outcome, call.operation, call.answered_ns) == ("unanswered", "GET /never", None)


@pytest.mark.parametrize("connected", [0, 1])
def test_names_are_asked_for(caller, connected):
    with slow_names() as host:
        request, measured = caller.play(f"/dns?host={host}&connected={connected}")
    (call,) = request.calls
    assert (call.protocol, call.operation, call.peer) == ("dns", "A db.internal", f"{host}:53")
    assert (call.sent_bytes, call.received_bytes) == (29, 29)
    assert alike(call.read_ns - call.sent_ns, measured["wait"][0])
    assert call.answered_ns - call.sent_ns >= 30e6


def test_a_request_that_calls_nobody_has_no_calls(caller):
    request, _ = caller.play("/nothing")
    assert (request.calls, request.calls_lost) == ((), 0)
