"""Cgroups for tests, made in the real hierarchies (v1 at /sys/fs/cgroup/NAME, v2 where it is mounted) and removed."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REMOVED_S = 10.0
_numbers = itertools.count()


def mount_point(controller):
    """Return where a v1 controller, or `cgroup2`, is mounted; skip the test where it is not, or not for us."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = (part.split() for part in line.partition(" - "))
        if kind[0] == controller or (kind[0] == "cgroup" and controller in kind[2].split(",")):
            if os.access(fields[4], os.W_OK):
                return Path(fields[4])
            pytest.skip(f"needs to write below {fields[4]}")
    pytest.skip(f"needs the cgroup hierarchy of {controller}")


@contextlib.contextmanager
def cgroup(controller, settings=None, *, name=None):
    """Make a cgroup of a v1 controller or of `cgroup2`, set its files in order; kill what is left in it, remove it."""
    directory = mount_point(controller) / (name or f"perfwatch-test-{os.getpid()}-{next(_numbers)}")
    directory.mkdir()
    try:
        for file, value in (settings or {}).items():
            (directory / file).write_text(str(value))
        yield directory
    finally:
        remove(directory)


def quota(share, period_us=100_000):
    """Return the settings of a v1 CPU quota: this share of one CPU."""
    return {"cpu.cfs_period_us": period_us, "cpu.cfs_quota_us": round(share * period_us)}


def remove(directory):
    """Kill what is in a cgroup and below it, and remove both."""
    below = sorted((Path(path) for path, _, _ in os.walk(directory)), key=lambda path: -len(path.parts))
    end = time.monotonic() + REMOVED_S
    for path in below:
        while path.exists():
            for pid in (path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                path.rmdir()
            except OSError:
                assert time.monotonic() < end, f"{path} cannot be removed"
                time.sleep(0.01)  # until the kernel has buried the dead


def join(pid, *directories):
    """Move a process into cgroups; both a number and a directory may be strings."""
    for directory in directories:
        (Path(directory) / "cgroup.procs").write_text(str(pid))


JOIN = "import sys\nfor d in sys.argv[1:]:\n    open(d + '/cgroup.procs', 'w').write('0')\nprint('in', flush=True)\n"


@contextlib.contextmanager
def process_in(*directories, source="import time; time.sleep(1000)"):
    """Run a Python script that is in cgroups before its first line; yields the Popen, its stdin and stdout pipes."""
    command = [sys.executable, "-c", JOIN + source, *map(str, directories)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "in\n"
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()
