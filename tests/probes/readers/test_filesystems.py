"""Where the target's files lie: on a loop mount, in memory, on an overlay; what changed; names that are hostile."""

import os
from pathlib import Path

import costing
import pytest
from confined import answer
from disking import own_disk
from ledgering import script
from netting import far_down

from perfwatch.probes.disk import DiskProbe
from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.filesystems import Mount, device_name, mount_of, parse_fdinfo, parse_mountinfo
from perfwatch.probes.readers.target_files import BUDGET_NS, MAX_FILES, REFRESH_NS, FilesOfTree
from perfwatch.probes.records import decode, encode
from perfwatch.probes.samples import DiskSample, TargetFiles

FIXTURES = Path(__file__).parents[2] / "fixtures" / "proc"
OPENING = """
import os, sys
kept = []
print("ready")
for line in sys.stdin:
    kind, path = line[:-1].split(" ", 1)
    path = path.encode().decode("unicode_escape").encode("latin-1")
    if kind == "chdir":
        os.chdir(path)
    elif kind == "close":
        kept.pop().close()
    else:
        kept.append(open(path, kind))
    print("done")
"""


def order(process, kind, path=""):
    """Have the script open, close or go somewhere; returns when it has."""
    process.stdin.write(f"{kind} {path}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def mount(number=1, point="/", **changes):
    return Mount(number, 0, 57, point, "overlay", "overlay", None)._replace(**changes)


def files_of(process, names=None, now_ns=1):
    [record] = FilesOfTree().read({process.pid}, names or {}, now_ns)
    return {place.path: place for place in record.files}


def test_what_the_kernel_wrote_is_parsed():
    mounts = parse_mountinfo((FIXTURES / "mountinfo.linux-6.18-overlay").read_bytes())
    root = next(each for each in mounts.values() if each.point == "/")
    assert (root.major, root.minor, root.file_system, root.source, root.upper) == (254, 0, "ext4", "/dev/vda", None)
    assert mounts[65].point == "/tmp/fx/with blank"
    assert (mounts[68].file_system, mounts[68].upper) == ("overlay", "/tmp/fx/up")  # with an optional field
    assert mounts[69].point == "/tmp/fx/cr\nnl"
    assert parse_fdinfo((FIXTURES / "fdinfo.linux-6.18-read-write").read_bytes()) == (0o100002, 27)


def test_what_is_no_mountinfo_is_refused_and_a_cut_line_left_out():
    line = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n"
    assert list(parse_mountinfo(line + line[:20])) == [27]
    assert parse_mountinfo(line.replace(b"/ / rw", b"/ /a\rb rw"))[27].point == "/a\rb"
    with pytest.raises(Malformed):
        parse_mountinfo(b"27 1 254:0 / / rw ext4 /dev/vda rw\n")
    assert parse_fdinfo(b"pos:\t0\nflags:\tno\nmnt_id:\t1\n") is None


def test_the_deepest_mount_wins_and_of_two_the_later():
    mounts = {each.number: each for each in (mount(1), mount(2, "/srv"), mount(3, "/srv"), mount(4, "/srv/data"))}
    found = {path: mount_of(path, mounts) for path in ("/", "/srv", "/srv/x", "/srvx", "/srv/data/x", "nowhere")}
    numbers = {path: each.number for path, each in found.items() if each}
    assert numbers == {"/": 1, "/srv": 3, "/srv/x": 3, "/srvx": 1, "/srv/data/x": 4}


def test_a_device_is_named_by_number_source_or_what_is_below():
    names = {(8, 1): "sda1", (253, 0): "dm-0", (8, 2): "nvme0n1p2"}
    host = {1: mount(major=8, minor=1, file_system="ext4")}
    btrfs = mount(file_system="btrfs", source="/dev/nvme0n1p2")
    assert device_name(mount(major=8, minor=1), names, {}) == "sda1"
    assert device_name(btrfs, names, {}) == "nvme0n1p2"
    assert device_name(btrfs._replace(source="/dev/gone"), names, {}) == "0:57"
    assert device_name(btrfs._replace(file_system="fuse"), names, {}) == "0:57"  # which may call itself anything
    assert device_name(mount(upper="/var/lib/docker/overlay2/5e0c/diff"), names, host) == "sda1"
    assert device_name(mount(upper="/var/lib/docker/overlay2/5e0c/diff"), names, {}) == "0:57"
    assert device_name(mount(), names, host) == "0:57"


def test_files_are_told_with_their_file_system_and_device():
    with own_disk() as (directory, device), script(OPENING) as (process, _):
        (directory / "log").write_bytes(b"")
        order(process, "ab", directory / "log")
        order(process, "rb", "/etc/passwd")
        order(process, "wb", f"/dev/shm/perfwatch-{process.pid}")
        order(process, "chdir", directory)
        with DiskProbe(lambda: {process.pid}, may_use_bpf=False) as probe:
            records = probe.read(1)
        order(process, "chdir", "/")
        order(process, "close")
        order(process, "close")
        order(process, "close")
        Path(f"/dev/shm/perfwatch-{process.pid}").unlink()
    [told] = [record for record in records if isinstance(record, TargetFiles)]
    assert decode(encode(told)) == told
    places = {place.path: place for place in told.files}
    log, passwd = places[str(directory / "log")], places["/etc/passwd"]
    assert (log.device, log.mount_point, log.file_system, log.is_written) == (device, str(directory), "ext4", True)
    assert passwd.device == device_of("/etc/passwd")
    assert (passwd.mount_point, passwd.is_written) == ("/", False)
    memory = places[f"/dev/shm/perfwatch-{process.pid}"]
    assert (memory.file_system, memory.mount_point, memory.is_written) == ("tmpfs", "/dev/shm", True)
    assert memory.device.startswith("0:")
    assert places[str(directory)].is_written is False
    written = [place.is_written for place in told.files]
    assert written == sorted(written, reverse=True)
    assert {record.device for record in records if isinstance(record, DiskSample)} >= {device, passwd.device}


def device_of(path):
    number = Path(path).stat().st_dev
    return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name


def test_it_is_told_again_only_when_it_changed(tmp_path):
    with script(OPENING) as (process, _):
        files = FilesOfTree()
        assert len(files.read({process.pid}, {}, 1)) == 1
        order(process, "wb", tmp_path / "new")
        assert files.read({process.pid}, {}, REFRESH_NS) == []  # too early to look
        [changed] = files.read({process.pid}, {}, REFRESH_NS + 1)
        assert str(tmp_path / "new") in {place.path for place in changed.files}
        assert files.read({process.pid}, {}, 2 * REFRESH_NS + 1) == []
        assert files.devices
        assert files.read((), {}, 3 * REFRESH_NS + 1) == []
        assert not files.devices


def test_many_files_are_cut_and_those_written_come_first(tmp_path):
    with script(OPENING) as (process, _):
        for index in range(MAX_FILES + 8):
            (tmp_path / f"read{index}").touch()
            order(process, "rb", tmp_path / f"read{index}")
        order(process, "wb", tmp_path / "written")
        [record] = FilesOfTree().read({process.pid}, {}, 1)
    assert len(record.files) == MAX_FILES
    assert [place.path for place in record.files if place.is_written] == [str(tmp_path / "written")]
    assert record.files[0].is_written


def test_hostile_names_are_kept_within_bounds(tmp_path):
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    with script(OPENING) as (process, _):
        order(process, "wb", f"{tmp_path}/new\\nline\\rand\\x1b[31m")
        order(process, "wb", f"{tmp_path}/not\\xffutf8")
        order(process, "wb", f"{tmp_path}/socket:[12345]")
        order(process, "wb", f"{deep}/long")
        places = files_of(process)
    assert {f"{tmp_path}/new\nline\rand\x1b[31m", f"{tmp_path}/not\ufffdutf8", f"{tmp_path}/socket:[12345]"} <= set(
        places
    )
    assert max(map(len, places)) == 256


def test_a_working_directory_that_the_kernel_cannot_say_hides_no_file(tmp_path):
    with far_down(tmp_path) as process:
        assert FilesOfTree().read({process.pid, os.getpid()}, {}, 1)
        with DiskProbe(lambda: {process.pid}, may_use_bpf=False) as probe:
            assert probe.read(1)


LOCKED = """
import fcntl, os, struct, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for place in range(8000):
    fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, place * 2, 1, 0))
kept = [os.dup(file) for _ in range(200)]
print("ready")
sys.stdin.read()
"""


def test_files_with_thousands_of_locks_are_not_all_looked_at_and_then_left_alone(tmp_path):
    """The kernel lists all locks of a file in each of its descriptors' fdinfo: 200 of them took some seconds."""
    with script(LOCKED, arguments=[tmp_path / "locked"]) as (process, _):
        files = FilesOfTree()
        with costing.at_most(0.5):
            [record] = files.read({process.pid}, {}, 1)
        assert str(tmp_path / "locked") in {place.path for place in record.files}
        assert files._due_ns[process.pid] > BUDGET_NS * 50


OVERLAY = """
set -e
mkdir -p "$1/low" "$1/up" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=$1/low,upperdir=$1/up,workdir=$1/work" "$1/merged"
"""
ON_OVERLAY = """
import os
with open(sys.argv[1] + "/merged/file", "wb") as file:
    with DiskProbe(lambda: {os.getpid()}, may_use_bpf=False) as probe:
        told = [one for one in probe.read(1) if type(one).__name__ == "TargetFiles"]
result = [[place.path, place.device, place.file_system, place.mount_point] for one in told for place in one.files]
"""


@pytest.mark.skipif("overlay" not in Path("/proc/filesystems").read_text(), reason="needs overlay file systems")
def test_a_containers_overlay_is_on_the_hosts_device():
    with own_disk() as (directory, device):
        setup = OVERLAY.replace("$1", str(directory))
        places = answer(ON_OVERLAY, directory, setup=setup, imports="from perfwatch.probes.disk import DiskProbe")
    on_overlay = [place for place in places if place[0] == f"{directory}/merged/file"]
    assert on_overlay == [[f"{directory}/merged/file", device, "overlay", f"{directory}/merged"]]
