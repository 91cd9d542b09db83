"""Streams of HTTP/2 on real servers: each a request, recorded once, with its client's own latency. gRPC's, too."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import sys
import time
from pathlib import Path

import grpc
import pytest
import serving_loops
from cornering import certificate, context_of
from faults.following import booked_ns, latency_ns, most, unaccounted
from ledgering import attached, requests_of
from serving import addresses, running
from streaming import StreamingClient, frame_of_data

from perfwatch.probes.records import InFlight, Loss

pytestmark = pytest.mark.ledger
MOST_UNACCOUNTED = 0.02
MOST_OFF, MOST_OFF_NS = 0.05, 2e6
NAP_NS = 30e6
ALIKE = 6
MIXED = ("/nap/{}?ms=30", "/thread/{}?ms=30", "/fast/{}", "/missing/{}/of")
OFTEN = {"asyncio-tls", "uvloop-clear"}


@pytest.fixture(name="both", scope="module")
def make_certificate():
    with certificate() as both:
        yield both


def kinds():
    for loop in ("asyncio", "uvloop"):
        for how in ("clear", "tls"):
            name = f"{loop}-{how}"
            yield pytest.param((loop, how), id=name, marks=() if name in OFTEN else pytest.mark.slow)


@pytest.fixture(name="server", params=kinds(), scope="module")
def start_server(request, both):
    loop, how = request.param
    if how == "clear":
        with serving_loops.hypercorn(loop=loop) as server:
            yield server, functools.partial(StreamingClient, server.address)
        return
    context = context_of("1.3")
    context.set_alpn_protocols(["h2"])
    with addresses() as address:
        command = [sys.executable, "-m", "hypercorn", "--worker-class", loop, "--bind", address, "--keep-alive", 75]
        command += ["--graceful-timeout", 1, "--certfile", both, "--keyfile", both, "looping:app"]
        with running(command, address, answers=False) as server:
            yield server, functools.partial(StreamingClient, server.address, context)


@pytest.fixture(name="plain", scope="module")
def start_plain():
    with serving_loops.hypercorn() as server:
        yield server, functools.partial(StreamingClient, server.address)


def agree(served, exchanges):
    """Assert that each exchange was recorded once, as what it was, with the latency that its client saw."""
    told = sorted((each.target, each.status) for each in served)
    assert told == sorted((each.path.partition("?")[0], each.status) for each in exchanges)
    by_target = {each.target: each for each in served}
    off = []
    for exchange in exchanges:
        latency = latency_ns(by_target[exchange.path.partition("?")[0]])
        off_ns = max(latency - exchange.taken_ns, exchange.taken_ns - exchange.delay_ns - latency)
        off.append(0 if off_ns <= MOST_OFF_NS else off_ns / exchange.taken_ns)
    assert most(off) <= MOST_OFF, sorted(off)[-10:]


def test_streams_of_one_connection_are_followed_through_the_loop(server):
    running_server, client_of = server
    with attached(running_server.pid) as ledger, client_of() as client:
        client.ask("/fast/first")
        exchanges = client.finish()
        for turn in range(3):
            client.ask(*(path.format(f"{turn}{number}") for path in MIXED for number in range(ALIKE)))
            exchanges += client.finish()
        served = ledger.served(len(exchanges))
        agree(served, exchanges)
        losses = [each for each in ledger.records if isinstance(each, Loss)]
    assert {each.protocol for each in served} == {"http/2"}
    assert {each.method for each in served} == {"GET"}
    assert {each.threads for each in served} == {"followed"}
    assert most([unaccounted(each) for each in served]) <= MOST_UNACCOUNTED
    assert not [loss for loss in losses if "HTTP" in loss.reason]


def test_a_sleep_is_booked_to_the_stream_that_slept(server):
    running_server, client_of = server
    with attached(running_server.pid) as ledger, client_of() as client:
        for turn in range(5):
            for path in ("/nap/{}?ms=30", "/block/{}?ms=30"):
                client.ask(path.format(turn))
                client.finish()
        served = ledger.served(10)
    slept = [booked_ns(each, "sleep") for each in served]
    assert sorted(slept)[2] >= NAP_NS - MOST_OFF_NS, slept
    assert max(slept) <= max(latency_ns(each) for each in served)


@pytest.mark.parametrize("cut", [1, 3, 13, 1000])
@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
def test_frames_that_are_split_over_reads_continued_and_padded_are_one_request(plain, cut, padded):
    server, client_of = plain
    with attached(server.pid) as ledger, client_of() as client:
        client.ask_in_frames("/fast/first", cut=cut, padded=padded, pause_s=0.001)
        exchanges = client.finish()
        client.ask_in_frames("/fast/second", cut=cut, padded=padded, more=[("x-long", "ß" * 400)])
        exchanges += client.finish()
        client.ask("/fast/third")
        exchanges += client.finish()
        agree(ledger.served(3), exchanges)


def test_a_body_in_padded_parts_is_waited_for_and_is_the_request_s(plain):
    server, client_of = plain
    with attached(server.pid) as ledger, client_of() as client:
        client.upload("/nap/up?ms=30", [b"x" * 15_000] * 4, 0.02)
        exchanges = client.finish()
        (served,) = ledger.served(1)
    agree([served], exchanges)
    assert (served.method, served.threads) == ("POST", "followed")
    assert 60_000 <= served.received_bytes <= 62_000
    assert booked_ns(served, "receive") >= 50e6


def test_a_connection_older_than_the_attaching_is_joined(server):
    running_server, client_of = server
    with client_of() as client:
        client.ask("/fast/before", more=[("x-known", "before")])
        client.finish()
        with attached(running_server.pid) as ledger:
            client.ask("/fast/before", more=[("x-known", "before")])
            client.finish()
            for path in ("/fast/after", "/fast/again"):
                client.ask(path, more=[("x-new", "after")])
                client.finish()
            served = ledger.served(3)
    lines = [(each.method, each.target) for each in served]
    assert lines == [(None, None), ("GET", "/fast/after"), ("GET", "/fast/again")]
    assert {each.status for each in served} <= {None, 200}
    assert {each.protocol for each in served} == {"http/2"}


def test_a_stream_that_its_client_resets_and_one_whose_client_leaves_are_aborted_and_seen_in_flight(plain):
    server, client_of = plain
    with attached(server.pid) as ledger, client_of() as client:
        client.ask("/nap/reset?ms=3000", "/nap/left?ms=3000", "/fast/done")
        ledger.until(lambda records: any(isinstance(each, InFlight) and each.count == 2 for each in records))
        client.h2.reset_stream(1)
        client.flush()
        ledger.served(2)
        client.socket.close()
        served = {each.target: each for each in ledger.served(3)}
    outcomes = {target: each.outcome for target, each in served.items()}
    assert outcomes == {"/nap/reset": "aborted", "/nap/left": "aborted", "/fast/done": "answered"}
    shown = [each for record in ledger.records if isinstance(record, InFlight) for each in record.requests]
    assert {"/nap/reset", "/nap/left"} <= {each.target for each in shown}


def test_what_is_no_frame_is_said_and_the_next_connection_is_followed(plain):
    server, client_of = plain
    with attached(server.pid) as ledger:
        with client_of() as client:
            client.ask("/fast/good")
            client.finish()
            client.socket.sendall(b"\0\0\5\6\0\0\0\0\1hello" + frame_of_data(1, b"x"))  # a ping of 5 bytes
            with contextlib.suppress(OSError):
                while client.socket.recv(1000):
                    pass
        with client_of() as client:
            client.ask("/fast/next")
            client.finish()
        served = ledger.served(2)
        losses = ledger.until(lambda records: [each for each in records if isinstance(each, Loss)])
    assert [each.target for each in served] == ["/fast/good", "/fast/next"]
    assert ["HTTP/2" in loss.reason for loss in losses] == [True]


# --- gRPC


@pytest.fixture(name="grpc_server", scope="module")
def start_grpc():
    with addresses() as address:
        command = [sys.executable, "calling_grpc.py", address, 10]
        with running(command, address, answers=False) as server:
            yield server


@pytest.fixture(name="channel")
def open_channel(grpc_server):
    with grpc.insecure_channel(grpc_server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def call(channel, name, timeout=20):
    """Make a call; returns its status and the nanoseconds it took."""
    start_ns, status = time.monotonic_ns(), grpc.StatusCode.OK
    try:
        if name == "Stream":
            assert list(channel.unary_stream("/test/Stream")(b"raw", timeout=timeout)) == [b"raw"] * 3
        else:
            channel.unary_unary(f"/test/{name}")(b"raw", timeout=timeout)
    except grpc.RpcError as error:
        status = error.code()
    return name, status.value[0], time.monotonic_ns() - start_ns


def named(served, name):
    return [each for each in served if each.target == f"/test/{name}"]


def test_calls_of_grpc_in_turn_are_their_workers_own(grpc_server, channel):
    names = ["Fast", "Nap", "Stream", "Fail"]
    with attached(grpc_server.pid) as ledger:
        made = [call(channel, name) for _ in range(12) for name in names]
        served = ledger.served(len(made))
    for name in names:
        mine = named(served, name)
        assert len(mine) == 12
        assert {each.grpc_status for each in mine} == {9 if name == "Fail" else 0}
        for record, (_, _, taken_ns) in zip(mine, (each for each in made if each[0] == name), strict=True):
            assert latency_ns(record) <= taken_ns
    assert {(each.protocol, each.method, each.outcome) for each in served} == {("grpc", "POST", "answered")}
    followed = [each for each in served if each.threads == "followed"]
    assert {each.threads for each in served} <= {"followed", "several"}
    assert len(followed) >= len(served) / 2  # the first of each worker is not
    assert most([unaccounted(each) for each in followed]) <= MOST_UNACCOUNTED
    for name in ("Nap", "Stream"):
        slept = [booked_ns(each, "sleep") for each in named(followed, name)]
        assert min(slept) >= NAP_NS - 1e6, slept
        assert all(booked_ns(each, "sleep") + booked_ns(each, "queue") <= latency_ns(each) for each in followed)
    assert {booked_ns(each, "sleep") for each in followed if each.target in {"/test/Fast", "/test/Fail"}} == {0}


def test_ten_calls_of_grpc_at_once_are_each_told_once_and_none_as_another(grpc_server, channel):
    names = ["Nap"] * 4 + ["Fast"] * 3 + ["Stream"] * 2 + ["Fail"]
    with attached(grpc_server.pid) as ledger, concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        call(channel, "Fast")
        made = [each for _ in range(12) for each in pool.map(functools.partial(call, channel), names)]
        served = ledger.served(len(made) + 1)
    for name in set(names):
        assert len(named(served, name)) == 12 * names.count(name) + (name == "Fast")
    followed = [each for each in served if each.threads == "followed"]
    assert followed
    assert most([unaccounted(each) for each in followed]) <= MOST_UNACCOUNTED
    for record in followed:
        slept = booked_ns(record, "sleep")
        assert booked_ns(record, "loop") == 0  # none of gRPC's threads is an event loop
        assert slept >= NAP_NS - 1e6 if record.target in {"/test/Nap", "/test/Stream"} else slept == 0, record


def test_a_call_of_grpc_that_runs_out_of_time_is_told_once_and_who_comes_next_is_not_blamed(grpc_server, channel):
    with attached(grpc_server.pid) as ledger:
        for _ in range(6):
            call(channel, "Fast")
        statuses = [call(channel, "Nap", timeout=0.01)[1] for _ in range(3)]
        call(channel, "Fast")
        served = ledger.served(10)
    assert statuses == [4, 4, 4]
    assert len(named(served, "Nap")) == 3
    assert all(each.outcome == "aborted" or each.grpc_status == 4 for each in named(served, "Nap"))
    fast = [each for each in named(served, "Fast") if each.threads == "followed"]
    assert {booked_ns(each, "sleep") for each in fast} <= {0}


def test_a_method_that_is_not_there_is_an_error_of_grpc(grpc_server, channel):
    with attached(grpc_server.pid) as ledger:
        assert call(channel, "Nothing")[1] == 12
        (served,) = ledger.served(1)
    assert (served.target, served.status, served.grpc_status, served.protocol) == ("/test/Nothing", 200, 12, "grpc")
    assert requests_of(ledger.records) == [served]


def test_what_grpc_says_within_its_own_tls_is_said_to_be_unknown_and_made_up_from_no_record(both):
    with addresses() as address:
        command = [sys.executable, "calling_grpc.py", address, 2, both]
        with running(command, address, answers=False) as server, attached(server.pid) as ledger:
            trusted = grpc.ssl_channel_credentials(Path(both).read_bytes())
            options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(address, trusted, options) as channel:
                assert [call(channel, name)[1] for name in ("Fast", "Nap", "Fast")] == [0, 0, 0]
            (loss,) = ledger.until(lambda records: [each for each in records if isinstance(each, Loss)])
            assert requests_of(ledger.records) == []
    assert "HTTP/2" in loss.reason


def test_calls_of_grpc_over_a_unix_socket_end_with_their_connection():
    with addresses(unix=True) as address:
        command = [sys.executable, "calling_grpc.py", address, 2]
        with running(command, address, answers=False) as server, attached(server.pid) as ledger:
            with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                for name in ("Fast", "Fail"):
                    call(channel, name)
                ledger.served(2)
                left = channel.unary_stream("/test/Stream")
                left(b"raw")
            served = ledger.served(3)
    assert [each.target for each in served] == ["/test/Fast", "/test/Fail", "/test/Stream"]
    assert [each.outcome for each in served] == ["answered", "answered", "aborted"]
    assert {each.local for each in served} == {address}
