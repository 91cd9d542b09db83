"""Descriptors of real processes, and of those that cannot be asked."""

import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from ledgering import script
from netting import as_nobody, descriptors, far_down

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers import descriptors as module
from perfwatch.probes.readers.descriptors import link_of, links_of, parse_socket, sockets_of


def inode(one):
    return os.fstat(one.fileno()).st_ino


def test_each_socket_has_its_lowest_descriptor():
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, tcp.dup() as copy:
        found = sockets_of(os.getpid())
        assert found[inode(tcp)] == min(tcp.fileno(), copy.fileno())
        assert found[inode(udp)] == udp.fileno()
    assert len(found) - len(sockets_of(os.getpid())) == 2


def test_files_and_pipes_are_told_by_their_links(tmp_path):
    path = tmp_path / "a file"
    reading, writing = os.pipe()
    with path.open("wb") as file:
        links = dict(links_of(os.getpid()))
        assert links[file.fileno()] == bytes(path) == link_of(os.getpid(), file.fileno())
        assert links[reading] == links[writing] == f"pipe:[{os.fstat(reading).st_ino}]".encode()
    os.close(reading)
    os.close(writing)


def test_what_is_known_is_not_read_again():
    with socket.socket() as one:
        assert one.fileno() in dict(links_of(os.getpid()))
        assert one.fileno() not in dict(links_of(os.getpid(), {one.fileno()}))


def test_a_file_named_like_a_socket_is_none(tmp_path):
    path = tmp_path / "socket:[7]"
    with path.open("wb") as file:
        assert file.fileno() not in sockets_of(os.getpid()).values()
    for link in (b"socket:[]", b"socket:[x]", b"socket:[-7]", b"socket:[7", b"socket:[" + b"9" * 40 + b"]", b"", b"/x"):
        assert parse_socket(link) is None
    assert parse_socket(b"socket:[81234]") == 81234


def test_descriptors_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_DESCRIPTORS", 2)
    assert len(list(links_of(os.getpid()))) == 2


def test_none_of_our_descriptors_is_left_open():
    before = descriptors()
    links = links_of(os.getpid())
    next(links)
    links.close()
    sockets_of(os.getpid())
    assert descriptors() == before


def test_a_process_that_ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(Vanished):
        sockets_of(process.pid)
    with pytest.raises(Vanished):
        link_of(process.pid, 0)


def test_a_zombie_has_none():
    with script("print()") as (process, _):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with suppress(Vanished, Unavailable):  # depends on the kernel; what counts is that it is told
            assert sockets_of(process.pid) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_users_process_says_what_would_help():
    pid = os.getpid()

    def ask():
        with pytest.raises(Unavailable) as refused:
            sockets_of(pid)
        return str(refused.value)

    assert "may not be read by this user (run perfwatch as root" in as_nobody(ask)


def test_a_path_that_the_kernel_cannot_say_hides_nothing_else(tmp_path):
    with far_down(tmp_path) as process:
        assert len(sockets_of(process.pid)) == 1
        with pytest.raises(Unavailable, match="too long"):
            link_of(process.pid, 3)
