"""The tasks probe on real processes: which of a tree it reads, and what it leaves behind."""

import os
import platform
import sys
import time

from ledgering import script
from sampling import open_descriptors
from waiting import until

from perfwatch.probes.cpython import permission
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.probe import AVAILABLE
from perfwatch.probes.records import decode, encode
from perfwatch.probes.tasks import probe as module
from perfwatch.probes.tasks.probe import TasksProbe

FAMILY = """
import asyncio, os, sys
async def parent():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
async def child():
    await asyncio.sleep(1000)
child_pid = os.fork()
if not child_pid:
    asyncio.run(child())
print(child_pid)
asyncio.run(parent())
os.kill(child_pid, 9)
os.waitpid(child_pid, 0)
print("ended")
sys.stdin.readline()
os.execv(sys.argv[1], [sys.argv[1], "-uc", sys.argv[2]])
"""
OTHER = """
import asyncio
async def other():
    print("up")
    await asyncio.sleep(1000)
asyncio.run(other())
"""


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def read_until(probe, condition):
    """Read until a condition holds of what was told, outermost function by PID; returns the records."""
    records = []

    def holds():
        records[:] = probe.read(time.monotonic_ns())
        return condition(
            {each.pid: {each.table.stack(task.stack)[-1].function for task in each.tasks} for each in records}
        )

    until(holds, pause_s=0.01)
    return records


def test_a_tree_is_followed_and_nothing_is_left_open(monkeypatch):
    monkeypatch.setattr(module, "LAST_TRY_NS", 200_000_000)
    with script(FAMILY, arguments=[sys.executable, OTHER]) as (process, line):
        before = open_descriptors()
        tree = [process.pid, int(line), os.getpid(), 1 << 30]
        with TasksProbe(lambda: tree) as probe:
            assert probe.availability() == AVAILABLE
            records = read_until(probe, lambda told: told == {process.pid: {"parent"}, int(line): {"child"}})
            assert all(decode(encode(record)) == record for record in records)
            assert all(record.count == len(record.tasks) == 1 for record in records)
            assert go_on(process) == "ended"
            read_until(probe, lambda told: told == {})
            assert go_on(process) == "up"
            read_until(probe, lambda told: told == {process.pid: {"other"}})
            tree.remove(process.pid)
            assert probe.read(time.monotonic_ns()) == []
            tree.append(process.pid)
            read_until(probe, lambda told: told == {process.pid: {"other"}})
        assert open_descriptors() == before


def test_a_process_that_may_not_be_read_has_the_reason(monkeypatch):
    def refuse(pid):
        raise Unavailable("no permission", "run as root")

    monkeypatch.setattr(permission, "Memory", refuse)
    found = TasksProbe(lambda: [os.getpid()]).availability()
    assert (found.status, found.reason, found.remedy) == ("unavailable", "no permission", "run as root")
    assert TasksProbe(list).availability() == AVAILABLE


def test_on_another_machine_it_is_not_available(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert TasksProbe(list).availability().status == "unavailable"
