"""Sockets in states that tests want: servers in processes and network namespaces of their own, and what ss says."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from ledgering import script

SO_COOKIE = 57
NOBODY = 65534
PR_SET_DUMPABLE = 4
CLONE_NEWNS = 0x20000
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
NEEDS_SS = pytest.mark.skipif(not shutil.which("ss"), reason="needs ss (iproute2)")

OWN_NETWORK = """
import ctypes, os, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x40000000):
    raise OSError(ctypes.get_errno(), "unshare")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
"""
SERVER = """
import socket, sys
host, backlog = sys.argv[1], int(sys.argv[2])
server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=backlog)
print(server.getsockname()[1])
held = []
for line in sys.stdin:
    if line == "accept\\n":
        held.append(server.accept()[0])
    elif line == "send\\n":
        held[-1].setblocking(False)
        try:
            while True:
                held[-1].send(bytes(1 << 16))
        except BlockingIOError:
            pass
    elif line == "listen no more\\n":
        server.close()
    print("done")
"""


FAR_DOWN = """
import os, socket, sys
os.chdir(sys.argv[1])
for _ in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
os.dup2(os.open(".", os.O_RDONLY), 3)
kept = socket.socket()
print("ready")
sys.stdin.read()
for _ in range(20):
    os.chdir("..")
    os.rmdir("d" * 250)
"""


@contextlib.contextmanager
def far_down(directory):
    """Yield a process with a socket, in a directory, also open as 3, whose path of 5,000 bytes no kernel says."""
    with script(FAR_DOWN, arguments=[directory]) as (process, _):
        yield process
        process.communicate()


@contextlib.contextmanager
def server(host="127.0.0.1", backlog=64, network=""):
    """Run a process that listens and does what it is told; yields (process, its address, tell)."""
    with script(network + SERVER, arguments=(host, backlog)) as (process, port):

        def tell(command):
            process.stdin.write(command + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield process, (host, int(port)), tell


@contextlib.contextmanager
def connections(address, count):
    """Yield so many connections to an address."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address)) for _ in range(count)]


def within(pid, *command):
    """Return what a command prints in the network namespace of a process."""
    return subprocess.run(
        ["nsenter", "-t", str(pid), "-n", *command], check=True, capture_output=True, text=True
    ).stdout


def ss(*arguments, pid=None):
    """Return the words of each line that ss prints, without headings."""
    command = ["ss", "-H", *arguments]
    output = (
        within(pid, *command) if pid else subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return [line.split() for line in output.splitlines()]


def as_nobody(function, *, hidepid=False):
    """Return the text that a function returns in a fork of this process that is another user, without privileges.

    With `hidepid` that user does not see the processes of others.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        text = "nothing was returned"
        try:
            if hidepid:
                _hide_processes()
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # or its own /proc/self would belong to root
            text = function()
        except BaseException as error:  # noqa: BLE001 - it ends here, and is told
            text = repr(error)
        finally:
            os.write(writing, text.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return text


def _hide_processes():
    """Mount a /proc of our own, in a mount namespace of our own."""
    assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"], check=True)


def descriptors():
    """Return the numbers of our open descriptors."""
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def let_go_of_sockets():
    """Close the sockets that a fork has from those who were tested before; what it opens itself is all that it has."""
    for number in descriptors():
        with contextlib.suppress(OSError):
            if str(Path(f"/proc/self/fd/{number}").readlink()).startswith("socket:"):
                os.close(number)


def equal(first, second, attempts=20):
    """Assert that two readings agree, when nothing changes between them."""
    for _ in range(attempts):
        one, other, again = first(), second(), first()
        if one == other == again:
            return
    assert one == other
