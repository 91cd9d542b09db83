"""The kernel's list of sockets against what was opened, against ss, and against answers that no kernel gives."""

import os
import socket
import struct
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netting import (
    NEEDS_ROOT,
    NEEDS_SS,
    OWN_NETWORK,
    SO_COOKIE,
    as_nobody,
    connections,
    descriptors,
    equal,
    server,
    ss,
)
from waiting import until

from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers import sock_diag
from perfwatch.probes.readers.descriptors import sockets_of
from perfwatch.probes.readers.diag_messages import (
    InetMessage,
    TcpInfo,
    parse_drops,
    parse_inet,
    parse_tcp_info,
    parse_unix,
    state_name,
)
from perfwatch.probes.readers.netlink import attribute, attributes, messages, request
from perfwatch.probes.readers.sock_diag import LISTENING, SockDiag, dump, from_inet, from_unix

HEADER = struct.Struct("=IHHII")
INET = struct.Struct("=BBBB48sIIIII")


def inode(one):
    return os.fstat(one.fileno()).st_ino


def cookie(one):
    return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)


def seen(*sockets):
    """Return what the kernel says of our own sockets, in the order given."""
    found = {one.inode: one for one in dump(inodes={inode(one) for one in sockets})}
    return [found[inode(one)] for one in sockets]


def text(address):
    return f"{address[0]}:{address[1]}"


# --- the live kernel


def test_both_ends_of_a_connection_and_its_listener():
    with (
        socket.create_server(("127.0.0.1", 0), backlog=9) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            door, here, there = seen(listener, client, accepted)
            assert (door.state, door.local, door.peer) == ("LISTEN", text(listener.getsockname()), None)
            assert (door.recv_q, door.send_q, door.tcp) == (0, 9, None)
            assert (here.state, here.local, here.peer) == ("ESTABLISHED", text(client.getsockname()), door.local)
            assert (there.local, there.peer) == (here.peer, here.local)
            assert here.drops == there.drops == 0
            assert [one.cookie for one in (door, here, there)] == [cookie(one) for one in (listener, client, accepted)]
        (here,) = seen(client)
        assert here.state == "CLOSE_WAIT"


def test_addresses_of_ipv6_and_of_ipv4_in_its_clothes():
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        port = listener.getsockname()[1]
        six = stack.enter_context(socket.create_connection(("::1", port)))
        four = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        accepted = [stack.enter_context(listener.accept()[0]) for _ in range(2)]
        door, here, *there = seen(listener, six, *accepted)
        assert door.local == f"[::]:{port}"
        assert (here.local, here.peer) == (f"[::1]:{six.getsockname()[1]}", f"[::1]:{port}")
        assert {one.peer for one in there} == {here.local, text(four.getsockname())}
        assert {one.local for one in there} == {f"[::1]:{port}", f"127.0.0.1:{port}"}


@pytest.mark.parametrize("name", ["a path", "\0abstract", "\0with\0inside"])
def test_unix_sockets(name, tmp_path):
    where, shown = (name, "@" + name[1:]) if name[0] == "\0" else (str(tmp_path / name), str(tmp_path / name))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(where)
        listener.listen(3)
        client.connect(where)
        (door,) = seen(listener)
        assert (door.state, door.local, door.peer) == ("LISTEN", f"unix:{shown}", None)
        assert (door.recv_q, door.send_q) == (1, 3)
        accepted, _ = listener.accept()
        with accepted:
            client.send(bytes(1000))
            here, there = seen(client, accepted)
            assert (here.local, here.peer) == ("unix:?", f"unix:{shown}")
            assert (there.local, there.peer, there.recv_q) == (f"unix:{shown}", "unix:?", 1000)
            assert here.send_q >= 1000
            assert [here.cookie, there.cookie] == [cookie(client), cookie(accepted)]


def test_unread_bytes_stand_in_the_two_ends_queues():
    with server() as (_, address, tell), connections(address, 1) as (client,):
        tell("accept")
        client.sendall(bytes(64 << 10))
        port = client.getsockname()[1]

        def ours():
            ends = [one for one in dump() if text(("127.0.0.1", port)) in (one.local, one.peer)]
            return sorted((one.local, one.recv_q, one.send_q) for one in ends)

        def theirs():
            lines = ss("-tn", "state", "established", f"( sport = :{port} or dport = :{port} )")
            return sorted((line[2], int(line[0]), int(line[1])) for line in lines)

        # Until the peer's delayed acknowledgement what it has stands in both queues.
        until(lambda: sum(recv_q + send_q for _, recv_q, send_q in ours()) == 64 << 10)
        equal(ours, theirs)


def test_the_figures_of_tcp():
    with server() as (_, address, tell), connections(address, 1) as (client,):
        tell("accept")
        client.sendall(b"x" * 5000)
        (before,) = seen(client)
        assert before.tcp.sent_bytes == 5001, "the SYN counts"
        assert (before.tcp.received_bytes, before.tcp.retransmits) == (0, 0)
        assert 0 < before.tcp.rtt_ns < 1e9
        tell("send")
        (after,) = seen(client)
        assert after.tcp.received_bytes == after.recv_q > 0
        assert after.tcp.last_received_ns < 10e9


def test_one_socket_is_asked_for_by_its_id():
    with server() as (process, address, tell), connections(address, 40) as clients, SockDiag() as diag:
        for _ in clients:
            tell("accept")
        held = sockets_of(process.pid)
        listed = [one for one in diag.tcp() if one.inode in held]
        connected = [one for one in listed if one.state == 1]
        asked = diag.tcp_exactly(connected)
        assert [one.id for one in asked] == [one.id for one in connected]
        assert len(asked) == 40
        assert all(one.figures[0] is not None for one in asked)
        clients.pop().close()
        gone = [one for one in listed if one.peer == text(clients[0].getsockname())]
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[0].close()
        assert diag.tcp_exactly(gone) == []
        assert len(diag.tcp_exactly(connected)) == 39


def test_only_what_listens():
    with server() as (_, address, _), connections(address, 1), SockDiag() as diag:
        listening = diag.tcp(states=LISTENING)
        assert address[1] in {one.port for one in listening}
        assert {state_name(one.state) for one in listening} == {"LISTEN"}


@NEEDS_ROOT
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_the_kernel_lets_out_those_on_other_ports(count):
    with server(network=OWN_NETWORK) as (process, address, _), SockDiag(process.pid) as diag:
        port = address[1]
        for others in (range(port + 1, port + count), range(port - count + 1, port)):
            assert [one.port for one in diag.tcp(ports=[*others, port])] == [port]
            assert [one.port for one in diag.tcp(ports=[*others, port + 100])] == []


def test_families_and_inodes_choose():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as other:
        other.bind("\0perfwatch-test-families")
        other.listen()
        both = {inode(listener), inode(other)}
        assert {one.family for one in dump(inodes=both)} == {"inet", "unix"}
        assert {one.family for one in dump(inodes=both, families=("unix",))} == {"unix"}
        assert [one.drops for one in dump(inodes=both, families=("inet",), with_info=False)] == [None]


@NEEDS_ROOT
def test_the_namespace_of_another_process():
    with server(network=OWN_NETWORK) as (process, address, _):
        before = Path("/proc/self/ns/net").stat().st_ino
        held = sockets_of(process.pid)
        assert [one.local for one in dump(process.pid, inodes=held)] == [text(address)]
        assert dump(inodes=held) == []
        assert Path("/proc/self/ns/net").stat().st_ino == before


@NEEDS_ROOT
def test_an_answer_is_cut_and_the_next_one_is_whole(monkeypatch):
    with server(network=OWN_NETWORK) as (process, address, _), SockDiag(process.pid) as diag:
        monkeypatch.setattr(sock_diag, "MAX_SOCKETS", 1)
        with socket.create_server(("127.0.0.1", 0)):
            assert len(diag.tcp(states=LISTENING)) == 1
        monkeypatch.undo()
        assert [one.port for one in diag.tcp(states=LISTENING)] == [address[1]]


def test_nothing_is_left_open():
    before = descriptors()
    dump()
    with pytest.raises(Vanished):
        dump(2**22 + 1)
    assert descriptors() == before


@NEEDS_ROOT
def test_only_the_kernel_is_listened_to():
    """Who is privileged in a network namespace may send to any netlink socket in it, in a container too."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        SockDiag() as diag,
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as other,
    ):
        other.sendto(HEADER.pack(16, 3, 0, 1, 0), (diag._netlink._socket.getsockname()[0], 0))
        assert inode(listener) in {one.inode for one in diag.tcp()}


@NEEDS_ROOT
def test_another_user_sees_sockets_but_not_those_of_other_namespaces():
    with socket.create_server(("127.0.0.1", 0)) as listener, server(network=OWN_NETWORK) as (process, _, _):

        def ask():
            with pytest.raises(Unavailable) as refused:
                dump(process.pid)
            return f"{len(dump(inodes={inode(listener)}))} {refused.value}"

        count, _, refusal = as_nobody(ask).partition(" ")
    assert count == "1"
    assert "run perfwatch as root" in refusal


@NEEDS_SS
def test_the_listeners_of_this_host_are_those_of_ss():
    def ours():
        return sorted(one.local.rpartition(":")[2] for one in dump(states=LISTENING, families=("inet",)))

    equal(ours, lambda: sorted(line[3].rpartition(":")[2] for line in ss("-ltn")))


# --- answers that no kernel gives


def test_a_message_is_framed_as_it_is_read():
    packed = request(20, 1, 7, b"body") + request(20, 1, 8, b"")
    assert list(messages(packed)) == [(20, 7, b"body"), (20, 8, b"")]
    assert attributes(attribute(3, b"abcde") + attribute(4, b""), 0) == {3: b"abcde", 4: b""}


@pytest.mark.parametrize("length", [0, 15, 17, 2**32 - 1])
def test_a_length_that_cannot_be_true(length):
    with pytest.raises(Malformed):
        list(messages(HEADER.pack(length, 20, 0, 1, 0)))


@given(st.binary(max_size=400))
@example(HEADER.pack(16, 3, 0, 1, 0))
def test_any_bytes_are_messages_or_malformed(data):
    try:
        contents = [content for *_, content in messages(data)]
    except Malformed:
        return
    assert sum(16 + len(content) for content in contents) <= len(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_socket_or_malformed(data):
    for parse in (
        lambda: from_inet(parse_inet(data)),
        lambda: from_unix([parse_unix(data)]),
        lambda: attributes(data, 0),
    ):
        try:
            parse()
        except Malformed:
            continue


@given(st.sampled_from([2, 10]), st.integers(0, 255), st.binary(min_size=48, max_size=48), st.binary(max_size=260))
def test_any_connection_has_an_address(family, state, identity, info):
    made = from_inet(InetMessage(family, state, 0, 0, identity, 0, 1, 2, 3, 4, attribute(2, info) + attribute(7, info)))
    assert made.local.rpartition(":")[2] == str(int.from_bytes(identity[:2], "big"))
    assert made.state
    assert (made.tcp is None) == (state == 10)


@given(st.binary(max_size=320))
def test_an_older_kernels_struct_is_told_by_its_length(data):
    info = parse_tcp_info(data)
    known = [value is not None for value in (info.retransmits, info.sent_bytes, info.busy_ns, info.sndbuf_limited_ns)]
    assert known == [len(data) >= end for end in (104, 128, 176, 192)]


def test_the_struct_of_linux_4_1():
    fields = struct.pack("=8B24I4Q2I", *range(8), *range(100, 124), *range(200, 204), 300, 301)
    info = parse_tcp_info(fields)
    assert info == TcpInfo(
        rtt_ns=115_000,
        retransmits=123,
        sent_bytes=202,
        received_bytes=203,
        busy_ns=None,
        rwnd_limited_ns=None,
        sndbuf_limited_ns=None,
        last_received_ns=111_000_000,
    )


def test_no_drops_before_they_were_counted():
    assert parse_drops(struct.pack("=8I", *range(8))) is None
    assert parse_drops(struct.pack("=9I", *range(9))) == 8


def test_a_family_that_is_none_of_tcps():
    with pytest.raises(Malformed):
        from_inet(parse_inet(INET.pack(99, 1, 0, 0, bytes(48), 0, 0, 0, 0, 0)))


def test_a_kernel_without_sock_diag_is_told(monkeypatch):
    monkeypatch.setattr(sock_diag, "_FAMILY", 21)  # NETLINK_SMC: not in this kernel, as SOCK_DIAG in others
    with pytest.raises(Unavailable, match="does not list sockets"):
        SockDiag()
