"""The memory probe on the live kernel: against vmstat, getrusage, smaps_rollup; with less rights; on hostile input."""

import contextlib
import mmap
import os
import re
import resource
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from confined import HIDE, answer
from ledgering import script

from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.memory import (
    MAX_ROLLUP_BYTES,
    PAGE_BYTES,
    MemoryProbe,
    memory_sample,
    parse_counters,
    parse_faults,
    parse_sizes,
    read_memory,
    read_process,
)
from perfwatch.probes.readers.pagemap import ExclusivePages, count_exclusive, parse_ranges
from perfwatch.probes.records import MemorySample, ProcessMemory, decode, encode

FIXTURES = Path(__file__).parents[1] / "fixtures" / "proc"
MAP_NORESERVE = 0x4000
SLACK_PAGES = 300
"""What an interpreter may touch on its own meanwhile."""
TOUCHING = """
import mmap, os, resource, sys
def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_minflt, used.ru_majflt)
kept = []
ended, held = os.pipe()
tell()
for line in sys.stdin:
    pages, kind = line.split()
    memory = mmap.mmap(-1, int(pages) * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(int(pages)):
        memory[page * mmap.PAGESIZE] = 1
    kept.append(memory)
    if kind == "fork" and not os.fork():
        os.close(held)
        os.read(ended, 1)  # shares all pages until its parent ends
        os._exit(0)
    tell()
"""


def touch(process, pages, kind="own"):
    """Have the script touch fresh pages; returns its minor and major faults so far."""
    process.stdin.write(f"{pages} {kind}\n")
    process.stdin.flush()
    return tuple(map(int, process.stdout.readline().split()))


def rollup(pid):
    return parse_sizes(Path(f"/proc/{pid}/smaps_rollup").read_bytes())


def detailed(probe, pid, field, readings=400):
    """Read until a process's PSS or USS is told."""
    now_ns = time.monotonic_ns()
    for _ in range(readings):
        for record in probe.read(now_ns):
            if isinstance(record, ProcessMemory) and record.pid == pid and getattr(record, field) is not None:
                return record
        now_ns += 100_000_000
    raise AssertionError(f"no {field} in {readings} readings")


def test_what_the_kernel_wrote_is_parsed():
    sizes = parse_sizes((FIXTURES / "meminfo.linux-6.18").read_bytes())
    counters = parse_counters((FIXTURES / "vmstat.linux-6.18").read_bytes())
    sample = memory_sample(7, sizes, counters)
    assert decode(encode(sample)) == sample
    assert (sample.total_bytes, sample.swap_total_bytes) == (24684100 * 1024, 0)
    assert sample.available_bytes < sample.total_bytes
    assert sample.major_faults == counters[b"pgmajfault"] > 0
    assert (sample.swapped_in_bytes, sample.scanned_direct_pages, sample.direct_reclaims) == (0, 0, 0)
    status = parse_sizes((FIXTURES / "status.linux-6.18").read_bytes())
    assert status[b"VmSize"] > status[b"VmRSS"] > 0 == status[b"VmSwap"]


def test_what_a_kernel_does_not_keep_is_none():
    sizes = parse_sizes((FIXTURES / "meminfo.linux-6.18").read_bytes())
    sample = memory_sample(7, sizes, {})
    unknown = ("swapped_in_bytes", "swapped_out_bytes", "scanned_background_pages", "scanned_direct_pages")
    unknown += ("reclaimed_direct_pages", "direct_reclaims", "major_faults", "oom_kills")
    assert [getattr(sample, name) for name in unknown] == [None] * len(unknown)
    with pytest.raises(Malformed, match="MemTotal"):
        memory_sample(7, {}, {})


def test_direct_reclaims_are_those_of_all_zones():
    zones = b"allocstall_dma32 3\nallocstall_normal 40\npgscan_direct 9\npswpin 5\npswpout 6\n"
    sample = memory_sample(7, parse_sizes((FIXTURES / "meminfo.linux-6.18").read_bytes()), parse_counters(zones))
    assert (sample.direct_reclaims, sample.scanned_direct_pages, sample.reclaimed_direct_pages) == (43, 9, None)
    assert (sample.swapped_in_bytes, sample.swapped_out_bytes) == (5 * PAGE_BYTES, 6 * PAGE_BYTES)


def test_the_host_agrees_with_vmstat():
    """Free memory within 2 % of all: others use the machine. Five tries. Totals exactly."""
    for _ in range(5):
        listing = subprocess.run(["vmstat", "-s", "-S", "k"], check=True, capture_output=True, text=True).stdout
        sample = read_memory(1)
        said = {name: int(number) for number, name in re.findall(r"(\d+) (?:k )?([a-z].*)", listing)}
        if abs(said["free memory"] * 1000 - sample.free_bytes) < sample.total_bytes / 50:
            break
    else:
        raise AssertionError((said, sample))
    assert said["total memory"] == pytest.approx(sample.total_bytes / 1000, abs=1)
    assert said["total swap"] == pytest.approx(sample.swap_total_bytes / 1000, abs=1)
    assert said["free swap"] == pytest.approx(sample.swap_free_bytes / 1000, abs=1)
    assert said["pages swapped in"] * PAGE_BYTES == sample.swapped_in_bytes
    assert sample.available_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.02)
    assert sample.cached_bytes > 0


def test_page_faults_and_growth_are_those_of_the_process():
    with script(TOUCHING) as (process, _):
        before, seen_before = touch(process, 1), read_process(process.pid, 1)
        after = touch(process, 5000)
        seen = read_process(process.pid, 2)
    faults = seen.minor_faults - seen_before.minor_faults
    assert faults == pytest.approx(after[0] - before[0], abs=5)
    assert 5000 <= faults < 5000 + SLACK_PAGES
    assert (seen.rss_bytes - seen_before.rss_bytes) / PAGE_BYTES == pytest.approx(5000, abs=SLACK_PAGES)
    assert seen.virtual_bytes - seen_before.virtual_bytes >= 5000 * PAGE_BYTES
    if psutil.swap_memory().total == 0:
        assert seen.swap_bytes == 0


def test_a_page_that_comes_from_the_disk_is_a_major_fault():
    path = Path("/var/tmp") / f"perfwatch-major-{os.getpid()}"
    try:
        with path.open("w+b") as file:
            file.write(bytes(16 * PAGE_BYTES))
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            before, host_before = read_process(os.getpid(), 1).major_faults, read_memory(1).major_faults
            own_before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
            with mmap.mmap(file.fileno(), 0) as mapped:
                mapped.madvise(mmap.MADV_RANDOM)
                assert sum(mapped[page * PAGE_BYTES] for page in range(16)) == 0
            faults = read_process(os.getpid(), 2).major_faults - before
    finally:
        path.unlink()
    assert faults == resource.getrusage(resource.RUSAGE_SELF).ru_majflt - own_before
    if faults == 0:
        pytest.skip("/var/tmp is in memory")
    assert read_memory(2).major_faults - host_before >= faults


def test_uss_leaves_out_what_a_fork_shares_and_pss_halves_it():
    """Against smaps_rollup within 64 pages: the process runs meanwhile."""
    pages = 4000
    with script(TOUCHING) as (process, _):
        touch(process, pages, "fork")
        touch(process, 1000)
        with MemoryProbe(lambda: {process.pid}, max_rollup_bytes=1 << 40) as probe:
            uss = detailed(probe, process.pid, "uss_bytes").uss_bytes
            [first] = [one for one in probe.read(time.monotonic_ns() + 10**11) if isinstance(one, ProcessMemory)]
        truth = rollup(process.pid)
    assert uss / PAGE_BYTES == pytest.approx((truth[b"Private_Clean"] + truth[b"Private_Dirty"]) / PAGE_BYTES, abs=64)
    assert 1000 * PAGE_BYTES <= uss < truth[b"Rss"] - pages * PAGE_BYTES
    assert first.pss_bytes / PAGE_BYTES == pytest.approx(truth[b"Pss"] / PAGE_BYTES, abs=64)


def test_a_large_process_is_walked_in_slices_and_never_rolled_up():
    size = 192 << 20
    with script(TOUCHING) as (process, _), MemoryProbe(lambda: {process.pid}) as probe:
        touch(process, size // PAGE_BYTES)
        now_ns = time.monotonic_ns()
        _, first = probe.read(now_ns)
        assert (first.uss_bytes, first.pss_bytes) == (None, None)
        later = detailed(probe, process.pid, "uss_bytes")
    assert later.rss_bytes > size > MAX_ROLLUP_BYTES
    assert later.pss_bytes is None
    assert size <= later.uss_bytes <= later.rss_bytes + SLACK_PAGES * PAGE_BYTES


def test_pss_and_uss_come_every_ten_seconds():
    with script(TOUCHING) as (process, _), MemoryProbe(lambda: {process.pid}) as probe:
        told = []
        for second in range(21):
            for _ in range(20):  # so many slices are far more than this small process needs
                told += [
                    (second, record.uss_bytes is not None, record.pss_bytes is not None)
                    for record in probe.read(second * 10**9 + 1)
                    if isinstance(record, ProcessMemory) and (record.uss_bytes or record.pss_bytes)
                ]
    assert sorted(second for second, has_uss, _ in told if has_uss) == [0, 10, 20]
    assert sorted(second for second, _, has_pss in told if has_pss) == [0, 10, 20]


def test_a_walk_ends_with_its_process_and_nothing_stays_open():
    before = set(Path("/proc/self/fd").iterdir())
    with script(TOUCHING) as (process, _), MemoryProbe(lambda: {process.pid}) as probe:
        touch(process, (256 << 20) // PAGE_BYTES)
        walk = ExclusivePages(process.pid)
        assert walk.advance(1) is None
        probe.read(1)
        process.kill()
        process.wait()
        with pytest.raises(Vanished):
            walk.advance(10**10)
        walk.close()
        assert [type(record) for record in probe.read(2)] == [MemorySample]
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_what_has_ended_or_has_no_memory_is_left_out():
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        with MemoryProbe(lambda: {zombie.pid, 2, 2**22 - 1}) as probe:
            assert [type(record) for record in probe.read(1)] == [MemorySample]


def test_a_name_cannot_lie_about_memory():
    lying = "open('/proc/self/comm', 'w').write('\\rVmRSS:\\t1 kB')\n"
    with script(lying + TOUCHING) as (process, _):
        truth = psutil.Process(process.pid).memory_info().rss
        assert read_process(process.pid, 1).rss_bytes == pytest.approx(truth, rel=0.05)
    assert parse_faults(b"1 (a) R 9 9 (b)) S 1 2 3 4 5 6 70 8 90 10") == (70, 90)
    with pytest.raises(Malformed):
        parse_faults(b"1 (a) S 1 2")


def test_what_is_only_reserved_is_not_walked():
    maps = (
        b"1000-3000 rw-p 00000000 00:00 0 \n"
        b"3000-900000000 ---p 00000000 00:00 0 \n"
        b"5000-6000 r--p 00000000 fe:00 7    /srv/carriage\rreturn\n"
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
    )
    assert parse_ranges(maps, 4096) == [(1, 3), (5, 6)]
    exclusive, shared, swapped = 0x81 << 56 | 5, 0x80 << 56, 0x41 << 56
    entries = b"".join(entry.to_bytes(8, "little") for entry in (exclusive, shared, swapped, 0, exclusive))
    assert count_exclusive(entries) == 2


def test_a_huge_address_space_is_not_walked():
    with mmap.mmap(-1, 65 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE):
        with pytest.raises(Unavailable, match="too much address space"):
            ExclusivePages(os.getpid())
        with MemoryProbe(lambda: {os.getpid()}) as probe:
            [own] = [record for record in probe.read(1) if isinstance(record, ProcessMemory)]
    assert own.uss_bytes is None


UNPRIVILEGED = """
with MemoryProbe(lambda: {int(sys.argv[1])}) as probe:
    records = [*probe.read(1), *probe.read(10**12)]
    said = probe.availability()
result = [said.status, said.reason, [[type(one).__name__, getattr(one, "uss_bytes", None)] for one in records]]
"""
IMPORTS = "from perfwatch.probes.memory import MemoryProbe"


def test_as_nobody_the_pages_of_others_are_not_counted_and_it_says_so():
    with script(TOUCHING) as (process, _):
        status, reason, records = answer(UNPRIVILEGED, process.pid, nobody=True, imports=IMPORTS)
    assert (status, reason) == ("limited", "the target's pages may not be counted by this user")
    assert records == [["MemorySample", None], ["ProcessMemory", None]] * 2


def test_a_hidden_target_is_told():
    with script(TOUCHING) as (process, _):
        status, reason, records = answer(UNPRIVILEGED, process.pid, setup=HIDE, nobody=True, imports=IMPORTS)
    assert (status, reason) == ("limited", "the target's processes cannot be seen by this user")
    assert records == [["MemorySample", None]] * 2


def test_as_its_own_user_all_is_available():
    body = UNPRIVILEGED.replace("int(sys.argv[1])", "os.getpid()")
    status, _, records = answer(body, setup=HIDE, nobody=True, imports=f"import os\n{IMPORTS}")
    assert status == "available"
    assert [kind for kind, _ in records] == ["MemorySample", "ProcessMemory"] * 2
    assert records[-1][1] > 1 << 20


def test_a_vanished_process_is_told_as_such():
    with pytest.raises(Vanished), contextlib.closing(ExclusivePages(2**22 - 1)):
        pass
