"""The parsers of cgroup files and places: on what kernels wrote, on what their documentation shows, and on noise."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.cpu import parse_loadavg, parse_stat
from perfwatch.probes.errors import Malformed
from perfwatch.probes.pressure import parse_pressure
from perfwatch.probes.readers import cgroup_v1, cgroup_v2
from perfwatch.probes.readers.cgroup_files import (
    CpuFigures,
    IoFigures,
    MemoryFigures,
    PidFigures,
    content,
    parse_keyed,
    parse_number,
)
from perfwatch.probes.readers.cgroup_mounts import below, parse_foreign_mounts, parse_mounts
from perfwatch.probes.readers.cgroups import Seat, ancestors, parse_membership
from perfwatch.probes.readers.cpu_users import parse_process_stat

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cgroups"
PARSERS = [
    cgroup_v1.parse_io,
    cgroup_v2.parse_cpu_max,
    cgroup_v2.parse_io,
    parse_foreign_mounts,
    parse_keyed,
    parse_loadavg,
    parse_membership,
    parse_mounts,
    parse_number,
    parse_pressure,
    parse_process_stat,
    parse_stat,
]


@contextlib.contextmanager
def opened(path):
    """Open a directory, as the probe does."""
    file = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield file
    finally:
        os.close(file)


def test_files_of_a_v1_kernel():
    """A cgroup under a quota of 20 %, and one whose limit of 32 MiB had a victim."""
    with opened(FIXTURES / "v1.linux-6.18") as directory:
        assert cgroup_v1.read_cpu(directory) == CpuFigures(20_000_000, 100_000_000, 10, 10, 786762303)
        assert cgroup_v1.read_memory(directory) == MemoryFigures(184320, 33554432, 127, 1)
        assert cgroup_v1.read_io(directory) == IoFigures(4096, 1048576)


def test_files_of_v2_as_documented():
    """Text after Documentation/admin-guide/cgroup-v2.rst: nothing can be dumped where v1 has the controllers."""
    with opened(FIXTURES / "v2.linux-documentation") as directory:
        assert cgroup_v2.read_cpu(directory) == CpuFigures(20_000_000, 100_000_000, 41, 39, 3_120_000_000)
        assert cgroup_v2.read_usage_ns(directory) == 5385571075000
        assert cgroup_v2.read_memory(directory) == MemoryFigures(53248000, 104857600, 17, 1)
        assert cgroup_v2.read_io(directory) == IoFigures(1459200 + 90430464, 314773504 + 299008000)
        assert cgroup_v2.read_pids(directory) == PidFigures(23, None)


@pytest.mark.parametrize("version", [cgroup_v1, cgroup_v2])
def test_without_a_file_nothing_is_known(version, tmp_path):
    with opened(tmp_path) as directory:
        assert version.read_cpu(directory) == CpuFigures()
        assert version.read_usage_ns(directory) is None
        assert version.read_memory(directory) == MemoryFigures()
        assert version.read_io(directory) == IoFigures()
        assert version.read_pids(directory) == PidFigures()


def test_v1_counted_no_device():
    assert cgroup_v1.parse_io(b"Total 0\n") == IoFigures(None, None)


def test_v1_has_no_quota(tmp_path):
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    with opened(tmp_path) as directory:
        assert cgroup_v1.read_cpu(directory) == CpuFigures(None, 100_000_000)


def test_v2_has_no_quota():
    assert cgroup_v2.parse_cpu_max(b"max 100000\n") == (None, 100_000_000)


def test_a_hybrid_membership():
    """PID 1 seen from a cgroup namespace: what lies above its root begins with `/..`."""
    membership = parse_membership((FIXTURES / "membership.linux-6.18-outside").read_bytes())
    assert membership.seat("cpu") == Seat(1, "/../..")
    assert membership.seat("pids") == Seat(1, "/")
    assert membership.v2 == "/"


def test_a_unified_membership():
    membership = parse_membership(b"0::/a:b/c\n")
    assert membership.seat("cpu") == membership.seat("blkio") == Seat(2, "/a:b/c")


def test_mounts_of_a_hybrid_kernel():
    mounts = parse_mounts((FIXTURES / "mountinfo.linux-6.18-hybrid").read_bytes())
    assert len(mounts) == 10
    (memory,) = (mount for mount in mounts if "memory" in mount.controllers)
    assert (memory.version, memory.root, memory.point) == (1, "/", "/sys/fs/cgroup/memory")
    assert memory.device == os.makedev(0, 32)
    assert [mount.point for mount in mounts if mount.version == 2] == ["/sys/fs/cgroup/unified"]


def test_mounts_in_a_cgroup_namespace():
    """The CPU hierarchy was mounted inside, that of memory outside of it: two levels up."""
    mounts = parse_mounts((FIXTURES / "mountinfo.linux-6.18-cgroup-namespace").read_bytes())
    roots = {name: mount.root for mount in mounts for name in mount.controllers}
    assert (roots["cpu"], roots["memory"]) == ("/", "/../..")


def test_a_mount_point_with_a_space():
    (mount,) = parse_mounts(b"1 2 0:9 /a\\040b /m\\134n rw shared:1 - cgroup2 none rw\n")
    assert (mount.root, mount.point) == ("/a b", "/m\\n")


@pytest.mark.parametrize(
    ("served", "left"), [("/", 0), ("/sys", 0), ("/sys/fs/cgroup", 0), ("/sys/fs/cgroup2", 1), ("/home", 1)]
)
def test_mounts_below_fuse_are_left_alone(served, left):
    raw = f"1 2 0:8 / {served} rw - fuse.overlay x rw\n3 4 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n".encode()
    assert len(parse_foreign_mounts(raw)) == left
    assert len(parse_mounts(raw)) == 1


@pytest.mark.parametrize(("over", "left"), [("/c", 0), ("/c/shop", 0), ("/c/shop/cpu.stat", 0), ("/cd", 1)])
def test_mounts_with_something_over_them_are_left_alone(over, left):
    raw = f"3 4 0:9 / /c rw - cgroup2 none rw\n5 3 0:8 / {over} rw - tmpfs x rw\n".encode()
    assert len(parse_foreign_mounts(raw)) == left
    assert len(parse_foreign_mounts(b"".join(reversed(raw.splitlines(keepends=True))))) == 1


def test_foreign_mounts_are_bounded():
    raw = b"".join(b"%d 1 0:9 / /c%d rw - cgroup2 none rw\n" % (place, place) for place in range(100))
    assert len(parse_mounts(raw)) == 100
    assert len(parse_foreign_mounts(raw)) == 64


def test_a_fifo_in_the_place_of_a_cgroups_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cpu.stat")
    (tmp_path / "cpu.max").symlink_to("/etc/passwd")
    with opened(tmp_path) as directory:
        assert content(directory, "cpu.stat") is None
        assert content(directory, "cpu.max") is None


@pytest.mark.parametrize(
    ("path", "root", "rest"),
    [
        ("/", "/", ""),
        ("/a/b", "/", "a/b"),
        ("/a/b", "/a", "b"),
        ("/a/b", "/a/b", ""),
        ("/ab", "/a", None),
        ("/", "/a", None),
        ("/../t", "/", None),
        ("/../t/u", "/../t", "u"),
        ("/a/../b", "/a", None),
        ("/", "/../..", None),
    ],
)
def test_what_a_mount_shows(path, root, rest):
    assert below(path, root) == rest


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("/", []),
        ("/a", ["/"]),
        ("/a/b/c", ["/a/b", "/a", "/"]),
        ("/../t/u", ["/../t"]),
        ("/../..", []),
    ],
)
def test_what_is_above_a_cgroup(path, above):
    assert list(ancestors(path)) == above


def test_ancestors_are_bounded():
    assert len(list(ancestors("/a" * 1000))) == 16


@pytest.mark.parametrize("raw", [b"", b"x", b"1.5", b"--1", b"9" * 5000, b"12 13"])
def test_a_strange_number_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_number(raw)


@pytest.mark.parametrize("raw", [b"4:memory\n", b"nonsense\n", b"4:memory:relative\n"])
def test_a_strange_membership_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_membership(raw)


NOISE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="0123456789:/- .=\ncpurbytescgmoxdaintl()\\\udcff", max_size=200).map(os.fsencode),
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: f"{parse.__module__.rpartition('.')[2]}.{parse.__name__}")
@given(raw=NOISE)
def test_noise_is_parsed_or_malformed(parse, raw):
    with contextlib.suppress(Malformed):
        parse(raw)
