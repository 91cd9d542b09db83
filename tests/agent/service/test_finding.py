"""Servers are found by what they are, in whichever network namespace, and named by nothing that a path could mean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import psutil
import pytest
import serving
from servicing import faulty
from waiting import until

from perfwatch.agent.containers import Seen
from perfwatch.agent.model_container import Container
from perfwatch.agent.service import finding
from perfwatch.agent.service.finding import Finder, label_of
from perfwatch.agent.service.wanted import parse
from perfwatch.agent.target import Candidate, python_processes
from perfwatch.examples.starting import free_port


def found_by(text):
    """What a service that begins now would record."""
    return [one.pid for one in Finder((parse(text),)).look()]


def test_a_server_is_found_by_its_port_and_its_workers_are_not_besides():
    with serving.gunicorn("faulty:app", workers=2) as server:
        port = server.address.rpartition(":")[2]
        assert found_by(f"port:{port}") == [server.pid]
        assert found_by(f"name:gunicorn command:*{port}*") == [server.pid]
        (candidate,) = (one for one in python_processes() if one.pid == server.pid)
        assert label_of(candidate) == f"gunicorn-{port}-{server.pid}"


def test_a_server_that_comes_later_and_its_successor_are_found_by_later_looks():
    port = free_port()
    finder = Finder((parse(f"port:{port}"),))
    assert finder.look() == ()
    for _ in range(2):
        with faulty(f"127.0.0.1:{port}") as server:
            (found,) = until(finder.look, pause_s=0.1)
            assert found.pid == server.pid
            finder.again(server.pid, 0.0)
            assert [one.pid for one in finder.look()] == [server.pid]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="makes a network namespace, as root")
def test_a_server_in_another_network_namespace_is_found_by_its_port(tmp_path):
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "-", sys.executable, "-m", "http.server"]
    process = subprocess.Popen([*command, "18123", "--bind", "127.0.0.1"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.pid in found_by("port:18123"), pause_s=0.1)
        assert not any(one.laddr.port == 18123 for one in psutil.net_connections("tcp"))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("shop", "shop"),
        ("../../etc/cron.d/x", "etc_cron.d_x"),
        (".hidden\n-o x", "hidden_-o_x"),
        ("é" * 300, ""),
        ("", "x.py"),
    ],
)
def test_a_container_names_the_files_and_nothing_else(monkeypatch, name, label):
    monkeypatch.setattr(finding, "seen", lambda _: Seen((), Container("a" * 64, "docker", name or None)))
    shown = label_of(Candidate(7, "python x.py", None, None, ("0.0.0.0:80",), "root", 0))
    assert shown == "-".join(filter(None, (label, "80", "7")))
