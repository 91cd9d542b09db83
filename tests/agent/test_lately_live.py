"""The figures of the pages against what ss, /proc/stat and /proc/diskstats say of the same kernel at the same time.

A figure of ours is made of two readings; theirs are taken before and after each, and must enclose it.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

import making as m
import pytest
from disking import go as let_write
from disking import own_disk, result, writers
from netting import NEEDS_SS, connections, server, ss
from waiting import until

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.probes.cpu import CpuProbe
from perfwatch.probes.disk import DiskProbe
from perfwatch.probes.sockets import SocketsProbe

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a file system of our own needs root")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Twice(NamedTuple):
    """The view of two readings of a probe, and how far another counter went at least and at most between them."""

    view: object
    passed_s: float
    least: dict
    most: dict


def twice(probe, meanwhile, counters):
    """Read a probe, let something happen, read it again; `counters` returns what the others say, by name."""
    correlator = Correlator(m.info())
    moments, others = [], []
    for after in (meanwhile, None):
        others.append(counters())
        moments.append(time.monotonic_ns())
        for record in until(lambda: probe.read(time.monotonic_ns())):
            correlator.feed(record)
        others.append(counters())
        if after:
            after()
    names = others[0].keys() & others[-1].keys()
    return Twice(
        correlator.view(),
        (moments[1] - moments[0]) / 1e9,
        {name: others[2][name] - others[1][name] for name in names},
        {name: others[3][name] - others[0][name] for name in names},
    )


def ticks():
    """Busy and all ticks of each CPU, as /proc/stat has them."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name[:3] == "cpu" and name[3:]:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, columns[:8])
            found[name, "user"] = user + nice
            found[name, "system"] = system + irq + softirq
            found[name, "all"] = user + nice + system + idle + iowait + irq + softirq + steal
    return found


def burn():
    until_s = time.monotonic() + 0.6
    while time.monotonic() < until_s:
        sum(range(1000))


def test_each_cpu_is_as_busy_as_proc_stat_says():
    with CpuProbe(lambda: [os.getpid()]) as probe:
        seen = twice(probe, lambda: (burn(), setattr(probe, "_due_ns", 0)), ticks)
    cpus = seen.view.lately.cpus
    assert len(cpus) == os.cpu_count()
    for number, one in enumerate(cpus):
        for part in ("user", "system"):
            share = getattr(one, part)
            all_least, all_most = (side[f"cpu{number}", "all"] for side in (seen.least, seen.most))
            least, most = (side[f"cpu{number}", part] for side in (seen.least, seen.most))
            assert (least - 1) / (all_most + 1) <= share <= (most + 1) / max(all_least - 1, 1), (number, part)
    assert sum(one.user for one in cpus) > 0.2, "this test itself kept a CPU busy"


def diskstats(device):
    """What `iostat` reads: requests, sectors, milliseconds of a device."""
    fields = next(line.split() for line in Path("/proc/diskstats").read_text().splitlines() if f" {device} " in line)
    reads, _, sectors_read, read_ms, writes, _, sectors, write_ms, _, busy_ms, queue_ms = map(int, fields[3:14])
    return {
        "requests": reads + writes,
        "writes": writes,
        "written": sectors * 512,
        "read": sectors_read * 512,
        "write_ms": write_ms,
        "spent_ms": read_ms + write_ms,
        "busy_ms": busy_ms,
        "queue_ms": queue_ms,
    }


@NEEDS_ROOT
def test_a_disk_is_as_busy_as_diskstats_says():
    with own_disk() as (directory, device), writers(directory, 2, 0.6, size=1 << 18) as processes:
        tree = [process.pid for process in processes]

        def write():
            let_write(processes)
            for process in processes:
                result(process)

        with DiskProbe(lambda: tree) as probe:
            seen = twice(probe, write, lambda: diskstats(device))
    one = next(one for one in seen.view.queues.disks if one.device == device)
    span = seen.passed_s

    def enclosed(ours, name, slack=1.0):
        assert (seen.least[name] - slack) <= ours <= (seen.most[name] + slack), name

    enclosed(one.writes_s * span, "writes", 0.02 * seen.most["writes"])
    enclosed(one.written_bytes_s * span, "written", 0.02 * seen.most["written"])
    enclosed(one.utilisation * span * 1000, "busy_ms", 0.05 * seen.most["busy_ms"] + 20)
    assert one.writes_s > 10
    assert seen.least["write_ms"] / seen.most["writes"] * 0.9 <= one.write_ms
    assert one.write_ms <= seen.most["write_ms"] / seen.least["writes"] * 1.1
    own = {one.pid: one for one in seen.view.lately.own_io}
    assert set(own) == set(tree)
    moved = sum(one.written_bytes_s for one in own.values()) * span
    assert moved == pytest.approx(seen.most["written"], rel=0.1)


@NEEDS_SS
def test_doors_and_queues_are_those_of_ss():
    with server(backlog=16) as (process, address, tell), connections(address, 7) as clients:
        for size, client in enumerate(clients[:3], 1):
            client.sendall(bytes(size << 10))
            tell("accept")
        with SocketsProbe(lambda: [process.pid]) as probe:
            seen = until(lambda: (one := _view(probe)).lately.unread_bytes == 6 << 10 and one)
        listening = ss("-ltn", "sport", "=", f":{address[1]}")
        established = ss("-tn", "state", "established", f"( sport = :{address[1]} )")
    (door,) = seen.lately.doors
    assert [(str(door.now), str(door.limit))] == [(line[1], line[2]) for line in listening] == [("4", "16")]
    ours = sorted((one.recv_q, one.peer) for one in seen.queues.sockets if one.role == "accepted")
    theirs = sorted((int(line[0]), line[3]) for line in established if int(line[0]))
    assert ours == theirs
    assert dict(seen.lately.socket_states) == {"ESTABLISHED": 3, "LISTEN": 1}


@NEEDS_SS
def test_a_peer_that_does_not_read_is_told_as_ss_tells_it():
    with server() as (process, address, tell), connections(address, 1) as clients:
        tell("accept")
        tell("send")
        with SocketsProbe(lambda: [process.pid]) as probe:
            correlator = Correlator(m.info())
            first = _fed(correlator, probe)
            seen = until(
                lambda: (one := _fed(correlator, probe)).lately.progress[0].passed_s > 0.5 and one, pause_s=0.1
            )
        ((_, send_q, *rest),) = ss("-tin", "state", "established", f"( sport = :{address[1]} )")[:1]
        clients[0].close()
    (socket,) = [one for one in seen.queues.sockets if one.role == "accepted"]
    assert str(socket.send_q) == send_q, rest
    assert first.lately.progress[0].passed_s == 0
    (progress,) = seen.lately.progress
    assert progress.peer_full > 0.5
    assert progress.unacked_s > 0.4


def _view(probe):
    return _fed(Correlator(m.info()), probe)


def _fed(correlator, probe):
    for record in probe.read(time.monotonic_ns()):
        correlator.feed(record)
    return correlator.view()
