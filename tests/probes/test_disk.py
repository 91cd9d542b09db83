"""The disk probe on the live kernel: against iostat, the writers' own clocks and /proc; with less rights."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confined import HIDE, answer
from disking import (
    await_idle,
    await_in_flight,
    go,
    one_write,
    own_disk,
    partition,
    result,
    stalled,
    stalling_disk,
    writers,
)
from ledgering import await_unloaded, loaded_programs, script
from waiting import until

from perfwatch.probes.disk import DiskProbe
from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.diskstats import parse_diskstats
from perfwatch.probes.readers.process_io import moved_by_all, parse_io
from perfwatch.probes.records import decode, encode
from perfwatch.probes.samples import DiskLatency, DiskSample, DiskUsers, ProcessIo

FIXTURES = Path(__file__).parents[1] / "fixtures" / "proc"
MIB = 1 << 20
CHILD_WRITES = """
import os, subprocess, sys
print("ready")
for line in sys.stdin:
    between = ["sh", "-c", '"$@"; true', "sh"] if sys.argv[3] == "shell" else []
    subprocess.run([*between, sys.executable, "-c", sys.argv[1], sys.argv[2]], check=True)
    print("waited")
"""
FILL = """
import os, sys, time
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
os.write(file, bytes(8 << 20))
os.fsync(file)
open(sys.argv[1] + ".done", "w").close()
while os.path.exists(sys.argv[1] + ".done"): time.sleep(0.01)
"""


def only(kind, records):
    return [record for record in records if isinstance(record, kind)]


def device_in(records, name, kind=DiskSample):
    return next(record for record in only(kind, records) if record.device == name)


def unused(tree=(), **options):
    return DiskProbe(lambda: tree, may_use_bpf=False, **options)


def test_what_the_kernel_wrote_is_parsed():
    devices = parse_diskstats((FIXTURES / "diskstats.linux-6.18").read_bytes())
    vda = devices[254, 0]
    assert (vda.name, vda.reads, vda.writes, vda.flushes) == ("vda", 1079907, 1462908, 380581)
    assert (vda.read_bytes, vda.written_bytes) == (769760522 * 512, 812545584 * 512)
    assert (vda.read_ns, vda.write_ns, vda.flush_ns) == (1632816 * 10**6, 1590948 * 10**6, 17507 * 10**6)
    assert (vda.in_flight, vda.busy_ns, vda.queue_ns) == (0, 507304 * 10**6, 3270795 * 10**6)
    assert devices[7, 1].completed == (0, 0, 0)
    assert parse_io((FIXTURES / "io.linux-6.18").read_bytes()) == (159744, 57344)


def test_older_kernels_count_no_flushes():
    [device] = parse_diskstats(b"   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n").values()
    assert (device.in_flight, device.busy_ns, device.flushes, device.flush_ns) == (9, 10**7, None, None)


@pytest.mark.parametrize("raw", [b"8 0 sda 1 2 3\n", b"8 zero sda 1 2 3 4 5 6 7 8 9 10 11\n", b"\xff\n"])
def test_what_is_no_diskstats_is_refused(raw):
    with pytest.raises(Malformed):
        parse_diskstats(raw)


def test_what_is_no_io_is_refused():
    with pytest.raises(Malformed):
        parse_io(b"read_bytes: many\n")


@pytest.mark.skipif(not shutil.which("iostat"), reason="needs iostat, of the package sysstat")
def test_figures_agree_with_iostat_under_load():
    """Rates and depth within 15 %, utilisation within 0.1: iostat's two readings are some ms from ours. Four tries."""
    with own_disk() as (directory, device), unused() as probe, writers(directory, 2, 8, size=65536) as processes:
        go(processes)
        for _ in range(4):
            command = ["iostat", "-d", "-x", "-k", "-y", "-o", "JSON", device, "1", "1"]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, env={**os.environ, "S_TIME_FORMAT": "ISO"}
            ) as iostat:
                first = device_in(probe.read(time.monotonic_ns()), device)
                listing = json.loads(iostat.stdout.read())
                last = device_in(probe.read(time.monotonic_ns()), device)
            [said] = listing["sysstat"]["hosts"][0]["statistics"][0]["disk"]
            ours = rates(first, last)
            if all(ours[name] == pytest.approx(said[name], rel=0.15) for name in ("w/s", "wkB/s", "aqu-sz", "w_await")):
                break
        else:
            raise AssertionError((ours, said))
    assert ours["util"] == pytest.approx(said["util"], abs=10)
    assert said["w/s"] > 100


def rates(first, last):
    """What iostat shows, of two records."""
    passed_ns = last.at_ns - first.at_ns
    writes = last.writes - first.writes
    return {
        "w/s": writes * 1e9 / passed_ns,
        "wkB/s": (last.written_bytes - first.written_bytes) / 1024 * 1e9 / passed_ns,
        "w_await": (last.write_ns - first.write_ns) / 1e6 / writes,
        "aqu-sz": (last.queue_ns - first.queue_ns) / passed_ns,
        "util": (last.busy_ns - first.busy_ns) * 100 / passed_ns,
    }


def test_the_queue_is_as_deep_as_there_are_writers_and_the_device_busy():
    """Five direct writers that are held up for 1 s: the queue's growth is theirs by their own clocks, within 5 %."""
    with stalling_disk() as (directory, device), unused() as probe, one_write(device, 5) as processes:
        first = device_in(probe.read(1), device.name)
        with stalled(directory):
            go(processes)
            await_in_flight(device.name, 5)
            waiting = device_in(probe.read(2), device.name)
            time.sleep(1)
        inside_ns = sum(result(process).inside_ns for process in processes)
        await_idle(device.name)
        last = device_in(probe.read(3), device.name)
    assert waiting.in_flight == 5
    assert (last.in_flight, last.writes - first.writes) == (0, 5)
    assert last.written_bytes - first.written_bytes == 5 * 4096
    assert last.queue_ns - first.queue_ns == pytest.approx(inside_ns, rel=0.05)
    assert last.busy_ns - first.busy_ns == pytest.approx(inside_ns / 5, rel=0.1)
    assert last.write_ns - first.write_ns == pytest.approx(inside_ns, rel=0.05)


def test_a_device_that_nobody_used_is_left_out():
    with own_disk() as (directory, device), unused() as probe:
        os.sync()
        with unused() as later, contextlib.suppress(StopIteration):
            device_in(later.read(1), device)
            raise AssertionError(f"{device} was not used")
        (directory / "file").write_bytes(b"x")
        os.sync()
        assert device_in(probe.read(2), device).writes > 0


def test_a_named_process_that_fills_the_disk_is_first():
    with own_disk() as (directory, _), unused() as probe, writers(directory, 1, 1, name="diskfiller") as [filler]:
        assert only(DiskUsers, probe.read(1)) == [DiskUsers(1, ())]
        go([filler])
        written = result(filler).count * MIB
        [users] = only(DiskUsers, probe.read(2))
    assert decode(encode(users)) == users
    first = users.top[0]
    assert (first.pid, first.name, first.read_bytes, first.is_target) == (filler.pid, "diskfiller", 0, False)
    assert first.written_bytes == pytest.approx(written, rel=0.02)
    assert len(users.top) <= 12


@pytest.mark.parametrize("between", ["nobody", "shell"])
@pytest.mark.parametrize("reads_between", [False, True])
def test_what_a_child_wrote_is_counted_once(reads_between, between):
    """The kernel adds a child's bytes to those of the parent that waits for it, and so on; it wrote them once."""
    path = Path("/var/tmp") / f"perfwatch-child-{os.getpid()}"
    done = Path(f"{path}.done")
    try:
        with script(CHILD_WRITES, arguments=[FILL, path, between]) as (parent, _), unused() as probe:
            probe.read(1)
            parent.stdin.write("\n")
            parent.stdin.flush()
            while not done.exists():
                time.sleep(0.01)
            users = only(DiskUsers, probe.read(2)) if reads_between else []
            done.unlink()
            assert parent.stdout.readline() == "waited\n"
            users += only(DiskUsers, probe.read(3))
    finally:
        path.unlink(missing_ok=True)
        done.unlink(missing_ok=True)
    moved = {user.pid: user.written_bytes for record in users for user in record.top if user.written_bytes >= 4 * MIB}
    assert sum(moved.values()) == pytest.approx(8 * MIB, rel=0.1), users
    assert (parent.pid in moved) != reads_between


def test_the_targets_own_bytes_are_those_of_proc():
    with own_disk() as (directory, _), writers(directory, 1, 0.3) as [writer], unused({writer.pid, 2**22 - 1}) as probe:
        [before] = only(ProcessIo, probe.read(1))
        go([writer])
        written = result(writer).count * MIB
        [after] = only(ProcessIo, probe.read(2))
        truth = parse_io(Path(f"/proc/{writer.pid}/io").read_bytes())
    assert (after.read_bytes, after.written_bytes) == truth
    assert after.written_bytes - before.written_bytes == pytest.approx(written, rel=0.02)


@pytest.fixture
def delay_accounting():
    """Switch delay accounting on, and back as it was."""
    setting = Path("/proc/sys/kernel/task_delayacct")
    if os.geteuid() != 0 or not setting.exists():
        pytest.skip("needs root and Linux 5.14 with CONFIG_TASK_DELAY_ACCT")
    before = setting.read_text()
    setting.write_text("1")
    yield setting
    setting.write_text(before)


def test_the_wait_for_block_io_is_told_where_the_kernel_keeps_it(delay_accounting):
    """Held up for 0.7 s: as long as by the writer's own clock, or longer, within the time that passed (by 10 ms)."""
    with stalling_disk() as (directory, device), one_write(device, 1) as [writer], unused({writer.pid}) as probe:
        started = time.monotonic_ns()
        [before] = only(ProcessIo, probe.read(1))
        with stalled(directory):
            go([writer])
            await_in_flight(device.name, 1)
            time.sleep(0.7)
        inside_ns = result(writer).inside_ns
        [after] = only(ProcessIo, probe.read(2))
        passed_ns = time.monotonic_ns() - started
        delay_accounting.write_text("0")
        [off] = only(ProcessIo, probe.read(3))
    assert inside_ns > 700_000_000
    assert inside_ns - 30_000_000 <= after.delay_ns - before.delay_ns <= passed_ns + 30_000_000
    assert off.delay_ns is None


@pytest.mark.ledger
def test_latencies_are_told_by_name_and_nothing_stays():
    before = set(Path("/proc/self/fd").iterdir())
    with own_disk() as (directory, device), DiskProbe(lambda: ()) as probe:
        assert "on_block_done" in loaded_programs()
        with writers(directory, 2, 0.3) as processes:
            go(processes)
            written = sum(result(process).count for process in processes)
        latency = device_in(probe.read(1), device, DiskLatency)
        assert decode(encode(latency)) == latency
        assert sum(latency.writes) >= written
        assert latency.writes[-1] > 0
    await_unloaded()
    assert set(Path("/proc/self/fd").iterdir()) == before


def one_of(device, records):
    """Return the records, if a device is among them."""
    return device in {record.device for record in only((DiskSample, DiskLatency), records)} and records


@pytest.mark.ledger
def test_a_partition_is_told_where_the_targets_files_are_on_it_and_its_device_always():
    with (
        partition() as (directory, device, part),
        (directory / "file").open("wb", buffering=0) as file,
        DiskProbe(lambda: {os.getpid()}) as probe,
        DiskProbe(lambda: ()) as another,
    ):
        for _ in range(20):
            file.write(b"x")
            os.fsync(file.fileno())
        await_idle(device)
        # Files are looked at in slices of CPU time, which may be over before those of the tests are.
        own = until(lambda: one_of(part, probe.read(time.monotonic_ns())))
        other = another.read(1)
    assert device_in(own, part).writes >= 20
    assert sum(device_in(own, device, DiskLatency).writes) == sum(device_in(own, part, DiskLatency).writes) >= 20
    assert device_in(other, device).writes >= device_in(own, device).writes
    assert sum(device_in(other, device, DiskLatency).writes) >= 20
    assert part not in {record.device for record in only((DiskSample, DiskLatency), other)}


def test_without_bpf_there_are_no_latencies():
    with unused() as probe:
        await_unloaded()
        assert not only(DiskLatency, probe.read(1))


LESS = """
with DiskProbe(lambda: {int(sys.argv[1])}) as probe:
    records = [*probe.read(1), *probe.read(2)]
    said = probe.availability()
kinds = sorted({type(one).__name__ for one in records})
told = [[one.read_bytes, one.written_bytes] for one in records if type(one).__name__ == "ProcessIo"]
result = [said.status, said.reason, said.remedy, kinds, told]
"""
IMPORTS = "from perfwatch.probes.disk import DiskProbe\nimport perfwatch.probes.readers.libbpf"


def test_as_nobody_it_says_what_is_lost():
    with script("print()\ninput()") as (process, _):
        status, reason, remedy, kinds, told = answer(LESS, process.pid, nobody=True, imports=IMPORTS)
    assert status == "limited"
    for part in ("bpf", "processes may not be asked for their I/O", "files may not be looked at by this user"):
        assert part.lower() in reason.lower()
    assert "as root" in remedy
    assert set(kinds) <= {"DiskSample", "DiskUsers", "ProcessIo"}
    assert told == [[None, None]] * 2


def test_hidden_processes_are_told():
    with script("print()\ninput()") as (process, _):
        status, reason, _, kinds, told = answer(LESS, process.pid, setup=HIDE, nobody=True, imports=IMPORTS)
    assert status == "limited"
    assert "processes of other users are hidden (hidepid)" in reason
    assert "the target's processes cannot be seen by this user" in reason
    assert set(kinds) <= {"DiskSample", "DiskUsers"}
    assert told == []


def test_in_a_container_it_says_that_others_cannot_be_seen():
    body = LESS.replace("int(sys.argv[1])", "os.getpid()")
    namespaces = ("--mount", "--pid", "--fork", "--mount-proc")
    status, reason, remedy, kinds, told = answer(body, unshare=namespaces, imports=f"import os\n{IMPORTS}")
    assert status == "limited"
    assert reason == "processes outside of this container cannot be seen"
    assert remedy == "run perfwatch on the host"
    assert {"DiskUsers", "ProcessIo"} <= set(kinds)
    assert None not in told[0]


def test_the_whole_tree_is_bounded():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with unused([child.pid] * 100) as probe:
            assert len(only(ProcessIo, probe.read(1))) <= 64
        child.communicate(b"\n")


def test_no_more_than_4096_processes_are_asked():
    gone = range(2**30, 2**30 + 4095)
    assert os.getpid() in moved_by_all([*gone, os.getpid()])
    assert os.getpid() not in moved_by_all([*gone, 2**30 - 1, os.getpid()])
