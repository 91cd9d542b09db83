"""What faults need around the server: neighbours that use up CPUs or disk, a slow service, a file system.

Each is a context manager that yields environment variables for the server. Whatever burns a resource ends by
itself after `LIMIT_S`, should the tests be killed. What cannot be had here skips the test, with a reason.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import serving
from cgroups import cgroup, join, quota

from perfwatch.examples.starting import NotServing, await_listening, end_group, free_port

LIMIT_S = 30
DISK = Path("/var/tmp")
NAMED = "import sys\nopen('/proc/self/comm', 'w').write(sys.argv[1])\n"
"""Gives the process the name that verdicts must blame."""
NEIGHBOUR = f"""{NAMED}
import time
until = time.monotonic() + {LIMIT_S}
while time.monotonic() < until:
    sum(range(10_000))
"""
DISK_HOG = f"""{NAMED}
import os, time
until = time.monotonic() + {LIMIT_S}
block = bytes(16 << 20)
with open(sys.argv[2], "wb") as file:
    while time.monotonic() < until:
        os.pwrite(file.fileno(), block, 0)
        os.fsync(file.fileno())
"""
IMAGE_BYTES = 96 << 20
JOURNAL_MB = 8
POLL_S = 0.02


@contextlib.contextmanager
def processes(command, count):
    """Run so many copies of a command, each in a group of its own."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen(command, start_new_session=True)
            stack.callback(end_group, process)
        yield


@contextlib.contextmanager
def busy_neighbours(count=8):
    """Processes that never sleep."""
    with processes([sys.executable, "-c", NEIGHBOUR, "neighbour"], count):
        yield {"NEIGHBOUR": "neighbour"}


@contextlib.contextmanager
def under_quota(serve, share=0.2, **how):
    """Start a server by `serve` and put all its processes under a CPU quota: this share of one CPU."""
    with cgroup("cpu", quota(share)) as group, serve(**how) as server:
        for process in [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]:
            join(process.pid, group)
        yield server


@contextlib.contextmanager
def disk_directory():
    """Yield a directory on a real disk for the server's files."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-disk-", dir=DISK) as directory:
        if file_system(directory) in {"tmpfs", "ramfs"}:
            pytest.skip(f"{DISK} is in memory: no disk to wait for")
        yield {"FAULTY_DIR": directory}


@contextlib.contextmanager
def disk_hogs(count=2):
    """Processes that write and flush in a loop, on the disk of `disk_directory`."""
    with (
        tempfile.TemporaryDirectory(prefix="perfwatch-hog-", dir=DISK) as directory,
        contextlib.ExitStack() as stack,
    ):
        for index in range(count):
            stack.enter_context(processes([sys.executable, "-c", DISK_HOG, "disk-hog", f"{directory}/{index}"], 1))
        yield {"HOG": "disk-hog"}


@contextlib.contextmanager
def journalled_mount():
    """Yield a directory on an ext4 file system with a journal, in a file behind a loop device."""
    if os.geteuid() != 0:
        pytest.skip("a loop mount needs root")
    if not shutil.which("mkfs.ext4"):
        pytest.skip("a loop mount needs mkfs.ext4")
    with tempfile.TemporaryDirectory(prefix="perfwatch-loop-", dir=DISK) as directory:
        image, mount = Path(directory) / "image", Path(directory) / "mount"
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-J", f"size={JOURNAL_MB}", str(image)], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", str(image), str(mount)], capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"no loop mount: {mounted.stderr.strip()}")
        try:
            yield {"FAULTY_DIR": str(mount)}
        finally:
            subprocess.run(["umount", str(mount)], check=True)


@contextlib.contextmanager
def slow_service():
    """Run the slow service, on TCP and on a Unix socket."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="perfwatch-peer-") as directory:
        path = f"{directory}/peer.sock"
        command = [sys.executable, serving.APPS / "peer.py", str(port), path]
        process = subprocess.Popen(command, start_new_session=True)
        try:
            await_listening(process, f"127.0.0.1:{port}", serving.READY_S)
            yield {"FAULTY_PEER": f"127.0.0.1:{port}", "FAULTY_PEER_UNIX": path}
        finally:
            end_group(process)


@contextlib.contextmanager
def postgres():
    """Run a PostgreSQL of our own, as its user, in a temporary directory."""
    initdb, server = postgres_program("initdb"), postgres_program("postgres")
    if os.geteuid() != 0 or not initdb or not server:
        pytest.skip("needs PostgreSQL's initdb and postgres, and root to run them as another user")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="perfwatch-pg-") as directory:
        shutil.chown(directory, "postgres")
        data = f"{directory}/data"
        setup = [initdb, "--no-sync", "--auth=trust", "--username=postgres", "-D", data]
        subprocess.run(setup, check=True, user="postgres", cwd=directory, capture_output=True)
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}"]
        command = [server, "-D", data, "-p", str(port), "-F", *settings]
        process = subprocess.Popen(
            command, user="postgres", cwd=directory, start_new_session=True, stderr=subprocess.DEVNULL
        )
        try:
            await_listening(process, f"127.0.0.1:{port}", serving.READY_S)
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            make_items(url)
            yield {"FAULTY_PG": url, "PG": str(port)}
        except NotServing as error:
            pytest.skip(f"PostgreSQL does not start: {error}")
        finally:
            end_group(process)


def make_items(url):
    """Make the table of a thousand items, as soon as the server has started up."""
    deadline = time.monotonic() + serving.READY_S
    while True:
        try:
            connection = psycopg.connect(url)
            break
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
    with connection:
        connection.execute("CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM generate_series(0, 999) AS id")
        connection.execute("ALTER TABLE items ADD PRIMARY KEY (id)")


def postgres_program(name):
    """Return the path of one of PostgreSQL's programs; Debian keeps them out of PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(newest[0]) if newest else None)


def file_system(path):
    """Return the type of the file system that a path lies on: `ext4`."""
    shown = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=True)
    return shown.stdout.strip()
