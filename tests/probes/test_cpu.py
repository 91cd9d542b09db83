"""The CPU probe on the live kernel: the run queue, the CPUs' time, and who used it, against independent readers."""

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import confined
import psutil
import pytest

from perfwatch.probes.cpu import CpuProbe, parse_loadavg, parse_stat
from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.cpu_users import CpuUsers, parse_process_stat
from perfwatch.probes.records import decode, encode

FIXTURES = Path(__file__).parents[1] / "fixtures" / "proc"
SPIN = "import time\nprint('spins', flush=True)\nwhile True: pass"


@contextlib.contextmanager
def spinning(count=1, name=None):
    """Run processes that use all the CPU they get."""
    rename = f"open('/proc/self/comm', 'wb').write({name!r})\n" if name else ""
    processes = [
        subprocess.Popen([sys.executable, "-c", rename + SPIN], stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "spins\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.stdout.close()
            process.wait()


def test_six_spinning_processes_leave_four_waiting_on_two_cpus():
    """The median of at least 24 readings, within one; what others run meanwhile is counted in /proc, and taken off."""
    cpus = os.cpu_count()
    readings, others = [], []
    with CpuProbe(lambda: ()) as probe, spinning(cpus + 4) as processes:
        probe.read(time.monotonic_ns())
        known = {os.getpid(), *(process.pid for process in processes)}
        end = time.monotonic() + 15
        while len(readings) < 24 and time.monotonic() < end:
            readings += [count for record in probe.read(time.monotonic_ns()) for count in record.runnable]
            others.append(runnable_but(known))
            time.sleep(probe.period_s)
    waiting = [max(count - taken - cpus, 0) for count, taken in zip(readings, others, strict=False)]
    assert statistics.median(waiting) == pytest.approx(4, abs=1), (readings, others)


def runnable_but(known):
    """Count the threads of all other processes that run or could run, by their state in /proc."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/task/*/stat"):
        with contextlib.suppress(OSError):
            if int(path.parts[2]) not in known:
                count += path.read_text(errors="replace").rpartition(")")[2].split()[0] == "R"
    return count


def test_loadavg_counts_the_same_threads_as_proc_stat():
    """The fourth field of loadavg and `procs_running` of stat are one kernel figure, read here a moment apart."""
    differences = []
    with spinning(3):
        for _ in range(40):
            average = parse_loadavg(Path("/proc/loadavg").read_bytes()).runnable
            stat = Path("/proc/stat").read_text()
            running = int(next(line for line in stat.splitlines() if line.startswith("procs_running")).split()[1])
            differences.append(abs(average - running))
    assert statistics.median(differences) == 0


def test_time_of_each_cpu_agrees_with_psutil():
    """Within 50 ms of a second: the two readers look at slightly different moments, in ticks of 10 ms."""
    with CpuProbe(lambda: ()) as probe, spinning():
        for attempt in range(3):
            before = psutil.cpu_times(percpu=True)
            first = probe.read(time.monotonic_ns() + attempt * 10**11)[0]
            time.sleep(1)
            last = probe.read(time.monotonic_ns() + attempt * 10**11 + 5 * 10**9)[0]
            after = psutil.cpu_times(percpu=True)
            if _agree(first, last, before, after) or attempt == 2:
                break
    assert len(last.cpus) == len(after) == os.cpu_count()
    assert _agree(first, last, before, after), (first, last, before, after)


def _agree(first, last, before, after, tolerance_s=0.05):
    """Each of the columns has grown alike; `user` includes guest time in both."""
    names = ["user", "nice", "system", "idle", "irq", "softirq", "steal"]
    return all(
        abs((getattr(new, f"{name}_ns") - getattr(old, f"{name}_ns")) / 1e9 - (getattr(b, name) - getattr(a, name)))
        <= tolerance_s
        for old, new, a, b in zip(first.cpus, last.cpus, before, after, strict=True)
        for name in names
    )


def test_counters_lie_between_two_readings_of_psutil():
    with CpuProbe(lambda: ()) as probe:
        before, load = psutil.cpu_stats(), os.getloadavg()
        (sample,) = probe.read(time.monotonic_ns())
        after = psutil.cpu_stats()
    assert before.ctx_switches <= sample.context_switches <= after.ctx_switches
    assert before.interrupts <= sample.interrupts <= after.interrupts
    assert sample.load in (pytest.approx(load, abs=0.01), pytest.approx(os.getloadavg(), abs=0.01))


def test_forks_are_counted():
    with CpuProbe(lambda: ()) as probe:
        (first,) = probe.read(time.monotonic_ns())
        for _ in range(5):
            subprocess.run(["true"], check=True)
        (last,) = probe.read(time.monotonic_ns() + 2 * 10**9)
    assert last.forks - first.forks >= 5


def test_the_largest_user_is_named_with_its_cpu_time():
    """Within 10 % of what the process says of itself."""
    source = (
        "import resource, sys\n"
        "def used():\n    r = resource.getrusage(resource.RUSAGE_SELF); return r.ru_utime + r.ru_stime\n"
        "open('/proc/self/comm', 'w').write('spins (a) b)')\n"
        "print('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    began = used()\n"
        "    while used() < began + 1: pass\n"
        "    print(used() - began, flush=True)\n"
    )
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        users = CpuUsers()
        assert process.stdout.readline() == "ready\n"
        assert users.top({process.pid}) == ()
        process.stdin.write("go\n")
        process.stdin.flush()
        own_s = float(process.stdout.readline())
        top = users.top({process.pid})
        process.stdin.close()
    mine = next(user for user in top if user.pid == process.pid)
    assert mine.used_ns / 1e9 == pytest.approx(own_s, rel=0.1)
    assert (mine.name, mine.is_target) == ("spins (a) b)", True)
    assert list(top) == sorted(top, key=lambda user: -user.used_ns)
    assert len(top) <= 12


def test_a_process_that_is_new_counts_from_its_start():
    users = CpuUsers()
    users.top(())
    with spinning() as (process,):
        time.sleep(0.5)
        top = users.top(())
    mine = next(user for user in top if user.pid == process.pid)
    assert not mine.is_target
    assert 0 < mine.used_ns <= 0.9e9


def test_a_reused_pid_does_not_inherit_its_predecessor():
    """The dead process's time is planted where the probe remembers it: the kernel reuses a PID when it likes."""
    users = CpuUsers()
    with spinning() as (process,):
        users.top(())
        real = users._before[process.pid]
        users._before[process.pid] = type(real)(real.name, real.used - 10**6, real.started - 1)
        top = users.top(())
    assert all(user.used_ns < 10**12 for user in top)


def test_a_record_a_second_at_twenty_readings_a_second():
    with CpuProbe(lambda: ()) as probe:
        assert probe.period_s == 0.05
        records = [record for tick in range(101) for record in probe.read(10**12 + tick * 50_000_000)]
    assert [record.at_ns - 10**12 for record in records] == [second * 10**9 for second in range(6)]
    assert [len(record.runnable) for record in records] == [1, 20, 20, 20, 20, 20]
    assert records[0].top == ()


def test_a_slower_rate_gives_a_record_at_each_reading():
    with CpuProbe(lambda: ()) as probe:
        records = [record for tick in range(5) for record in probe.read(10**12 + tick * 3 * 10**9)]
    assert [len(record.runnable) for record in records] == [1] * 5


def test_records_survive_the_wire_with_a_hostile_name():
    with CpuProbe(lambda: ()) as probe, spinning(name=b"a)\n(\xff\x1b[2J") as (process,):
        probe.read(time.monotonic_ns())
        time.sleep(0.3)
        (record,) = probe.read(time.monotonic_ns() + 2 * 10**9)
    assert decode(encode(record)) == record
    name = next(user.name for user in record.top if user.pid == process.pid)
    assert name == "a)\n(�\x1b[2J"


AVAILABILITY = (
    "found = CpuProbe(lambda: ()).availability()\nresult = [found.status, found.reason, found.lost, found.remedy]"
)
NAMED = """
import os, time
with CpuProbe(lambda: ()) as probe:
    probe.read(time.monotonic_ns())
    end = time.monotonic() + 0.3
    while time.monotonic() < end: pass
    (record,) = probe.read(time.monotonic_ns() + 2 * 10**9)
result = [len(record.cpus), [user.pid for user in record.top], os.getpid()]
"""
PROBE = "from perfwatch.probes.cpu import CpuProbe"


def test_everything_is_seen_by_root_and_by_others():
    assert confined.answer(AVAILABILITY, imports=PROBE)[0] == "available"
    assert confined.answer(AVAILABILITY, imports=PROBE, nobody=True)[0] == "available"


def test_with_hidepid_others_are_not_named():
    """The totals are there, and the own process among the users of the CPU; nobody else."""
    status, reason, lost, remedy = confined.answer(AVAILABILITY, imports=PROBE, setup=confined.HIDE, nobody=True)
    assert status == "limited"
    assert "hidepid" in reason
    assert "other processes" in lost
    assert "root" in remedy
    cpus, named, own = confined.answer(NAMED, imports=PROBE, setup=confined.HIDE, nobody=True)
    assert (cpus, named) == (os.cpu_count(), [own])


def test_root_sees_through_hidepid():
    assert confined.answer(AVAILABILITY, imports=PROBE, setup=confined.HIDE)[0] == "available"


def test_in_a_container_only_its_processes_are_named():
    container = ("--mount", "--pid", "--fork", "--mount-proc")
    status, reason, _, remedy = confined.answer(AVAILABILITY, imports=PROBE, unshare=container)
    assert (status, reason) == ("limited", "only the processes of this container are seen")
    assert "host" in remedy
    assert confined.answer(NAMED, imports=PROBE, unshare=container)[1:] == [[1], 1]


def test_without_the_totals_it_says_so():
    """A /proc that shows nothing but processes."""
    hide = "mount -t proc -o subset=pid proc /proc"
    status, reason, _, remedy = confined.answer(AVAILABILITY, imports=PROBE, setup=hide)
    assert (status, reason) == ("unavailable", "/proc/stat is not there")
    assert "subset=pid" in remedy
    entered = "try:\n    CpuProbe(lambda: ()).__enter__()\nexcept Unavailable as error:\n    result = error.reason"
    imports = f"{PROBE}\nfrom perfwatch.probes.errors import Unavailable"
    assert confined.answer(entered, imports=imports, setup=hide) == reason


def test_nothing_stays_open():
    before = set(Path("/proc/self/fd").iterdir())
    with CpuProbe(lambda: ()) as probe:
        probe.read(time.monotonic_ns())
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_stat_of_a_kernel():
    totals = parse_stat((FIXTURES / "stat.linux-6.18-2cpus").read_bytes())
    assert [cpu.user_ns for cpu in totals.cpus] == [1790300000000, 2264850000000]
    assert (totals.context_switches, totals.forks, totals.blocked) == (82328101, 104854, 0)


@pytest.mark.parametrize(
    "raw",
    [b"", b"cpu0 1 2 3\nintr 1\nctxt 1\nprocesses 1\nprocs_blocked 0\n", b"ctxt x\nintr 1\n", b"intr \nctxt 1\n"],
)
def test_a_strange_stat_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_stat(raw)


@pytest.mark.parametrize("raw", [b"", b"0.1 0.2", b"a b c d e", b"0.1 0.2 0.3 x/3 5"])
def test_a_strange_loadavg_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_loadavg(raw)


@pytest.mark.parametrize("raw", [b"", b"1 (x", b"1 (x) S 1 2 3", b"1 (x) S " + b"y " * 40])
def test_a_strange_process_stat_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_process_stat(raw)


def test_own_cpu_time_is_that_of_rusage():
    """Within two ticks of 10 ms: user and system are rounded apart."""
    process = parse_process_stat(Path("/proc/self/stat").read_bytes())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert process.used / 100 == pytest.approx(usage.ru_utime + usage.ru_stime, abs=0.03)
    assert process.name == Path("/proc/self/comm").read_bytes()[:-1]
