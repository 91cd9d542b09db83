"""The host's totals against the kernel's own files, and the target's processes while they live."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfwatch.probes.host import MAX_PROCESSES, HostProbe, parse_open_files_limit, read_host
from perfwatch.probes.records import HostSample, ProcessSample

TICK_NS = 1e9 / os.sysconf("SC_CLK_TCK")


def test_the_host_is_what_proc_says():
    before = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    sample = read_host(1)
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    user, nice, system, idle, iowait, irq, softirq, steal, *_ = (int(field) for field in before)
    assert sample.cpu_busy_ns == pytest.approx(
        (user + nice + system + irq + softirq + steal) * TICK_NS, abs=5 * TICK_NS
    )
    assert sample.cpu_idle_ns == pytest.approx((idle + iowait) * TICK_NS, abs=5 * TICK_NS)
    assert sample.memory_total_bytes == int(memory["MemTotal"].split()[0]) * 1024
    assert sample.memory_available_bytes == pytest.approx(int(memory["MemAvailable"].split()[0]) * 1024, rel=0.05)
    assert sample.runnable >= 0


def test_each_process_of_the_tree_is_sampled_while_it_lives():
    with subprocess.Popen(["sleep", "60"]) as child, HostProbe(lambda: {os.getpid(), child.pid}) as probe:
        host, own, *tree = probe.read(time.monotonic_ns())
        child.kill()
        child.wait()
        after = probe.read(time.monotonic_ns())
    assert isinstance(host, HostSample)
    assert (own.role, own.pid) == ("perfwatch", os.getpid())
    assert [(each.role, each.pid) for each in tree] == [("target", pid) for pid in sorted({os.getpid(), child.pid})]
    assert own.cpu_ns == pytest.approx(time.process_time_ns(), abs=5 * TICK_NS)
    assert [each.pid for each in after if isinstance(each, ProcessSample) and each.role == "target"] == [os.getpid()]


def test_open_files_are_counted_and_their_limit_is_the_soft_one():
    shell = ["sh", "-c", "ulimit -Sn 77; exec 7</dev/null 8</dev/null; echo; read x"]
    with (
        subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
        HostProbe(lambda: {child.pid}) as probe,
    ):
        child.stdout.readline()
        sample = probe.read(1)[-1]
        held = len(list(Path(f"/proc/{child.pid}/fd").iterdir()))
        child.kill()
    assert (sample.open_files, sample.open_files_limit) == (held, 77)
    assert held >= 5


@pytest.mark.parametrize(
    ("limits", "soft"),
    [
        (b"Max cpu time   unlimited  unlimited  seconds\nMax open files            1024      524288     files\n", 1024),
        (b"Max open files            unlimited            unlimited            files\n", None),
        (b"Max open files            " + b"9" * 50 + b"   1  files\n", None),
        (b"", None),
        (b"\xff\x00Max open files 1 2", None),
    ],
)
def test_a_limit_is_told_only_where_there_is_one(limits, soft):
    assert parse_open_files_limit(limits) == soft


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_users_open_files_are_known_where_the_kernel_tells_them_to_all():
    source = (
        "import os, sys; from perfwatch.probes.host import HostProbe; os.setgroups([]); os.setuid(65534);"
        "print([(s.open_files, s.open_files_limit) for s in HostProbe(lambda: {int(sys.argv[1])}).read(1)[2:]])"
    )
    shell = ["sh", "-c", "ulimit -Sn 77; echo; read x"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        command = [sys.executable, "-c", source, str(child.pid)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        held = Path(f"/proc/{child.pid}/fd").stat().st_size or None
        child.kill()
    assert ended.stdout == f"[({held}, 77)]\n", ended


def test_a_huge_tree_is_cut():
    with HostProbe(lambda: [os.getpid()] * (MAX_PROCESSES + 10)) as probe:
        assert len(probe.read(1)) == MAX_PROCESSES + 2
