"""The cgroup probe on the live kernel: real v1 quotas and limits, v2, containers, against independent readings."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import cgroups
import confined
import pytest
from waiting import until

from perfwatch.probes.cgroup import MAX_CGROUPS, CgroupProbe
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.records import decode, encode

SPIN = "while True: pass"
ALLOCATE = (
    "import subprocess\nheld = bytearray(20 << 20)\nprint('holds', flush=True)\ninput()\n"
    "subprocess.run([sys.executable, '-c', 'bytearray(200 << 20)'])\nprint('killed', flush=True)\ninput()"
)
PROBE = "from perfwatch.probes.cgroup import CgroupProbe"
READ = (
    "import os\npid = int(sys.argv[1]) if sys.argv[1:] else os.getpid()\n"
    "probe = CgroupProbe(lambda: (pid,))\nfound = probe.availability()\nresult = [found.status, found.reason]\n"
    "if found.status != 'unavailable':\n    probe.__enter__()\n"
    "    result += [[s.path, s.memory_path, s.version, s.quota_ns, s.cpu_ns is not None] for s in probe.read(1)]"
)


def cpu_stat(directory):
    """Read cpu.stat as the shell would."""
    return {key: int(value) for key, value in map(str.split, (directory / "cpu.stat").read_text().splitlines())}


def sample_of(probe, directory, at_ns=1):
    """Return the sample of the cgroup that was made for a test."""
    return next(sample for sample in probe.read(at_ns) if sample.path == f"/{directory.name}")


def test_a_quota_and_its_throttling():
    """A process that spins under a quota of 20 %: the counters lie between two readings of the file, and grow."""
    with (
        cgroups.cgroup("cpu", cgroups.quota(0.2)) as group,
        cgroups.cgroup("cpuacct", name=group.name) as account,
        cgroups.process_in(group, account, source=SPIN) as process,
        CgroupProbe(lambda: (process.pid,)) as probe,
    ):
        first = sample_of(probe, group, time.monotonic_ns())
        until(lambda: cpu_stat(group)["nr_throttled"] >= first.throttled_periods + 10)
        before = cpu_stat(group)
        last = sample_of(probe, group, time.monotonic_ns())
        after = cpu_stat(group)
    assert (last.version, last.quota_ns, last.period_ns) == (1, 20_000_000, 100_000_000)
    assert before["nr_throttled"] <= last.throttled_periods <= after["nr_throttled"]
    assert before["throttled_time"] <= last.throttled_ns <= after["throttled_time"]
    assert before["nr_periods"] <= last.periods <= after["nr_periods"]
    wall_ns = last.at_ns - first.at_ns
    assert last.throttled_periods - first.throttled_periods >= 10
    assert last.throttled_ns > first.throttled_ns
    assert (last.cpu_ns - first.cpu_ns) / wall_ns <= 0.25
    assert decode(encode(last)) == last


def test_the_use_of_another_cgroup_is_not_taken_for_that_of_the_one_with_the_quota():
    """Under v1 CPU accounting is a hierarchy of its own: here the target is in its root, with everybody else."""
    with (
        cgroups.cgroup("cpu", cgroups.quota(0.2)) as group,
        cgroups.process_in(group) as process,
        CgroupProbe(lambda: (process.pid,)) as probe,
    ):
        sample = sample_of(probe, group)
    assert sample.quota_ns == 20_000_000
    assert sample.cpu_ns is None


def test_a_quota_above_the_target_is_told_too():
    """The quota that stops a process may be its parent's; a parent without one is left out."""
    with cgroups.cgroup("cpu") as outer:
        (outer / "limited").mkdir()
        (outer / "limited" / "cpu.cfs_quota_us").write_text("50000")
        (outer / "limited" / "leaf").mkdir()
        with (
            cgroups.process_in(outer / "limited" / "leaf") as process,
            CgroupProbe(lambda: (process.pid,)) as probe,
        ):
            quotas = {sample.path: sample.quota_ns for sample in probe.read(1)}
    assert quotas[f"/{outer.name}/limited/leaf"] is None
    assert quotas[f"/{outer.name}/limited"] == 50_000_000
    assert f"/{outer.name}" not in quotas


def test_a_memory_limit_its_use_and_its_victims():
    limit = 64 << 20
    with (
        cgroups.cgroup("memory", {"memory.limit_in_bytes": limit}) as group,
        cgroups.process_in(group, source=ALLOCATE) as process,
        CgroupProbe(lambda: (process.pid,)) as probe,
    ):
        assert process.stdout.readline() == "holds\n"
        (first,) = (sample for sample in probe.read(1) if sample.memory_path == f"/{group.name}")
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "killed\n"
        (last,) = (sample for sample in probe.read(1) if sample.memory_path == f"/{group.name}")
        failcnt = int((group / "memory.failcnt").read_text())
    assert first.memory_limit_bytes == limit
    assert 20 << 20 < first.memory_bytes < limit
    assert (first.limit_hits, first.oom_kills) == (0, 0)
    assert last.limit_hits == failcnt > 0
    assert last.oom_kills == 1


def test_a_memory_limit_above_the_target_has_a_record_of_its_own():
    """The CPU controller has no such cgroup: its figures are None there."""
    with cgroups.cgroup("memory", {"memory.limit_in_bytes": 1 << 30}) as outer:
        (outer / "leaf").mkdir()
        with cgroups.process_in(outer / "leaf") as process, CgroupProbe(lambda: (process.pid,)) as probe:
            samples = {sample.memory_path: sample for sample in probe.read(1)}
    above = samples[f"/{outer.name}"]
    assert (above.path, above.memory_limit_bytes) == (f"/{outer.name}", 1 << 30)
    assert above.cpu_ns is above.quota_ns is above.period_ns is None
    assert samples[f"/{outer.name}/leaf"].memory_limit_bytes is None


def test_a_number_of_processes_and_its_limit():
    with (
        cgroups.cgroup("pids", {"pids.max": 17}) as group,
        cgroups.process_in(group) as process,
        CgroupProbe(lambda: (process.pid,)) as probe,
    ):
        samples = probe.read(1)
    assert (samples[0].pids, samples[0].pids_limit) == (1, 17)


def test_bytes_written_to_a_device(tmp_path):
    """To a loop device with a throttling policy, without which newer kernels count nothing."""
    if not shutil.which("losetup"):
        pytest.skip("needs losetup")
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    made = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"needs a loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    number = Path(device).stat().st_rdev
    write = (
        f"import subprocess\nsubprocess.run(['dd', 'if=/dev/zero', 'of={device}', 'oflag=direct', 'bs=64k', 'count=4'],"
    )
    write += " stderr=subprocess.DEVNULL, check=True)\nprint('written', flush=True)\ninput()"
    limit = {"blkio.throttle.write_bps_device": f"{os.major(number)}:{os.minor(number)} 1000000000"}
    try:
        with cgroups.cgroup("blkio", limit) as group, cgroups.process_in(group, source=write) as process:
            assert process.stdout.readline() == "written\n"
            with CgroupProbe(lambda: (process.pid,)) as probe:
                samples = probe.read(1)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    assert samples[0].written_bytes == 4 * 65536


def test_without_the_v1_hierarchy_of_a_controller():
    """The cgroups of others stay visible through their own mounts; one's own do not: None, and said."""
    with cgroups.cgroup("cpu", cgroups.quota(0.5)) as group, cgroups.process_in(group) as process:
        hide = f"umount -l {group.parent}"
        status, _, first, *_ = confined.answer(READ, process.pid, setup=hide, imports=PROBE)
        assert (status, first[0], first[3]) == ("available", f"/{group.name}", 50_000_000)
        status, reason, *samples = confined.answer(READ, setup=_joined(group, hide), imports=PROBE)
    assert (status, reason) == ("limited", "the target's cgroups cannot be seen from here (cpu)")
    assert all(quota is None for _, _, _, quota, _ in samples)


def _joined(group, setup):
    """Enter a cgroup, then set up the rest."""
    return f"echo $$ > {group}/cgroup.procs; {setup}"


def test_inside_a_container_with_a_cgroup_namespace():
    """Its cgroup is `/` to it, and so are the roots of its mounts."""
    with cgroups.cgroup("cpu", cgroups.quota(0.5)) as group:
        found = confined.answer(READ, setup=_joined(group, _contained(group.parent)), imports=PROBE)
    _, _, first, *_ = found
    assert (first[0], first[2], first[3]) == ("/", 1, 50_000_000)


def test_inside_a_container_without_a_cgroup_namespace():
    """Paths are the host's, and its mount begins at its own cgroup."""
    with cgroups.cgroup("cpu", cgroups.quota(0.5)) as group:
        bind = f"mount --bind {group} {group.parent}"
        status, _, first, *_ = confined.answer(READ, setup=_joined(group, bind), imports=PROBE)
    assert (status, first[0], first[3]) == ("available", f"/{group.name}", 50_000_000)


def _contained(mount_point):
    """Enter namespaces as container engines do, and continue there with the command that is to be run."""
    mounts = f"umount -l {mount_point}; mount -t cgroup -o cpu cgroup {mount_point}"
    return f"""exec unshare --cgroup --mount sh -c '{mounts}; exec "$@"' sh "$@" """


def test_a_container_beside():
    """perfwatch in one container, the target in another whose processes it sees: through the target's own mounts."""
    with cgroups.cgroup("cpu", cgroups.quota(0.3)) as target, cgroups.cgroup("cpu") as reader:
        command = _joined(target, _contained(target.parent))
        with subprocess.Popen(
            ["sh", "-c", command, "sh", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            process.stdin.write(b"in\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"in\n"
            found = confined.answer(READ, process.pid, setup=_joined(reader, _contained(reader.parent)), imports=PROBE)
            process.stdin.close()
    _, _, first, *_ = found
    assert (first[0], first[3]) == (f"/../{target.name}", 30_000_000)


def test_what_lies_over_a_cgroup_is_not_taken_for_it():
    """A tmpfs with files of the right names over the hierarchy: nothing is read from it."""
    with cgroups.cgroup("cpu", cgroups.quota(0.5)) as group:
        over = f"mount -t tmpfs none {group.parent}; mkdir {group}; echo 999 > {group}/cpu.cfs_quota_us"
        status, reason, *samples = confined.answer(READ, setup=_joined(group, over), imports=PROBE)
    assert (status, reason) == ("limited", "the target's cgroups cannot be seen from here (cpu)")
    assert all(quota is None for _, _, _, quota, _ in samples)


def test_without_a_hierarchy_it_says_what_would_help():
    status, reason, remedy = confined.answer(
        "found = CgroupProbe(lambda: ()).availability()\nresult = [found.status, found.reason, found.remedy]",
        setup="umount -l /sys/fs/cgroup/* 2>/dev/null || umount -l /sys/fs/cgroup",
        imports=PROBE,
    )
    assert (status, reason) == ("unavailable", "no cgroup hierarchy is mounted here")
    assert remedy.startswith("mount")


@pytest.mark.parametrize("setup", ["true", confined.HIDE])
def test_an_unprivileged_user(setup):
    """Cgroup files may be read by all; but which cgroup another's process is in is hidden with its PID."""
    with cgroups.cgroup("cpu", cgroups.quota(0.5)) as group, cgroups.process_in(group) as process:
        found = confined.answer(READ, process.pid, setup=setup, imports=PROBE, nobody=True)
    status, reason, *samples = found
    if setup == "true":
        assert status == "available"
        assert samples[0][0] == f"/{group.name}"
        assert samples[0][3] == 50_000_000
    else:
        assert (status, samples) == ("unavailable", [])
        assert "hidepid" in reason


def test_a_v2_cgroup_and_the_limit_above_it(monkeypatch, tmp_path):
    """A tree of the documentation's text, for the controllers are on v1 here: a limited slice, a service without."""
    text = Path(__file__).parents[1] / "fixtures" / "cgroups" / "v2.linux-documentation"
    service = tmp_path / "cgroup" / "shop.slice" / "shop.service"
    shutil.copytree(text, service.parent)
    service.mkdir()
    (service / "cpu.max").write_text("max 100000\n")
    (service / "cpu.stat").write_text("usage_usec 7\n")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    device = tmp_path.stat().st_dev
    mount = f"1 2 {os.major(device)}:{os.minor(device)} / {tmp_path}/cgroup rw - cgroup2 none rw\n"
    (tmp_path / "proc" / "self" / "mountinfo").write_text(mount)
    (tmp_path / "proc" / "42").mkdir()
    (tmp_path / "proc" / "42" / "cgroup").write_text("0::/shop.slice/shop.service\n")
    monkeypatch.setattr("perfwatch.probes.roots.PROC", tmp_path / "proc")
    with CgroupProbe(lambda: (42,)) as probe:
        assert probe.availability().status == "available"
        own, above = probe.read(1)
    assert (own.path, own.version, own.cpu_ns, own.quota_ns) == ("/shop.slice/shop.service", 2, 7000, None)
    assert (above.path, above.memory_path, above.quota_ns) == ("/shop.slice", "/shop.slice", 20_000_000)
    assert (above.throttled_periods, above.memory_limit_bytes, above.pids, above.pids_limit) == (
        39,
        104857600,
        23,
        None,
    )


def test_a_vanished_process_and_a_removed_cgroup():
    with (
        cgroups.cgroup("cpu") as group,
        cgroups.process_in(group) as process,
        CgroupProbe(lambda: (process.pid, 2**22 - 1)) as probe,
    ):
        assert sample_of(probe, group)
        process.kill()
        process.wait()
        assert probe.read(2) == ()


def test_a_hostile_name_of_a_cgroup():
    """Spaces, colons, escapes and bytes that are no UTF-8; longer than is kept."""
    name = os.fsdecode(b"a b:c\x1b[31m\xff" + b"x" * 240)
    with (
        cgroups.cgroup("cpu", cgroups.quota(0.5), name=name) as group,
        cgroups.process_in(os.fsdecode(group)) as process,
        CgroupProbe(lambda: (process.pid,)) as probe,
    ):
        (sample, *_) = probe.read(1)
    assert sample.path.startswith("/a b:c\x1b[31m�xxx")
    assert len(sample.path) <= 256
    assert sample.quota_ns == 50_000_000
    assert decode(encode(sample)) == sample


def test_many_cgroups_and_deep_ones_are_bounded():
    with cgroups.cgroup("cpu") as group:
        deep = group
        for _ in range(40):
            deep /= "d"
            deep.mkdir()
            (deep / "cpu.cfs_quota_us").write_text("50000")
        with cgroups.process_in(deep) as process, CgroupProbe(lambda: [process.pid] * 200) as probe:
            samples = probe.read(1)
    assert 1 < len(samples) <= MAX_CGROUPS
    assert len(samples[0].path) > len(samples[1].path)


def test_nothing_stays_open():
    before = set(Path("/proc/self/fd").iterdir())
    with CgroupProbe(lambda: (os.getpid(), 1)) as probe:
        probe.read(1)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_kernel_without_cgroups(monkeypatch, tmp_path):
    monkeypatch.setattr("perfwatch.probes.roots.PROC", tmp_path)
    with pytest.raises(Unavailable):
        CgroupProbe(lambda: ()).__enter__()
