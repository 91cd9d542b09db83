"""The service on real servers that come, go, and come again."""

from __future__ import annotations

import re
import signal
import stat
import subprocess

import prometheus
import psutil
import pytest
import serving
from recording import PERFWATCH
from servicing import faulty, files, kept, recorded, service
from waiting import until

from perfwatch.agent.session.reader import SessionReader

pytestmark = pytest.mark.ledger


def test_it_waits_for_a_server_survives_its_restart_and_ends_cleanly(tmp_path):
    directory = tmp_path / "recorded"
    with (
        serving.addresses() as address,
        service(directory, "--target", f"port:{address.rpartition(':')[2]}") as running,
    ):
        running.await_said("waiting for a server that is")
        for number in (1, 2):
            with faulty(address) as server:
                running.await_said(f"recording process {server.pid} as ")
                serving.get(address, f"/fast/{number}")
                running.await_recorded(f"/fast/{number}")
            running.await_said("has ended", number)
        with faulty(address):
            running.await_said("recording process", 3)
            serving.get(address, "/fast/3")
            running.stop()
    assert {"/fast/1", "/fast/2", "/fast/3"} <= recorded(directory)
    ends = []
    for path in files(directory):
        with SessionReader(path) as reader:
            ends.append(reader.ended)
            assert (reader.finished, reader.note, reader.info.container) == (True, None, None)
    assert [end.endswith("have ended") for end in ends] == [True, True, False]
    assert ends[2] == "the service stopped"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_several_servers_are_recorded_and_no_others(tmp_path):
    with (
        serving.gunicorn("faulty:app") as first,
        serving.http_server() as second,
        serving.http_server() as third,
        service(
            tmp_path / "r",
            "--target",
            f"name:gunicorn port:{first.address.rpartition(':')[2]}",
            "--target",
            f"name:faulty.py port:{second.address[-5:].strip(':')}",
        ) as running,
    ):
        for server in (first, second):
            running.await_said(f"recording process {server.pid} as")
        for number, server in enumerate((first, second, third)):
            serving.get(server.address, f"/fast/{number}")
        running.await_recorded("/fast/0", "/fast/1")
        assert len(running.recorders) == 2
        running.stop()
    assert "/fast/2" not in recorded(tmp_path / "r")
    assert sorted(path.name.partition("-")[0] for path in files(tmp_path / "r")) == ["gunicorn", "http.server"]


def test_a_flight_recorder_keeps_what_was_slow_what_came_before_and_what_it_is_asked_for(tmp_path):
    with (
        serving.http_server() as server,
        service(
            *(tmp_path / "r", "--target", f"pid:{server.pid}", "--flight", "10s", "--segment-time", "5s"),
            *("--keep-on", "300ms"),
        ) as running,
    ):
        running.await_said("recording process")
        serving.get(server.address, "/fast/1")
        until(lambda: len(files(tmp_path / "r")) == 2, pause_s=0.05)
        assert not kept(tmp_path / "r")
        serving.get(server.address, "/sleep/2?ms=400")
        running.await_said("kept for good: ")
        reasons = kept(tmp_path / "r")
        until(lambda: len(files(tmp_path / "r")) == 4, pause_s=0.05)
        running.process.send_signal(signal.SIGUSR1)
        running.await_said("(asked for by SIGUSR1)")
        running.stop()
    before, slow = sorted(reasons)
    assert reasons[slow] == [reasons[before][0].removeprefix("before: ")]
    assert reasons[slow][0].startswith("GET /sleep/2 took 4")
    assert {before, slow} < set(files(tmp_path / "r"))
    assert {"/fast/1", "/sleep/2"} <= recorded(tmp_path / "r")


@prometheus.needed
def test_one_address_has_the_metrics_of_all_servers_by_their_names(tmp_path):
    counted = "sum by (server) (perfwatch_http_request_duration_seconds_count)"
    with (
        serving.gunicorn("faulty:app") as first,
        serving.http_server() as second,
        service(
            *(tmp_path / "r", "--target", f"pid:{first.pid}", "--target", f"pid:{second.pid}", "--prometheus", "0"),
        ) as running,
    ):
        first_name, second_name = (
            f"{name}-{server.address.rpartition(':')[2]}"
            for name, server in (("gunicorn", first), ("http.server", second))
        )
        address = re.search(r"metrics at http://(127\.0\.0\.1:\d+)/metrics\n", running.said_with("metrics at"))[1]
        for server in (first, second):
            running.await_said(f"recording process {server.pid} as")
            serving.get(server.address, "/fast/1")
        serving.get(second.address, "/fast/2")
        with prometheus.scraping(address, tmp_path) as one:
            one.await_result(counted, {(first_name,): 1, (second_name,): 2})
            assert set(one.query("perfwatch_target_up")) == {
                (address, "perfwatch", first_name),
                (address, "perfwatch", second_name),
            }
            one.await_result("perfwatch_recorded_servers", {(address, "perfwatch"): 2})
            assert prometheus.checked(serving.get(address, "/metrics")[1]) == ""
            psutil.Process(second.pid).terminate()
            one.await_result("perfwatch_recorded_servers", {(address, "perfwatch"): 1})
            one.await_result("perfwatch_target_up", {(address, "perfwatch", first_name): 1})
        running.stop()


def test_one_directory_is_of_one_service(tmp_path):
    with service(tmp_path / "r", "--target", "pid:1") as running:
        running.await_said("waiting")
        ended = subprocess.run(
            [PERFWATCH, "record", "--service", "--dir", tmp_path / "r"], capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith(f"perfwatch: another perfwatch service records into {tmp_path / 'r'} (")
        running.stop()
