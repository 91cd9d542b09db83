"""The sockets of real processes in known states: counted, told apart, and followed while they come and go."""

import os
import resource
import signal
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest
from ledgering import script
from netting import (
    NEEDS_ROOT,
    NEEDS_SS,
    OWN_NETWORK,
    SO_COOKIE,
    as_nobody,
    connections,
    descriptors,
    equal,
    let_go_of_sockets,
    server,
    ss,
    within,
)
from waiting import until

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers import sock_diag, socket_table
from perfwatch.probes.readers.diag_messages import InetMessage
from perfwatch.probes.records import Loss, decode, encode
from perfwatch.probes.sockets import MAX_SHOWN, SocketsProbe, most_telling

MANY = 5_000
MANY_CONNECTIONS = (
    OWN_NETWORK
    + """
import resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
server = socket.create_server(("127.0.0.1", 0), backlog=4096)
held = []
def connect():
    held.append((socket.create_connection(server.getsockname()), server.accept()[0]))
for _ in range(int(sys.argv[1])):
    connect()
print("ready")
for line in sys.stdin:
    if line == "connect\\n":
        connect()
    elif line == "close\\n":
        for one in held.pop():
            one.close()
    print("done")
"""
)
LOSING = (
    OWN_NETWORK
    + """
def run(*commands):
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
here, there = socket.socketpair()
child = os.fork()
if not child:
    here.close()
    assert libc.unshare(0x40000000) == 0
    there.send(b"1")
    there.recv(1)
    run("addr add 10.99.0.2/24 dev away", "link set away up")
    server = socket.create_server(("10.99.0.2", 80))
    there.send(b"2")
    accepted = server.accept()[0]
    there.recv(1)
    run("addr del 10.99.0.2/24 dev away")
    there.send(b"3")
    there.recv(1)
    os._exit(0)
there.close()
here.recv(1)
run(f"link add near type veth peer name away netns {child}", "addr add 10.99.0.1/24 dev near", "link set near up")
here.send(b"1")
here.recv(1)
client = socket.create_connection(("10.99.0.2", 80))
here.send(b"2")
here.recv(1)
client.send(bytes(10))
print("ready")
sys.stdin.read()
"""
)


@contextmanager
def probing(*pids):
    """A probe of these processes, open; yields a function that reads its sample."""
    tree = list(pids)
    with SocketsProbe(lambda: tree) as probe:

        def sample():
            taken, *losses = probe.read(time.monotonic_ns())
            assert losses == []
            assert decode(encode(taken)) == taken
            return taken

        yield sample


def roles(sample):
    return sorted(one.role for one in sample.sockets)


def test_23_connections_are_23():
    with server() as (process, address, tell), connections(address, 23), probing(process.pid) as sample:
        for _ in range(23):
            tell("accept")
        taken = sample()
        assert roles(taken) == ["accepted"] * 23 + ["listening"]
        assert taken.count == 24
        assert taken.by_state == (("ESTABLISHED", 23), ("LISTEN", 1))
        assert {one.pid for one in taken.sockets} == {process.pid}
        assert taken.sockets[0].role == "listening"


@NEEDS_SS
def test_an_accept_queue_filled_to_7_reads_7():
    with server(backlog=16) as (process, address, tell), connections(address, 7), probing(process.pid) as sample:
        (door,) = sample().sockets
        assert (door.recv_q, door.send_q, door.peer, door.state) == (7, 16, None, "LISTEN")
        ((_, recv_q, send_q, *_),) = ss("-ltn", "sport", "=", f":{address[1]}")
        assert (recv_q, send_q) == ("7", "16")
        tell("accept")
        assert max(one.recv_q for one in sample().sockets) == 6


@NEEDS_SS
def test_unread_bytes_are_those_of_ss():
    with server() as (process, address, tell), connections(address, 3) as clients:
        for size, client in enumerate(clients, 1):
            client.sendall(bytes(size << 10))
            tell("accept")
        with probing(process.pid, os.getpid()) as sample:
            taken = until(lambda: (now := sample()).recv_q_bytes == 6 << 10 and now.send_q_bytes == 0 and now)
            queues = [one.recv_q for one in taken.sockets if one.role == "accepted"]
            assert queues == [3 << 10, 2 << 10, 1 << 10], "the longest first"

            def ours():
                return sorted((one.local, one.recv_q) for one in sample().sockets if one.role == "accepted")

            def theirs():
                lines = ss("-tn", "state", "established", f"( sport = :{address[1]} )")
                return sorted((line[2], int(line[0])) for line in lines)

            equal(ours, theirs)


def test_roles_outlive_the_listener():
    with server() as (process, address, tell), connections(address, 2), probing(process.pid) as sample:
        tell("accept")
        assert roles(sample()) == ["accepted", "listening"]
        tell("listen no more")
        assert roles(sample()) == ["accepted"]


def test_who_connects_is_told_from_who_is_connected_to():
    with server() as (process, address, _), connections(address, 2) as clients, probing(os.getpid()) as sample:
        ours = {f"127.0.0.1:{one.getsockname()[1]}" for one in clients}
        found = [one for one in sample().sockets if one.local in ours]
        assert [(one.role, one.peer) for one in found] == [("connected", f"{address[0]}:{address[1]}")] * 2
        assert process.poll() is None


def test_a_shared_listener_counts_once():
    with (
        script(
            "import os, socket, sys\n"
            "server = socket.create_server(('127.0.0.1', 0))\n"
            "child = os.fork()\n"
            "print(child) if child else None\n"
            "sys.stdin.read()"
        ) as (process, child),
        probing(int(child), process.pid) as sample,
    ):
        taken = sample()
        assert taken.count == 1
        assert taken.sockets[0].pid == min(process.pid, int(child))


def test_unix_sockets_but_not_nameless_pairs(tmp_path):
    path = str(tmp_path / "server.sock")
    with ExitStack() as stack:
        listener, client = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        for one in socket.socketpair():
            stack.enter_context(one)
        listener.bind(path)
        listener.listen(5)
        client.connect(path)
        accepted = stack.enter_context(listener.accept()[0])
        client.send(b"x" * 300)
        with probing(os.getpid()) as sample:
            for _ in range(2):  # listed, and then asked for
                taken = sample()
                found = [one for one in taken.sockets if one.local.startswith("unix:")]
                assert {(one.role, one.local, one.peer) for one in found} == {
                    ("listening", f"unix:{path}", None),
                    ("accepted", f"unix:{path}", "unix:?"),
                    ("connected", "unix:?", f"unix:{path}"),
                }
                cookie = accepted.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
                (there,) = [one for one in found if one.role == "accepted"]
                assert (there.recv_q, there.cookie) == (300, int.from_bytes(cookie, "little"))
        assert taken.recv_q_bytes >= 300


def test_a_socket_that_connects_later_is_found():
    with server() as (_, address, _), socket.socket() as client, probing(os.getpid()) as sample:
        before = [sample().count for _ in range(20)][-1]
        client.connect(address)
        assert before + 1 in [sample().count for _ in range(64)]


def test_what_is_no_stream_socket_is_looked_up_ever_less(monkeypatch):
    listed = []
    original = socket_table.SocketTable._listed
    monkeypatch.setattr(socket_table.SocketTable, "_listed", lambda table: listed.append(1) or original(table))
    with socket.socket(type=socket.SOCK_DGRAM), probing(os.getpid()) as sample:
        for _ in range(100):
            sample()
    assert 2 <= len(listed) <= 8


def test_a_peer_that_does_not_read_holds_up():
    with server() as (process, address, tell), connections(address, 1), probing(process.pid) as sample:
        tell("accept")
        tell("send")

        def accepted():
            (one,) = [one for one in sample().sockets if one.role == "accepted"]
            return one

        before = accepted()
        after = until(lambda: (now := accepted()).rwnd_limited_ns >= before.rwnd_limited_ns + 50_000_000 and now)
        assert after.send_q > 0
        assert after.busy_ns >= after.rwnd_limited_ns
        assert after.sent_bytes > 0


@NEEDS_ROOT
@NEEDS_SS
def test_retransmits_are_those_of_ss():
    """A peer that lost its address hears nothing and says nothing."""
    with script(LOSING) as (process, _), probing(process.pid) as sample:

        def ours():
            (one,) = sample().sockets
            return one.retransmits

        def theirs():
            words = [word for line in ss("-tinm", "state", "established", pid=process.pid) for word in line]
            (retransmits,) = [word for word in words if word.startswith("retrans:")]
            return int(retransmits.rpartition("/")[2])

        until(lambda: ours() >= 2)
        equal(ours, theirs)
        assert sample().send_q_bytes == 10


@NEEDS_ROOT
def test_another_network_namespace():
    with server(network=OWN_NETWORK) as (process, address, _), server() as (other, there, _):
        with probing(process.pid, other.pid) as sample:
            found = {(one.pid, one.local) for one in sample().sockets}
            assert found == {
                (process.pid, f"{address[0]}:{address[1]}"),
                (other.pid, f"{there[0]}:{there[1]}"),
            }
        assert "LISTEN" in within(process.pid, "ss", "-ltn")


@NEEDS_ROOT
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * MANY + 100, reason="the limit of open files is too low"
)
def test_10_000_sockets_are_followed():
    with script(MANY_CONNECTIONS, arguments=(MANY,)) as (process, _), probing(process.pid) as sample:

        def tell(command):
            process.stdin.write(command + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        for _ in range(2):
            taken = sample()
            assert taken.count == 2 * MANY + 1
            assert len(taken.sockets) == MAX_SHOWN
            assert dict(taken.by_state) == {"ESTABLISHED": 2 * MANY, "LISTEN": 1}
            assert all(one.role == "listening" or one.rtt_ns for one in taken.sockets)
        tell("connect")
        assert sample().count == 2 * MANY + 3
        tell("close")
        tell("close")
        assert sample().count == 2 * MANY - 1


def test_of_many_sockets_few_descriptors_are_read_again(monkeypatch):
    """With a threshold of 0 every tree is one of many sockets."""
    monkeypatch.setattr(socket_table, "FEW", 0)
    monkeypatch.setattr(socket_table, "LISTED_PER_ASKED", 1 << 30)
    read = []
    original = socket_table.links_of
    monkeypatch.setattr(socket_table, "links_of", lambda pid, but: read.append(len(but)) or original(pid, but))
    with server() as (process, address, tell), connections(address, 5), probing(process.pid) as sample:
        for _ in range(4):
            tell("accept")
        assert sample().count == 5
        assert sample().count == 5
        assert read == [0], "nothing changed: no descriptor was read"
        tell("accept")
        assert sample().count == 6
        assert read == [0, 5], "all but those that are open still"


def test_what_was_just_accepted_is_found_on_its_port(monkeypatch):
    """However short connections live, the whole host is not listed for them."""
    listed = []
    original = socket_table.SocketTable._listed
    monkeypatch.setattr(socket_table.SocketTable, "_listed", lambda table: listed.append(1) or original(table))
    with server() as (process, address, tell), probing(process.pid) as sample:
        assert sample().count == 1
        for count in range(2, 7):
            with connections(address, 1):
                tell("accept")
                taken = sample()
            assert taken.count == count
            assert [one.rtt_ns is None for one in taken.sockets] == [True] + [False] * (count - 1)
        assert listed == [1]


def test_a_process_that_ends_is_left_out():
    with server() as (process, _, _), server() as (other, _, _), probing(process.pid, other.pid) as sample:
        assert sample().count == 2
        process.kill()
        process.wait()
        assert sample().count == 1
        other.kill()
        other.wait()
        assert sample().count == 0


def test_a_stopped_process_is_read_all_the_same():
    with server() as (process, address, _), connections(address, 2), probing(process.pid) as sample:
        process.send_signal(signal.SIGSTOP)
        (door,) = sample().sockets
        assert door.recv_q == 2
        process.send_signal(signal.SIGCONT)


def test_a_cut_listing_is_told(monkeypatch):
    monkeypatch.setattr("perfwatch.probes.readers.socket_table.MAX_SOCKETS", 1)
    monkeypatch.setattr(sock_diag, "MAX_SOCKETS", 1)
    with server() as (process, _, _), SocketsProbe(lambda: [process.pid]) as probe:
        _, loss = probe.read(5)
        assert isinstance(loss, Loss)
        assert (loss.at_ns, loss.probe, loss.lost) == (5, "sockets", 1)


def test_a_line_that_broke_is_told_and_opened_anew():
    with server() as (process, _, _), SocketsProbe(lambda: [process.pid]) as probe:
        assert probe.read(1)[0].count == 1
        (table,) = probe._tables.values()
        table.close()
        _, loss = probe.read(2)
        assert "did not list the sockets" in loss.reason
        assert probe.read(3)[0].count == 1


@NEEDS_SS
def test_the_figures_of_tcp_are_those_of_ss():
    with server() as (process, address, tell), connections(address, 1) as (client,), probing(process.pid) as sample:
        tell("accept")
        for size in (1, 100, 20_000):
            client.sendall(bytes(size))
        until(lambda: sample().recv_q_bytes == 20_101)

        def ours():
            (one,) = [one for one in sample().sockets if one.role == "accepted"]
            return [one.rtt_ns / 1e6, one.received_bytes, one.drops]

        def theirs():
            lines = ss("-tinm", "state", "established", f"( sport = :{address[1]} )")
            words = {word.partition(":")[0]: word.partition(":")[2] for line in lines for word in line}
            drops = words["skmem"].rstrip(")").rpartition("d")[2]
            return [float(words["rtt"].partition("/")[0]), int(words["bytes_received"]), int(drops)]

        equal(ours, theirs)


def test_nothing_is_left_open():
    before = descriptors()
    with server() as (process, _, _):
        held = descriptors()
        with probing(process.pid) as sample:
            sample()
            assert descriptors() != held
        assert descriptors() == held
    assert descriptors() == before


@NEEDS_ROOT
def test_another_user_is_told_what_would_help():
    with server() as (process, _, _):

        def ask():
            probe = SocketsProbe(lambda: [process.pid])
            with pytest.raises(Unavailable), probe:
                pass
            answer = probe.availability()
            return f"{answer.status}|{answer.reason}|{answer.lost}|{answer.remedy}|{probe.read(1)[0].count}"

        status, reason, lost, remedy, count = as_nobody(ask).split("|")
        assert status == "unavailable"
        assert "may not be read by this user" in reason
        assert "retransmits" in lost
        assert "as root" in remedy
        assert count == "0"


@NEEDS_ROOT
def test_processes_that_are_hidden_are_no_failure():
    with server() as (process, _, _):

        def ask():
            let_go_of_sockets()
            probe = SocketsProbe(lambda: [process.pid, os.getpid()])
            with socket.create_server(("127.0.0.1", 0)), probe:
                return f"{probe.availability().status} {probe.read(1)[0].count}"

        assert as_nobody(ask, hidepid=True) == "available 1"


@NEEDS_ROOT
def test_another_user_sees_its_own_processes():
    with server() as (process, _, _):

        def ask():
            let_go_of_sockets()
            with socket.create_server(("127.0.0.1", 0)):
                probe = SocketsProbe(lambda: [process.pid, os.getpid()])
                answer = probe.availability()
                with probe:
                    return f"{answer.status} {probe.read(1)[0].count} {answer.reason}"

        assert as_nobody(ask).startswith("limited 1 1 of the target's 2 processes: ")


def test_of_many_those_with_queues_are_shown():
    sockets = [_message(inode=number, queue=max(0, number - 900)) for number in range(1, 1001)]
    shown = most_telling(sockets, {5: 10_000_000})
    assert len(shown) == MAX_SHOWN
    inodes = {one.inode for one in shown}
    assert set(range(901, 1001)) <= inodes
    assert 5 in inodes
    crowded = most_telling([_message(number, number) for number in range(1, 1001)], {})
    assert [one.inode for one in crowded] == list(range(1000, 1000 - MAX_SHOWN, -1))


def _message(inode, queue):
    return InetMessage(2, 1, 0, 0, bytes(48), 0, queue, 0, 0, inode, b"")
