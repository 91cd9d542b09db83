"""The kernel's side: what the filters pass, and that its sample is ours."""

import fcntl
import os
import socket
import struct
import termios
import time
from pathlib import Path

import pytest
from confined import answer
from ledgering import script
from netting import connections, server
from wiring import NEEDS_PACKETS

from perfwatch.probes.wire.capture import RING_BYTES, SLOT_BYTES, Capture
from perfwatch.probes.wire.filters import (
    HEADER_BYTES,
    MAX_PORTS,
    SHARES,
    Instruction,
    assemble,
    connection_filter,
    request_filter,
)
from perfwatch.probes.wire.following import Following, in_sample
from perfwatch.probes.wire.segments import SYN, parse_segment

SECOND = 1_000_000_000
SINK = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
connection = server.accept()[0]
while connection.recv(1 << 20):
    pass
"""


def test_labels_become_jumps_and_long_jumps_are_refused():
    program = [Instruction(0x15, 7, "end", ""), Instruction(0x05, yes="end"), Instruction(0x06, 1), "end"]
    assembled = assemble([*program, Instruction(0x06, 0)])
    assert assembled.hex(" ", 8) == "1500020007000000 0500000001000000 0600000001000000 0600000000000000"
    with pytest.raises(ValueError, match="out of reach"):
        assemble([Instruction(0x15, 7, "end"), *[Instruction(0x06, 0)] * 300, "end", Instruction(0x06, 0)])


@NEEDS_PACKETS
@pytest.mark.parametrize("make", [request_filter, connection_filter])
@pytest.mark.parametrize("share", [1, SHARES])
def test_the_kernel_takes_them_with_any_number_of_ports(make, share):
    with Capture(os.getpid(), make([], share)) as capture:
        for number in (1, MAX_PORTS, 500):
            capture.filter(make(range(1000, 1000 + number), share))


def capturing(make, port, **options):
    return Capture(os.getpid(), make([port], **options))


def unsent(client):
    """Return how many bytes the peer has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]


@NEEDS_PACKETS
def test_acknowledgements_and_bodies_stay_in_the_kernel():
    """Of a transfer of 20 MB only what begins or ends the connection comes out, and nothing of it twice."""
    with script(SINK) as (_, port), capturing(connection_filter, int(port), acknowledgements=False) as capture:
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.sendall(bytes(20_000_000))
        seen = []
        end = time.monotonic() + 5
        while sum(segment.flags & 1 for segment in seen) < 2 and time.monotonic() < end:
            found = [parse_segment(packet.data, packet.length) for packet in capture.packets()]
            seen += [one for one in found if int(port) in (one.source.port, one.destination.port)]
        assert [segment.flags & 0x07 for segment in seen] == [2, 2, 1, 1]


IMPORTS = """
import fcntl, os, struct, subprocess, time
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether
from perfwatch.probes.wire.capture import Capture
from perfwatch.probes.wire.filters import connection_filter
from perfwatch.probes.wire.segments import parse_segment
"""
INJECTED = """
link, tagged = sys.argv[1], sys.argv[2] == "tagged"
device = os.open("/dev/net/tun", os.O_RDWR)
flags = {"tun": 0x1001, "tap": 0x1002}[link]  # without a header of its own
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"wire0", flags))
own = ["address", "02:00:00:00:00:02"] if link == "tap" else []
subprocess.run(["ip", "link", "set", "wire0", *own, "up"], check=True)
packet = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1234, dport=80, flags="S", seq=7)
if link == "tap":
    packet = Ether(dst=own[1], src="02:00:00:00:00:01") / (Dot1Q(vlan=5) / packet if tagged else packet)
with Capture(os.getpid(), connection_filter([])) as capture:
    os.write(device, bytes(packet))
    end, found = time.monotonic() + 5, []
    while not found and time.monotonic() < end:
        found = [(parse_segment(one.data, one.length), one.way) for one in capture.packets()]
result = [[one.source.port, one.destination.port, one.sequence, one.flags, way] for one, way in found]
"""


@NEEDS_PACKETS
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun")
@pytest.mark.parametrize("link", ["tun plain", "tap plain", "tap tagged"])
def test_links_without_a_header_ethernet_and_vlan(link):
    found = answer(INJECTED, *link.split(), unshare=("--net",), imports=IMPORTS)
    assert found == [[1234, 80, 7, SYN, "in"]]


@NEEDS_PACKETS
def test_the_kernels_sample_is_ours():
    with (
        server(backlog=300) as (_, address, _),
        Capture(os.getpid(), connection_filter([], SHARES // 4)) as capture,
        connections(address, 200) as clients,
    ):
        ports = {client.getsockname()[1] for client in clients}
        segments = [parse_segment(packet.data, packet.length) for packet in capture.packets()]
    passed = {one.source.port for one in segments if one.flags == SYN and one.destination.port == address[1]}
    assert passed == {port for port in ports if in_sample(port, address[1], SHARES // 4)}
    assert 20 <= len(passed) <= 85  # a quarter of 200


@NEEDS_PACKETS
def test_a_ring_that_runs_over_is_told_and_goes_on():
    slots = RING_BYTES // SLOT_BYTES
    with (
        script(SINK) as (_, port),
        capturing(request_filter, int(port)) as capture,
        socket.create_connection(("127.0.0.1", int(port))) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(slots + 500):
            client.send(b"x")
            while unsent(client):
                pass  # for some microseconds: else several bytes go in one segment
        assert len(list(capture.packets())) == slots
        assert capture.dropped() > 0
        assert capture.dropped() == 0
        client.send(b"later")
        (packet,) = capture.packets()
    assert parse_segment(packet.data, packet.length).payload.endswith(b"later")
    assert len(packet.data) < HEADER_BYTES
    assert 0 < time.monotonic_ns() - packet.at_ns < 5 * SECOND


def test_too_many_packets_halve_what_is_followed_and_calm_brings_it_back():
    following = Following(acknowledgements=True, max_packets_s=1000)
    at_ns = SECOND
    assert not following.update(at_ns, 0, 0)
    seen = []
    for _ in range(8):
        at_ns += SECOND
        following.update(at_ns, 2000, 0)
        seen.append((following.acknowledgements, following.share))
    assert seen == [(False, 64), *((False, share) for share in (32, 16, 8, 4, 2, 1, 1))]
    assert str(following) == "follows 1 in 64 connections: too many packets"
    for _ in range(20):
        at_ns += SECOND
        following.update(at_ns, 100, 0)
    assert following.share == 2
    at_ns += SECOND
    assert following.update(at_ns, 0, 1)  # a single packet that was dropped
    assert following.share == 1
    for _ in range(7 * 20):
        at_ns += SECOND
        following.update(at_ns, 100, 0)
    assert (following.acknowledgements, str(following)) == (True, "follows all connections")
