"""Recordings where the exact ledger is not to be had: unprivileged, in a container, with hidden processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confining import CONTAINER, HIDDEN_PROC, NO_BPF, NOBODY
from recording import PERFWATCH, SPARE_S, report_on

from perfwatch.agent.target import inner_pid
from perfwatch.probes.table import SIDE

pytestmark = [
    pytest.mark.ledger,
    pytest.mark.skipif(
        not (shutil.which("setpriv") and shutil.which("unshare")), reason="needs setpriv and unshare (util-linux)"
    ),
]
SCRIPT = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import json, subprocess, tempfile
import serving
from recording import PERFWATCH, report_on
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

load = [Endpoint(Call("/sleep/{{n}}"), clients=1, pause_s=0.02)]
with tempfile.TemporaryDirectory() as directory, serving.http_server() as server, Load(server.address, load) as load:
    load.wait(0.2)
    command = [PERFWATCH, "record", "--pid", str(server.pid), "--duration", "1.6", "-o", directory + "/x"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended
    print(json.dumps([ended.stderr, report_on(directory + "/x")]))
"""


def recorded(*prefix):
    """Record a loaded server under a prefix, both in there; returns what was said, and the report."""
    ended = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=SPARE_S + 10
    )
    assert ended.returncode == 0, ended.stderr
    said, report = json.loads(ended.stdout)
    assert "Traceback" not in said
    assert report["session"]["fidelity"] == "sampled"
    return said, report


def statuses(report):
    return {probe["name"]: probe for probe in report["session"]["probes"]}


@pytest.mark.parametrize("prefix", [NO_BPF, CONTAINER], ids=["root-without-bpf", "container"])
def test_with_packets_it_sees_requests(prefix):
    said, report = recorded(*prefix)
    assert "sampled fidelity, without the exact ledger: " in said
    assert report["requests"]["count"] >= 6
    assert {endpoint["route"] for endpoint in report["endpoints"]} == {"/sleep/{}"}
    found = statuses(report)
    assert found["ledger"]["status"] == "unavailable"
    assert found["ledger"]["remedy"]
    assert found["sampled"]["status"] in {"running", "limited"}


@pytest.mark.parametrize("prefix", [NOBODY, (*HIDDEN_PROC, *NOBODY)], ids=["nobody", "hidden-processes"])
def test_without_packets_it_sees_threads_and_queues(prefix):
    said, report = recorded(*prefix)
    assert "sampled fidelity, without the exact ledger: " in said
    assert "not measured here: wire" in said
    assert report["requests"]["count"] == 0
    assert report["verdict"]["principle"] in {"unknown", "healthy"}
    found = statuses(report)
    assert found["sampled"]["status"] == "limited"
    assert "CAP_NET_RAW" in found["sampled"]["remedy"]
    assert {found[name]["status"] for name in ("host", "memory", "threads", "sockets")} == {"running"}
    assert set(found) == {"ledger", "sampled", *(entry.name for entry in SIDE)}
    assert report["queues"]["run_queue"]["runnable_mean"] >= 0
    assert report["queues"]["sockets"]


SERVER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import subprocess
import serving
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
load = [Endpoint(Call("/sleep/{{n}}"), clients=1, pause_s=0.02)]
with serving.http_server() as server, Load(server.address, load) as load:
    load.wait(0.2)
    print(server.pid, server.address, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(name="contained", scope="module")
def serve_in_a_container():
    """A loaded server in PID, mount and network namespaces of its own: its PID here, the one in there, its address."""
    command = [*CONTAINER, "--net", sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        inner, address = process.stdout.readline().split()
        below = psutil.Process(process.pid).children(recursive=True)
        (pid,) = [each.pid for each in below if inner_pid(each.pid) == int(inner)]
        yield pid, int(inner), address  # then its input ends, and it tidies up


@pytest.mark.skipif(not shutil.which("ip"), reason="needs ip (iproute2)")
@pytest.mark.parametrize("fidelity", ["exact", "sampled"])
def test_a_server_in_a_container_is_seen_from_the_host(contained, fidelity, tmp_path):
    tmp_path.chmod(0o700)
    pid, inner, address = contained
    options = ["--pid", str(pid), "--duration", "1.6", "--fidelity", fidelity, "-o", str(tmp_path / "x")]
    ended = subprocess.run([PERFWATCH, "record", *options], capture_output=True, text=True, timeout=SPARE_S)
    assert ended.returncode == 0, ended
    assert f"recording process {pid} ({inner} in its container)" in ended.stderr
    report = report_on(tmp_path / "x")
    assert report["session"]["fidelity"] == fidelity
    assert report["session"]["listeners"] == [address]
    assert report["requests"]["count"] >= 6
    assert {socket["local"] for socket in report["queues"]["sockets"]} >= {address}
    running = {name for name, probe in statuses(report).items() if probe["status"] != "unavailable"}
    assert running >= {entry.name for entry in SIDE}
