"""Connections on the live kernel: as many as there were, with the times that the client measured."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confined import HIDE, answer
from ledgering import script
from netting import NEEDS_ROOT, NOBODY, OWN_NETWORK, as_nobody, connections, descriptors, server, within
from wiring import NEEDS_PACKETS, packet_sockets, watching

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.samples import RateChange
from perfwatch.probes.wire.capture import Packet
from perfwatch.probes.wire.filters import SHARES
from perfwatch.probes.wire.following import Following, in_sample
from perfwatch.probes.wire.owners import Listeners
from perfwatch.probes.wire.probe import MAX_CONNECTIONS, MAX_UNCLAIMED, WireProbe
from perfwatch.probes.wire.segments import Endpoint

pytestmark = NEEDS_PACKETS

CLIENT = """
import socket, sys, time
print("ready")
for line in sys.stdin:
    host, port = line.split()
    began = time.monotonic_ns()
    connection = socket.create_connection((host, int(port)))
    print(time.monotonic_ns() - began, flush=True)
    sys.stdin.readline()
"""
ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
while True:
    connection = server.accept()[0]
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
"""


def test_23_connections_are_23_records_and_their_bytes_are_counted():
    with script(ECHO) as (process, port), watching(process.pid) as wire:
        for number in range(1, 24):
            with socket.create_connection(("127.0.0.1", int(port))) as client:
                client.sendall(bytes(number))
                received = 0
                while received < number:
                    received += len(client.recv(65536))
        found = wire.closed(23)
    assert len(found) == 23
    assert [one.received_bytes for one in found] == list(range(1, 24))
    assert [one.sent_bytes for one in found] == list(range(1, 24))
    assert {one.local for one in found} == {f"127.0.0.1:{port}"}
    assert len({one.peer for one in found}) == 23
    assert all(0 < one.setup_ns < 50_000_000 and not one.reset and not one.retransmits for one in found)
    assert all(one.tls_ns is one.tls_version is one.resumed is None for one in found)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_set_up_time_is_the_clients(host):
    with server(host) as (process, address, _), watching(process.pid) as wire:
        took_ns = []
        for _ in range(10):
            began = time.monotonic_ns()
            with socket.create_connection(address):
                took_ns.append(time.monotonic_ns() - began)
        found = wire.until(lambda found: sum(one.setup_ns is not None for one in found) == 10)
    # The kernel's part of connect(2): less than the whole, and most of it.
    assert all(one.setup_ns <= took for one, took in zip(found, took_ns, strict=True))
    assert sum(took - one.setup_ns < 1_000_000 for one, took in zip(found, took_ns, strict=True)) >= 8
    assert all(one.local.startswith("[::1]:" if ":" in host else "127.0.0.1:") for one in found)


def test_a_reset_is_told():
    with server() as (process, address, tell), watching(process.pid) as wire:
        with connections(address, 1) as (client,):
            tell("accept")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        (connection,) = wire.closed(1)
    assert connection.reset
    assert (connection.sent_bytes, connection.received_bytes) == (0, 0)


def test_a_connection_that_is_older_than_the_attaching_is_told_when_it_ends():
    with server() as (process, address, tell), connections(address, 2) as (first, _):
        tell("accept")
        with watching(process.pid) as wire:
            first.close()
            assert wire.read() == []  # half closed: it lives
            process.kill()
            process.wait()
            found = wire.closed(1)
    assert all((one.opened_ns, one.setup_ns, one.sent_bytes) == (None, None, None) for one in found)


def test_a_full_accept_queue_makes_the_client_ask_again():
    """The kernel drops SYNs while the accept queue is full; the client asks again after a second."""
    with server(backlog=0) as (process, address, tell), watching(process.pid) as wire, contextlib.ExitStack() as stack:
        stack.enter_context(connections(address, 1))
        late = stack.enter_context(socket.socket())
        late.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            late.connect(address)
        wire.until(lambda found: any(one.retransmits for one in found))
        tell("accept")
        late.setblocking(True)
        found = wire.until(lambda found: len(found) == 2 and all(one.setup_ns is not None for one in found))
        peer = f"127.0.0.1:{late.getsockname()[1]}"
    (connection,) = (one for one in found if one.peer == peer)
    assert connection.retransmits >= 1
    assert 0.9e9 < connection.setup_ns < 8e9


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_own_connections_are_claimed_and_those_of_others_are_not(host):
    with (
        server() as (_, address, _),
        script(CLIENT) as (client, _),
        watching(client.pid) as wire,
        connections(address, 3),  # ours, and not the target's
    ):
        client.stdin.write(f"{host} {address[1]}\n")
        client.stdin.flush()
        took_ns = int(client.stdout.readline())
        (connection,) = wire.until(lambda found: found)
    assert (connection.role, connection.peer) == ("connected", f"127.0.0.1:{address[1]}")
    assert 0 < connection.setup_ns <= took_ns


@NEEDS_ROOT
@pytest.mark.skipif(not shutil.which("ip"), reason="needs ip (iproute2)")
@pytest.mark.parametrize("bridged", [False, True])
def test_a_target_in_another_network_namespace_across_a_veth_pair(bridged):
    """Behind a bridge the server's packets pass two interfaces, and count once."""
    with (
        server("0.0.0.0", network=OWN_NETWORK) as (process, (_, port), _),
        script(OWN_NETWORK + CLIENT) as (client, _),
    ):
        ends = [(process.pid, "server", "10.77.0.1/24"), (client.pid, "client", "10.77.0.2/24")]
        pair = ["ip", "link", "add", "server", "netns", str(process.pid), "type", "veth"]
        subprocess.run([*pair, "peer", "name", "client", "netns", str(client.pid)], check=True)
        for pid, name, address in ends:
            holder = name
            if bridged and name == "server":
                holder = "bridge"
                within(pid, "ip", "link", "add", holder, "type", "bridge", "forward_delay", "0")
                within(pid, "ip", "link", "set", name, "master", holder)
                within(pid, "ip", "link", "set", holder, "up")
            within(pid, "ip", "address", "add", address, "dev", holder)
            within(pid, "ip", "link", "set", name, "up")
        with watching(process.pid) as accepting, watching(client.pid) as connecting:
            client.stdin.write(f"10.77.0.1 {port}\n")
            client.stdin.flush()
            took_ns = int(client.stdout.readline())
            (accepted,) = accepting.until(lambda found: found and found[0].setup_ns)
            (connected,) = connecting.until(lambda found: found and found[0].setup_ns)
    assert (accepted.role, accepted.local, accepted.retransmits) == ("accepted", f"10.77.0.1:{port}", 0)
    assert (connected.role, connected.local, connected.peer) == ("connected", accepted.peer, accepted.local)
    assert 0 < accepted.setup_ns <= took_ns
    assert 0 < connected.setup_ns <= took_ns


def test_over_budget_it_follows_less_and_says_so():
    with server(backlog=2000) as (process, address, _), watching(process.pid) as wire:
        wire.probe._following = Following(acknowledgements=True, max_packets_s=20)
        wire.until(lambda _: _opened_one(address) and len(wire.others) >= 3)
        assert all(isinstance(record, RateChange) and record.period_ns == record.was_ns for record in wire.others)
        assert [record.followed for record in wire.others[:3]] == [1.0, 0.5, 0.25]
        assert [record.reason for record in wire.others[:3]] == [
            "does not see the end of a connection's set-up: too many packets",
            "follows 1 in 2 connections: too many packets",
            "follows 1 in 4 connections: too many packets",
        ]
        wire.found.clear()
        ports = [_opened_one(address) for _ in range(100)]
        found = wire.until(lambda found: found)
        assert all(one.setup_ns is None for one in found)
        followed = {f"127.0.0.1:{port}" for port in ports if in_sample(port, address[1], SHARES // 4)}
        wire.until(lambda found: followed <= {one.peer for one in found})
        peers = {one.peer for one in wire.read()}
        assert peers & {f"127.0.0.1:{port}" for port in ports} == followed


def _opened_one(address):
    """Open a connection and reset it: that is told even where its acknowledgements are not followed."""
    with socket.create_connection(address) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return client.getsockname()[1]


def test_a_listener_that_comes_later_is_followed():
    source = """
import socket, sys
print("ready")
sys.stdin.readline()
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.readline()
"""
    with script(source) as (process, _), watching(process.pid) as wire:
        process.stdin.write("\n")
        process.stdin.flush()
        address = ("127.0.0.1", int(process.stdout.readline()))

        def seen(found):
            with socket.create_connection(address):
                return found

        assert wire.until(seen)[0].role == "accepted"


def test_nothing_is_left_behind_and_no_interface_becomes_promiscuous():
    flags = {path: path.read_text() for path in Path("/sys/class/net").glob("*/flags")}
    sockets, numbers = packet_sockets(), descriptors()
    for _ in range(2):
        with watching(os.getpid()) as wire:
            wire.read()
            assert len(packet_sockets() - sockets) == 1
            assert {path: path.read_text() for path in flags} == flags
        assert wire.probe.read(time.monotonic_ns()) == []
    assert packet_sockets() <= sockets
    assert descriptors() == numbers


def _packet(source_port, destination_port, flags, sequence=0):
    client, server = Endpoint(b"\x0a\0\0\1", source_port), Endpoint(b"\x0a\0\0\2", destination_port)
    data = struct.pack("!BxH2xHxB2x4s4s", 0x45, 40, 0, 6, client.address, server.address)
    data += struct.pack("!HHIIBB6x", source_port, destination_port, sequence, 0, 0x50, flags)
    return Packet(0, 1, "in", 40, data)


def test_a_flood_of_strangers_is_bounded():
    probe = WireProbe(list)
    probe._listeners = Listeners(frozenset({"0.0.0.0:80"}))
    for number in range(3 * MAX_CONNECTIONS):
        probe._take(_packet(number + 1024, 80, 0x02))
        probe._take(_packet(number + 1024, 80, 0x02))  # once more: that is news
        probe._take(_packet(number + 1024, 80, 0x04, sequence=7))
        probe._take(_packet(number + 1024, 81, 0x02))  # nobody listens there
        probe._take(_packet(number % 1024, 80, 0x04))  # a reset of nothing
    assert len(probe._connections) == len(probe._news) == MAX_CONNECTIONS
    assert probe._untold == 2 * MAX_CONNECTIONS


def test_what_cannot_be_claimed_is_forgotten():
    probe = WireProbe(list)
    for number in range(3 * MAX_UNCLAIMED):
        probe._take(_packet(number + 1024, 80, 0x02)._replace(way="out"))
    assert len(probe._connections) == len(probe._unclaimed) == MAX_UNCLAIMED
    assert not probe._news


def _refused():
    probe = WireProbe(lambda: [os.getpid()])
    words = [probe.availability().status, probe.availability().remedy]
    try:
        with probe:
            words.append("opened")
    except Unavailable as error:
        words += [error.reason, error.remedy]
    return "|".join(words)


def test_another_user_is_told_what_is_missing():
    import scapy.arch.linux  # noqa: F401 - nobody may not read the interpreter's files

    status, remedy, reason, same = as_nobody(_refused).split("|")
    assert (status, same) == ("unavailable", remedy)
    assert "CAP_NET_RAW" in remedy
    assert reason == "packets may not be captured by this user"


ALONE = """
import os, socket, sys, time
from perfwatch.probes.wire.probe import WireProbe
server = socket.create_server(("127.0.0.1", 0))
probe = WireProbe(lambda: [os.getpid()])
print(os.getuid(), probe.availability().status)
with probe, socket.create_connection(server.getsockname()):
    found, end = [], time.monotonic() + 5
    while not found and time.monotonic() < end:
        found = probe.read(time.monotonic_ns())
print(*(record.role for record in found))
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (util-linux)")
def test_the_remedy_is_enough():
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    capability = ["--inh-caps=+net_raw", "--ambient-caps=+net_raw"]
    command = [*user, *capability, sys.executable, "-c", ALONE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if "Permission denied" in done.stderr:
        pytest.skip("nobody may not read the interpreter")
    assert (done.stdout, done.stderr) == (f"{NOBODY} available\naccepted\n", "")


def test_with_hidepid_a_strangers_process_is_not_there():
    imports = "from perfwatch.probes.wire.probe import WireProbe"
    body = "said = WireProbe(lambda: [1]).availability(); result = [said.status, said.reason]"
    status, reason = answer(body, setup=HIDE, nobody=True, imports=imports)
    assert (status, reason) == ("unavailable", "the target has no process that can be seen")


def test_a_target_that_has_ended_is_told():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    for tree in ([done.pid], []):
        probe = WireProbe(lambda tree=tree: tree)
        assert "no process" in probe.availability().reason
        with pytest.raises(Vanished):
            probe.__enter__()
