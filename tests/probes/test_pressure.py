"""The pressure probe on the live kernel, against /proc/pressure read independently, and where PSI cannot be seen."""

import os
import time
from pathlib import Path

import cgroups
import confined
import pytest

from perfwatch.probes.errors import Malformed, Unavailable
from perfwatch.probes.pressure import PressureProbe, Stall, parse_pressure
from perfwatch.probes.records import decode, encode

FIXTURES = Path(__file__).parents[1] / "fixtures" / "proc"
pytestmark = pytest.mark.skipif(not Path("/proc/pressure/cpu").exists(), reason="this kernel keeps no pressure totals")
SPIN = "import os\nos.fork(); os.fork(); os.fork()\nwhile True: pass"


def total_us(path, kind="some"):
    """Read a total as the shell would."""
    line = next(line for line in Path(path).read_text().splitlines() if line.startswith(kind))
    return int(line.rpartition("=")[2])


def test_host_totals_lie_between_two_other_readings():
    with PressureProbe(lambda: ()) as probe:
        before = [total_us(f"/proc/pressure/{name}") for name in ("cpu", "memory", "io")]
        (host,) = probe.read(7)
        after = [total_us(f"/proc/pressure/{name}") for name in ("cpu", "memory", "io")]
    read = [host.cpu_some_ns, host.memory_some_ns, host.io_some_ns]
    assert all(low * 1000 <= ns <= high * 1000 for low, ns, high in zip(before, read, after, strict=True))
    assert (host.at_ns, host.scope, host.cpu_full_ns) == (7, "host", None)
    assert decode(encode(host)) == host


def test_a_cgroup_in_which_eight_spin_is_under_pressure():
    """Eight on two CPUs: someone waits nearly all the time."""
    with cgroups.cgroup("cgroup2") as group, cgroups.process_in(group, source=SPIN) as process:
        if not (group / "cpu.pressure").exists():
            pytest.skip("this kernel keeps no pressure totals of cgroups")
        with PressureProbe(lambda: (process.pid,)) as probe:
            _, first = probe.read(time.monotonic_ns())
            time.sleep(1)
            before_us = total_us(group / "cpu.pressure")
            _, last = probe.read(time.monotonic_ns())
            after_us = total_us(group / "cpu.pressure")
    assert last.scope == first.scope == f"/{group.name}"
    assert before_us * 1000 <= last.cpu_some_ns <= after_us * 1000
    assert (last.cpu_some_ns - first.cpu_some_ns) / (last.at_ns - first.at_ns) > 0.5
    assert last.cpu_full_ns is not None


def test_the_root_cgroup_is_not_told_twice():
    with PressureProbe(lambda: (1, os.getpid())) as probe:
        scopes = [sample.scope for sample in probe.read(1)]
    assert scopes.count("host") == 1
    assert "/" not in scopes


def test_at_most_eight_cgroups_are_read():
    with cgroups.cgroup("cgroup2") as group:
        inner = [group / str(number) for number in range(10)]
        for directory in inner:
            directory.mkdir()
        pids = []
        for directory in inner:
            pid = os.fork()
            if pid == 0:
                time.sleep(1000)
            cgroups.join(pid, directory)
            pids.append(pid)
        try:
            with PressureProbe(lambda: pids) as probe:
                assert len(probe.read(1)) == 9
        finally:
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)


def test_without_psi_it_says_what_would_help():
    """A tmpfs over /proc/pressure, and no cgroup v2: what a kernel booted with psi=0 shows."""
    found = confined.answer(
        "probe = PressureProbe(lambda: (1,))\nfound = probe.availability()\n"
        "try:\n    probe.__enter__(); result = []\n"
        "except Unavailable as error:\n    result = [found.status, found.reason, found.remedy, str(error)]",
        imports="from perfwatch.probes.pressure import PressureProbe\nfrom perfwatch.probes.errors import Unavailable",
        setup="mount -t tmpfs none /proc/pressure; mount -t tmpfs none /sys/fs/cgroup",
    )
    status, reason, remedy, text = found
    assert status == "unavailable"
    assert "PSI" in reason
    assert "psi=1" in remedy
    assert reason in text


def test_without_cgroup_v2_only_the_host_is_known():
    found = confined.answer(
        "probe = PressureProbe(lambda: (1,))\nfound = probe.availability()\nprobe.__enter__()\n"
        "result = [found.status, found.lost, [sample.scope for sample in probe.read(1)]]",
        imports="from perfwatch.probes.pressure import PressureProbe",
        setup="umount -l /sys/fs/cgroup/unified || umount -l /sys/fs/cgroup",
    )
    assert found == ["limited", "pressure within the target's own cgroup", ["host"]]


@pytest.mark.parametrize("setup", ["true", confined.HIDE])
def test_an_unprivileged_user_reads_the_host(setup):
    found = confined.answer(
        "probe = PressureProbe(lambda: (1, 2))\nfound = probe.availability()\nprobe.__enter__()\n"
        "result = [found.status, [sample.scope for sample in probe.read(1)]]",
        imports="from perfwatch.probes.pressure import PressureProbe",
        setup=setup,
        nobody=True,
    )
    assert found == ["available", ["host"]]


def test_a_file_of_a_kernel():
    raw = (FIXTURES / "pressure-io.linux-6.18").read_bytes()
    assert parse_pressure(raw) == Stall(304465487000, 219909825000)


@pytest.mark.parametrize(
    "raw", [b"some\n", b"some avg10=0.00 total=\n", b"some total=-3\n", b"full total=" + b"9" * 30]
)
def test_a_strange_file_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_pressure(raw)


def test_an_unavailable_probe_is_not_entered(monkeypatch, tmp_path):
    monkeypatch.setattr("perfwatch.probes.roots.PROC", tmp_path)
    with pytest.raises(Unavailable):
        PressureProbe(lambda: ()).__enter__()
