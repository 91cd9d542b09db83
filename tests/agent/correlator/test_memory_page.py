"""What the page of memory is told: real processes held against what they say of themselves, and what is made of it."""

import re
from pathlib import Path

import around as a
import coding as c
import making as m
import msgspec
import pytest
from judging import view_in_order as view
from ledgering import script

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.gc_runs import LONGEST, NEWEST
from perfwatch.probes.memory import MemoryProbe

MIB = 1 << 20
OBEY = """
import sys
kept = []
print("ready")
for line in sys.stdin:
    kept.append(bytearray(int(line)))
    print(len(kept))
"""


def status(pid, name):
    """What the kernel says of a process, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024


def test_a_process_that_leaks_is_told_with_its_size_and_its_rate():
    """It takes a mebibyte between two readings, which are a second apart by the probe's clock."""
    judge = Correlator(m.info())
    with script(OBEY) as (process, _), MemoryProbe(lambda: [process.pid]) as probe:
        for second in range(40):
            process.stdin.write(f"{MIB}\n")
            process.stdin.flush()
            process.stdout.readline()
            for record in probe.read(m.START + second * m.SECOND):
                judge.feed(record)
        memory = judge.view().memory
        [used] = memory.processes
        assert used.rss_bytes == pytest.approx(status(process.pid, "VmRSS"), abs=MIB // 4)
        assert used.virtual_bytes == pytest.approx(status(process.pid, "VmSize"), abs=MIB // 4)
        assert used.swap_bytes == status(process.pid, "VmSwap")
    assert [at_ns for at_ns, _ in used.past] == [m.START + second * m.SECOND for second in range(40)]
    assert used.growth.bytes_min == pytest.approx(60 * MIB, rel=0.05)
    assert used.growth.low <= 60 * MIB * 1.02
    assert used.minor_faults_s == pytest.approx(MIB / 4096, rel=0.2)
    assert memory.total[-1][1] == used.past[-2][1]
    assert memory.host.available_bytes <= memory.host.total_bytes


def rss(at_ms, mib, pid=4313):
    return a.process_memory(at_ms, 0, pid, mib * MIB)


def test_processes_are_added_up_and_one_that_ended_is_left_out():
    records = [rss(n * 1000, 100 + pid, pid) for n in range(5) for pid in (1, 2, 3) if n < 3 or pid != 3]
    memory = view(*records).memory
    assert [one.pid for one in memory.processes] == [2, 1]
    assert [bytes_ // MIB for _, bytes_ in memory.total] == [306, 306, 306, 203]


def test_what_is_read_more_seldom_stays_until_it_is_read_again():
    first = msgspec.structs.replace(rss(0, 20), pss_bytes=7, uss_bytes=5)
    [used] = view(first, *(rss(n * 1000, 20) for n in range(1, 4))).memory.processes
    assert (used.pss_bytes, used.uss_bytes, used.swap_bytes) == (7, 5, None)


def test_what_is_full_first_and_when():
    growing = [rss(n * 1000, 100 + n) for n in range(60)]
    host = [a.memory(n * 1000, available=4000 * MIB) for n in range(60)]
    limit = [a.cgroup(n * 1000, memory_bytes=400 * MIB, memory_limit_bytes=512 * MIB) for n in range(60)]
    room = view(*growing, *host, *limit).memory.room
    assert (room.of, room.free_bytes, room.limit_bytes) == (a.CGROUP, 112 * MIB, 512 * MIB)
    assert room.full_in_s == pytest.approx(112, rel=0.05)
    alone = view(*(rss(n * 1000, 100) for n in range(60)), *host).memory.room
    assert (alone.of, alone.full_in_s) == ("host", None)


def test_where_nothing_was_read_nothing_is_known():
    memory = view(m.served(1, 100, on_cpu=5)).memory
    assert (memory.processes, memory.total, memory.growth, memory.host, memory.room) == ((), (), None, None, None)


def test_runs_of_a_collector_are_told_with_the_thread_and_the_request_that_they_delayed():
    request = m.served(7, 300, on_cpu=200, method="GET", target="/search")
    runs = [c.pause(150, 40, tid=4321, request=7), c.pause(900, 5, generation=0, tid=0, source="polled")]
    told = view(c.python(0), request, *runs).gc_runs
    first, second = told.newest
    assert (first.paused_ns, first.thread, first.generation) == (40 * m.MS, "refresher", 2)
    assert first.serves == "GET /search"
    assert (second.tid, second.thread, second.source) == (None, None, "polled")
    assert told.longest == (first, second)


def test_a_request_is_named_as_soon_as_it_is_known_and_when_it_is_forgotten_too():
    judge = Correlator(m.info())
    judge.feed(c.pause(150, 40, request=7))
    assert judge.view().gc_runs.newest[0].serves is None
    judge.feed(m.served(7, 300, on_cpu=200, target="/search"))
    assert judge.view().gc_runs.newest[0].serves == "GET /search"
    for number in range(20_000):
        judge.feed(m.served(1000 + number, 400 + number, on_cpu=1))
    assert judge.view().gc_runs.newest[0].serves == "GET /search"


def test_the_newest_and_the_longest_are_kept():
    lengths = [(number * 37) % 1000 + 1 for number in range(1000)]
    told = view(*(c.pause(number * 10, ms / 100, tid=number) for number, ms in enumerate(lengths))).gc_runs
    assert [one.tid or 0 for one in told.newest] == list(range(1000 - NEWEST, 1000))
    assert [one.paused_ns for one in told.longest] == [round(ms / 100 * m.MS) for ms in range(1000, 1000 - LONGEST, -1)]
