"""The host's totals against the kernel's own files, and the target's processes while they live."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from perfwatch.probes.host import MAX_PROCESSES, HostProbe, read_host
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


def test_a_huge_tree_is_cut():
    with HostProbe(lambda: [os.getpid()] * (MAX_PROCESSES + 10)) as probe:
        assert len(probe.read(1)) == MAX_PROCESSES + 2
