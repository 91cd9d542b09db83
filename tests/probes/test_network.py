"""The counters of network namespaces: against traffic that was made, nstat, ip and psutil."""

import json
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgering import script
from netting import NEEDS_ROOT, OWN_NETWORK, as_nobody, within
from waiting import until

from perfwatch.probes import network, roots
from perfwatch.probes.errors import Malformed
from perfwatch.probes.network import NetworkProbe, parse_counters, parse_interfaces
from perfwatch.probes.records import decode, encode

FIXTURES = Path(__file__).parent.parent / "fixtures" / "proc"
OVERFLOWING = (
    OWN_NETWORK
    + """
server = socket.create_server(("127.0.0.1", 0), backlog=1)
held = []
print("ready")
for line in sys.stdin:
    for _ in range(4):
        held.append(socket.socket())
        held[-1].setblocking(False)
        held[-1].connect_ex(server.getsockname())
    print("done", flush=True)
"""
)
IDLE = OWN_NETWORK + "print('ready')\nsys.stdin.read()\n"


def sample(*pids):
    """Return one sample of the first of these processes that lives."""
    with NetworkProbe(lambda: pids) as probe:
        found = probe.read(7)
    assert [decode(encode(one)) for one in found] == list(found)
    return found[0] if found else None


def nstat(pid):
    """Return the kernel's counters in a process's namespace, as nstat prints them."""
    return json.loads(within(pid, "nstat", "-asz", "-j"))["kernel"]


# --- the live kernel


@NEEDS_ROOT
def test_overflows_of_an_accept_queue_are_counted_as_by_nstat():
    with script(OVERFLOWING) as (process, _):
        before = sample(process.pid)
        assert before.listen_overflows == before.listen_drops == 0

        def overflow():
            process.stdin.write("more\n")
            process.stdin.flush()
            process.stdout.readline()
            return sample(process.pid).listen_overflows >= 3

        until(overflow)
        for _ in range(20):
            first, theirs, again = sample(process.pid), nstat(process.pid), sample(process.pid)
            if first == again:
                break
        assert first.listen_overflows == theirs["TcpExtListenOverflows"]
        assert first.listen_drops == theirs["TcpExtListenDrops"]
        assert first.sent_segments == theirs["TcpOutSegs"]
        assert first.received_segments == theirs["TcpInSegs"]
        assert first.retransmitted_segments == theirs["TcpRetransSegs"]
        assert first.backlog_drops == theirs["TcpExtTCPBacklogDrop"]
        assert first.timeouts == theirs["TcpExtTCPTimeouts"]
        assert first.resets_sent == theirs["TcpOutRsts"]


@NEEDS_ROOT
def test_a_namespace_has_counters_of_its_own():
    with script(IDLE) as (process, _):
        theirs = sample(process.pid)
        assert (theirs.sent_segments, theirs.received_bytes, theirs.speed_bits) == (0, 0, None)
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
            assert sample(os.getpid()).sent_segments > 0
        assert sample(process.pid).sent_segments == 0


@NEEDS_ROOT
def test_bytes_of_an_interface_are_those_of_ip():
    with ExitStack() as stack:
        (one, _), (other, _) = (stack.enter_context(script(IDLE)) for _ in range(2))
        within(one.pid, "ip", "link", "add", "near", "type", "veth", "peer", "name", "away", "netns", str(other.pid))
        within(one.pid, "ip", "addr", "add", "10.99.0.1/24", "dev", "near")
        within(other.pid, "ip", "addr", "add", "10.99.0.2/24", "dev", "away")
        within(other.pid, "ip", "link", "set", "away", "up")
        within(one.pid, "ip", "link", "set", "near", "up")
        send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(bytes(1000), ('10.99.0.2', 9))"
        within(one.pid, "/usr/bin/env", "python3", "-W", "ignore", "-c", send)
        until(lambda: sample(other.pid).received_bytes >= 1000)

        def theirs():
            (link,) = json.loads(within(one.pid, "ip", "-j", "-s", "link", "show", "near"))
            counted = link["stats64"]
            return counted["rx"]["bytes"], counted["tx"]["bytes"]

        def ours():
            now = sample(one.pid)
            return now.received_bytes, now.sent_bytes

        # Neighbour discovery may send a packet between two readings.
        until(lambda: theirs() == ours())
        assert ours()[1] >= 1000


def test_segments_grow_with_traffic():
    before = sample(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(50):
            socket.create_connection(listener.getsockname()).close()
    after = sample(os.getpid())
    assert after.sent_segments - before.sent_segments >= 150
    assert after.received_segments - before.received_segments >= 150
    assert after.at_ns == 7


def test_bytes_are_those_of_psutil():
    """Both read the same file, one after the other: what came meanwhile may differ."""
    for _ in range(20):
        first, other, again = sample(os.getpid()), psutil.net_io_counters(pernic=True), sample(os.getpid())
        if first == again:
            break
    physical = {name for name in other if (roots.SYS / "class/net" / name / "device").exists()}
    counted = [value for name, value in other.items() if name in (physical or other.keys() - {"lo"})]
    assert first.received_bytes <= sum(one.bytes_recv for one in counted) <= again.received_bytes
    assert first.sent_bytes <= sum(one.bytes_sent for one in counted) <= again.sent_bytes
    assert first.interface_drops <= sum(one.dropin + one.dropout for one in counted) <= again.interface_drops


def test_a_process_that_ended_is_passed_over():
    with script("print()") as (process, _):
        pass
    assert sample(process.pid) is None
    assert sample(process.pid, os.getpid()) is not None


def test_of_every_user():
    pid = os.getpid()
    if os.geteuid() != 0:
        assert sample(pid) is not None
        return
    assert as_nobody(lambda: f"{NetworkProbe(lambda: [pid]).availability().status} {sample(pid).at_ns}") == (
        "available 7"
    )


def test_availability_of_what_is_not_there():
    assert NetworkProbe(list).availability().status == "available"
    assert NetworkProbe(list).read(time.monotonic_ns()) == []


# --- files that were kept, and such as no kernel writes


def test_the_files_of_linux_6_18():
    counters = parse_counters((FIXTURES / "net-snmp.linux-6.18").read_bytes())
    assert counters["Tcp", "MaxConn"] == -1
    assert counters["Tcp", "OutSegs"] > counters["Tcp", "RetransSegs"] > 0
    assert counters["Udp", "InDatagrams"] >= 0
    extended = parse_counters((FIXTURES / "net-netstat.linux-6.18").read_bytes())
    assert extended["TcpExt", "ListenOverflows"] == 0
    assert extended["IpExt", "InOctets"] > 0
    interfaces = {one.name: one for one in parse_interfaces((FIXTURES / "net-dev.linux-6.18").read_bytes())}
    assert {"lo", "eth0"} <= interfaces.keys()
    assert interfaces["lo"].received_bytes == interfaces["lo"].sent_bytes > 0


def test_a_kernel_without_the_extended_counters(monkeypatch, tmp_path):
    net = tmp_path / "1" / "net"
    net.mkdir(parents=True)
    for name in ("snmp", "dev"):
        (net / name).write_bytes((FIXTURES / f"net-{name}.linux-6.18").read_bytes())
    monkeypatch.setattr(roots, "PROC", tmp_path)
    taken = sample(1)
    assert (taken.listen_overflows, taken.listen_drops, taken.backlog_drops, taken.timeouts) == (None,) * 4
    assert taken.resets_sent is not None
    (net / "snmp").write_bytes(b"Tcp: InSegs\nTcp: 1\n")
    with pytest.raises(Malformed, match="OutSegs, RetransSegs"):
        sample(1)


def test_hardware_and_its_speed(monkeypatch, tmp_path):
    """A bridge carries again what its hardware carries; a cable that is not plugged in has no speed."""

    def link(name, speed, state, *, is_hardware):
        directory = tmp_path / "class" / "net" / name
        directory.mkdir(parents=True)
        (directory / "speed").write_text(speed)
        (directory / "operstate").write_text(state)
        if is_hardware:
            (directory / "device").mkdir()

    monkeypatch.setattr(roots, "SYS", tmp_path)
    link("eth0", "10000\n", "up\n", is_hardware=True)
    link("eth1", "-1\n", "down\n", is_hardware=True)
    link("docker0", "10000\n", "up\n", is_hardware=False)
    names = {"eth0", "eth1", "docker0"}
    assert network._hardware(names) == ({"eth0", "eth1"}, 10_000_000_000)
    link("eth2", "-1\n", "up\n", is_hardware=True)
    assert network._hardware({*names, "eth2"}) == ({"eth0", "eth1", "eth2"}, None)
    assert network._hardware({"docker0"}) == (frozenset(), None)


def test_a_name_may_hold_what_ends_a_line_elsewhere():
    line = b": 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n"
    found = parse_interfaces(
        b"Inter-|\n face |\n" + b"".join(name + line for name in (b"  lo", b"a\x1cb\x1b[31m", b"\xff"))
    )
    assert [one.name for one in found] == ["lo", "a\x1cb\x1b[31m", "\ufffd"]


@pytest.mark.parametrize("data", [b"Tcp: A B\nUdp: 1 2\n", b"Tcp: A\nTcp: x\n", b"Tcp: A\nTcp: 1.5\n"])
def test_counters_that_are_none(data):
    with pytest.raises(Malformed):
        parse_counters(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_counters_or_malformed(data):
    for parse in (parse_counters, parse_interfaces):
        try:
            parse(b"Tcp: A B\nTcp: " + data)
            parse(data)
        except Malformed:
            continue
