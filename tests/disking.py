"""A block device of our own, and processes that write to it: what the disk probes are measured against."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import surroundings
from waiting import until

LIMIT_S = 30
WRITER = f"""
import ctypes, json, mmap, os, sys, time
path, size, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
open("/proc/self/comm", "w").write(name)
block = mmap.mmap(-1, size)  # aligned, as O_DIRECT wants it
file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o600)
os.pwrite(file, block, 0)
os.fsync(file)
print("ready")
sys.stdin.readline()
until, inside, count, clock = time.monotonic() + min(float(sys.argv[4]), {LIMIT_S}), 0, 0, time.monotonic_ns
while True:
    started = clock()
    os.pwrite(file, block, 0)
    inside += clock() - started
    count += 1
    if time.monotonic() >= until:
        break
print(json.dumps([count, inside]))
"""


class Wrote(NamedTuple):
    """What one writer did."""

    pid: int
    count: int
    inside_ns: int
    """Time within its writes."""


@contextlib.contextmanager
def own_disk():
    """Yield (directory, device): an ext4 file system in a file, behind a loop device that nobody else uses."""
    with surroundings.journalled_mount() as environment:
        directory = Path(environment["FAULTY_DIR"])
        number = directory.stat().st_dev
        yield directory, Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name


@contextlib.contextmanager
def writers(directory, count, seconds, *, size=1 << 20, name="filler"):
    """Processes that wait for `go`, then write directly to a file each; their `result` says what they did."""
    with _waiting([directory / f"{name}{index}" for index in range(count)], size, name, seconds) as processes:
        yield processes


@contextlib.contextmanager
def one_write(device, count):
    """Processes that wait for `go`, then write a page directly to a device."""
    with _waiting([device] * count, 4096, "one", 0) as processes:
        yield processes


@contextlib.contextmanager
def _waiting(paths, size, name, seconds):
    processes = [
        subprocess.Popen(
            [sys.executable, "-u", "-c", WRITER, str(path), str(size), name, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path in paths
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.stdin.close()
            process.stdout.close()
            process.wait()


def go(processes):
    """Let the writers begin."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def result(process):
    """Wait until a writer is done, and return what it did."""
    return Wrote(process.pid, *json.loads(process.stdout.readline()))


def await_idle(device):
    """Wait until nothing is under way on a device."""
    await_in_flight(device, 0)


def await_in_flight(device, count):
    """Wait until so many requests are under way on a device."""
    file = Path(f"/sys/block/{device}/inflight")
    until(lambda: sum(map(int, file.read_text().split())) == count, told=file.read_text)


@contextlib.contextmanager
def stalling_disk():
    """Yield a loop device whose requests stay under way while its own storage is frozen: `with stalled(directory)`."""
    with own_disk() as (directory, _):
        image = directory / "image"
        with image.open("wb") as file:
            file.truncate(16 << 20)
        device = Path(_run("losetup", "--find", "--show", image).stdout.strip())
        try:
            yield directory, device
        finally:
            _run("losetup", "--detach", device)


@contextlib.contextmanager
def stalled(directory):
    """Freeze a file system: what is written to it waits."""
    _run("fsfreeze", "--freeze", directory)
    try:
        yield
    finally:
        _run("fsfreeze", "--unfreeze", directory)


@contextlib.contextmanager
def partition():
    """Yield (directory, device, its partition that the directory is on): a loop device with an ext4 file system."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a partition needs root and mkfs.ext4")
    with tempfile.TemporaryDirectory(prefix="perfwatch-part-", dir=surroundings.DISK) as folder:
        image, mount = Path(folder) / "image", Path(folder) / "mount"
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(16 << 20)
        device = Path(_run("losetup", "--partscan", "--find", "--show", image).stdout.strip())
        try:
            _run("addpart", device, 1, 2048, 24576)  # 12 MiB
            _run("mkfs.ext4", "-q", f"{device}p1")
            _run("mount", f"{device}p1", mount)
            try:
                yield mount, device.name, f"{device.name}p1"
            finally:
                _run("umount", mount)
        finally:
            _run("losetup", "--detach", device)


def _run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
