"""Peers are named by who listens, as a person with ss would; what cannot be told is not named."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

import making as m
import netting
import pytest
from ledgering import script
from waiting import until

from perfwatch.probes import peers
from perfwatch.probes.peers import PeersProbe
from perfwatch.probes.readers.doorkeepers import Search, _matching
from perfwatch.probes.readers.local_addresses import parse_interfaces, parse_routes
from perfwatch.probes.records import PeerProcess

PREFORK = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
children = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        while True:
            server.accept()
    children.append(pid)
print(server.getsockname()[1], *children)
sys.stdin.read()
for pid in children:
    os.kill(pid, 9)
"""
OWN_SOCKETS = """
import os, socket, sys
with socket.socket() as reserved:
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    children = []
    for _ in range(2):
        ready, told = os.pipe()
        pid = os.fork()
        if not pid:
            server = socket.create_server(("127.0.0.1", port), reuse_port=True)
            os.write(told, b".")
            while True:
                server.accept()
        os.read(ready, 1)
        children.append(pid)
print(port)
sys.stdin.read()
for pid in children:
    os.kill(pid, 9)
"""
ELSEWHERE = (
    netting.OWN_NETWORK
    + """
print("ready")
sys.stdin.readline()
server = socket.create_server(("0.0.0.0", 7777))
print("listening")
sys.stdin.read()
"""
)
# as the kernel writes it: Linux 6.18
ROUTES = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 192.0.2.2
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
"""


def found(*addresses, seen_by=None):
    """Search for addresses, as this process sees them; returns the PIDs by address."""
    search = Search([(seen_by or os.getpid(), address) for address in addresses])
    for _ in search.steps():
        pass
    return {address: pid for (_, address), pid in search.found.items()}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_listener_is_named_by_its_pid(host):
    with netting.server(host) as (process, (_, port), _):
        own = f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"
        assert found(own) == {own: process.pid}


def test_a_unix_listener_is_named(tmp_path):
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert found(f"unix:{path}", f"unix:{path}.other") == {f"unix:{path}": os.getpid()}


def test_of_a_prefork_server_the_first_process_is_named():
    with script(PREFORK) as (process, line):
        port, *_ = line.split()
        assert found(f"127.0.0.1:{port}") == {f"127.0.0.1:{port}": process.pid}


def test_workers_with_a_socket_each_are_named_by_whom_they_come_from():
    with script(OWN_SOCKETS) as (process, port):
        assert found(f"127.0.0.1:{port}") == {f"127.0.0.1:{port}": process.pid}


def test_the_very_address_goes_before_any():
    doors = [("0.0.0.0:80", 1), ("10.0.0.1:80", 2), ("10.0.0.1:80", 3), ("[::]:81", 4), ("unix:/a", 5)]
    assert _matching("10.0.0.1:80", doors) == (2, 3)
    assert _matching("10.0.0.2:80", doors) == (1,)
    assert _matching("10.0.0.2:81", doors) == (4,)
    assert _matching("[fd00::1]:80", doors) == ()
    assert _matching("unix:/a", doors) == (5,)
    assert _matching("unix:/b", doors) == ()


def test_another_host_is_not_named_whatever_listens_here():
    with netting.server("0.0.0.0") as (_, (_, port), _):
        assert found(f"198.51.100.7:{port}", f"[2001:db8::1]:{port}", "127.0.0.1:1") == {}


@netting.NEEDS_ROOT
@pytest.mark.skipif(not shutil.which("ip"), reason="needs ip (iproute2)")
def test_an_address_of_a_container_is_named():
    with script(ELSEWHERE) as (process, _):
        name = f"pw{os.getpid() % 100_000}"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "there", "netns", str(process.pid))
        try:
            run("ip", "address", "add", "198.51.100.1/24", "dev", name)
            run("ip", "link", "set", name, "up")
            netting.within(process.pid, "ip", "address", "add", "198.51.100.2/24", "dev", "there")
            netting.within(process.pid, "ip", "link", "set", "there", "up")
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "listening\n"
            assert found("198.51.100.2:7777", "198.51.100.1:7777") == {"198.51.100.2:7777": process.pid}
            assert found("127.0.0.1:7777") == {}
            assert found("127.0.0.1:7777", seen_by=process.pid) == {"127.0.0.1:7777": process.pid}
        finally:
            run("ip", "link", "delete", name)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def test_the_hosts_own_addresses():
    assert parse_routes(ROUTES) == {"127.0.0.1", "192.0.2.2"}
    text = "fd000000000000000000000000000002 04 40 00 82     eth0\nnonsense 1\n\n"
    assert parse_interfaces(text) == {"fd00::2"}


# --- the probe


def asking(*addresses, pid=None):
    """A request of this process, or another, that called these addresses."""
    called = tuple(m.peer(address, 1) for address in addresses)
    return m.served(1, 1, ms=1, pid=pid or os.getpid(), peers=called)


def told(probe):
    """Read until a search is over."""
    records = list(probe.read(time.monotonic_ns()))
    until(lambda: probe._search is None or records.extend(probe.read(time.monotonic_ns())), pause_s=0)
    return records


def test_a_peer_is_told_once_and_again_when_another_listens(monkeypatch):
    monkeypatch.setattr(peers, "SLICE_NS", 0)
    with PeersProbe(lambda: [os.getpid()]) as probe:
        with netting.server() as (process, (_, port), _):
            address = f"127.0.0.1:{port}"
            probe.meet([asking(address, "unix:?"), asking(address)])
            assert probe.read(0) == ()
            probe.meet([asking(address)])
            (record,) = told(probe)
            assert isinstance(record, PeerProcess)
            assert (record.seen_by, record.address, record.pid) == (os.getpid(), address, process.pid)
            assert record.name.startswith("python")
            assert not record.is_target
            probe.meet([asking(address)])
            assert told(probe) == []
        assert told(probe) == []
        with socket.create_server(("127.0.0.1", port)):
            probe.meet([asking(address)])
            (record,) = told(probe)
    assert (record.pid, record.is_target) == (os.getpid(), True)


def test_nobody_is_asked_for_a_second_time_soon(monkeypatch):
    searches = []
    monkeypatch.setattr(peers, "Search", lambda asked: searches.append(asked) or Search(asked))
    with PeersProbe(list) as probe:
        for _ in range(3):
            probe.meet([asking("127.0.0.1:1")])
            assert told(probe) == []
    assert len(searches) == 1


def test_no_flood_of_addresses_makes_it_grow(monkeypatch):
    monkeypatch.setattr(peers, "Search", lambda _: Search([]))
    with PeersProbe(list) as probe:
        for number in range(40):
            probe.meet([asking(*(f"10.0.{number}.{host}:80" for host in range(200)))])
            told(probe)
        assert len(probe._again_ns) <= peers.MAX_ADDRESSES


def test_it_runs_for_anybody():
    with PeersProbe(list) as probe:
        assert probe.availability().status == "available"
    assert netting.as_nobody(lambda: PeersProbe(list).availability().status) == "available"
