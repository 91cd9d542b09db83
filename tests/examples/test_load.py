"""The load generator against real sockets: what it sends, what it times, and that it ends."""

import contextlib
import socket
import threading
import time

import pytest
import serving

from perfwatch.examples.http_client import Call, Connection, RequestFailed
from perfwatch.examples.load import Endpoint, Load, Sample, main, percentile_ms, run


@contextlib.contextmanager
def scripted(*answers):
    """A server that gives its connections these raw answers, one each, and closes them; yields address and requests."""
    received = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(65_536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", received
        thread.join()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"),
    ],
)
def test_every_way_to_end_a_body(answer, body):
    with scripted(answer) as (address, received):
        connection = Connection(address, 5)
        answered = connection.request(Call("/x", "POST", b"data"), keep_body=True)
        connection.close()
    assert (answered.status, answered.body) == (200, body)
    assert answered.start_ns < answered.end_ns
    assert received == [b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ndata"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
        b"HTTP/1.1 many\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_is_no_complete_answer_fails(answer):
    with scripted(answer) as (address, _):
        connection = Connection(address, 5)
        with pytest.raises(RequestFailed):
            connection.request(Call("/"))
        connection.close()


def test_a_kept_connection_that_was_closed_is_opened_again():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with scripted(answer, answer) as (address, received):
        connection = Connection(address, 5)
        statuses = [connection.request(Call(path)).status for path in ("/1", "/2")]
        connection.close()
    assert statuses == [200, 200]
    assert [request.split()[1] for request in received] == [b"/1", b"/2"]


def test_it_times_what_the_server_does():
    with serving.http_server() as server:
        samples = run(server.address, [Endpoint(Call("/sleep/{n}?ms=50"), clients=3)], 0.5)
        slept = {entry.path: entry for entry in serving.truth(server.address) if entry.kind == "sleep"}
    assert len(samples) >= 3
    assert len({sample.path for sample in samples}) == len(samples), "paths repeat"
    for sample in samples:
        measured = slept[sample.path.partition("?")[0]]
        assert sample.start_ns < measured.start_ns < measured.end_ns < sample.end_ns
        assert sample.status == 200
    assert percentile_ms(samples, 50) >= 50


def test_slow_clients_take_their_time():
    upload = Endpoint(Call("/upload/{n}", "POST", bytes(80_000), upload_s=0.2))
    download = Endpoint(Call("/download/{n}", download_s=0.2))
    with serving.http_server() as server:
        samples = run(server.address, [upload, download], 0.1)
        received = [entry for entry in serving.truth(server.address) if entry.kind == "receive"]
    assert {sample.endpoint for sample in samples} == {"/upload/{n}", "/download/{n}"}
    for sample in samples:
        assert sample.latency_ms >= 150
    assert all(entry.end_ns - entry.start_ns > 1.5e8 for entry in received)
    assert received


def test_a_request_that_hangs_is_cut_off():
    with serving.http_server() as server, Load(server.address, [Endpoint(Call("/hung/{n}"), clients=2)]) as load:
        load.wait(0.2)
        begun = time.monotonic()
        load.stop(grace_s=0)
        assert time.monotonic() - begun < 2
    assert [sample.status for sample in load.samples] == [None, None]


def test_nobody_there_is_tried_gently(capsys):
    address = "127.0.0.1:9"
    samples = run(address, [Endpoint(Call("/"))], 0.35)
    assert 1 <= len(samples) <= 5
    assert main([address, "--clients", "1", "--duration", "0.05"]) == 1
    assert address in capsys.readouterr().err


def test_the_command_line_says_what_came_of_it(capsys):
    with serving.http_server(unix=True) as server:
        assert main([server.address, "--path", "/fast/{n}", "--clients", "2", "--duration", "0.3"]) == 0
    assert " 0 failures" in capsys.readouterr().out


def test_percentiles_are_nearest_rank():
    samples = [Sample("/", 0, milliseconds * 1_000_000, 200, "/") for milliseconds in range(1, 21)]
    assert [percentile_ms(samples, percent) for percent in (0, 50, 95, 96, 100)] == [1, 10, 19, 20, 20]
    with pytest.raises(ValueError, match="no samples"):
        percentile_ms([], 50)
