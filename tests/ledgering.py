"""The ledger probe on a real process, for tests: attach, wait for the records one wants, look for leftovers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from waiting import PATIENCE_S, until

from perfwatch.agent.target import interpreter_of
from perfwatch.probes.ledger.probe import LedgerProbe
from perfwatch.probes.records import BUCKETS, ServedRequest

BPFTOOL = shutil.which("bpftool") or "/usr/sbin/bpftool"
PROGRAMS = {  # of each BPF object of ours
    "ledger": {"on_switch", "on_waking", "on_received", "on_sent", "on_arrived", "on_tcp_state"},
    "block": {"on_block_done"},
}
OURS = set.union(*PROGRAMS.values())


class Attached:
    """A probe, and all records that it gave so far."""

    def __init__(self, probe):
        self.probe = probe
        self.records = []

    def read(self):
        """Read once; returns all records."""
        self.records += self.probe.read(time.monotonic_ns())
        return self.records

    def until(self, condition, patience_s=PATIENCE_S):
        """Read until `condition(records)` is truthy, and return that."""
        return until(
            lambda: condition(self.read()), patience_s=patience_s, pause_s=0.01, told=lambda: self.records[-5:]
        )

    def served(self, count):
        """Wait for so many requests and return them."""
        return self.until(lambda records: len(requests_of(records)) >= count and requests_of(records))


def requests_of(records):
    """Return the requests among records; a correction stands in the place of what it corrects."""
    return list({record.id: record for record in records if isinstance(record, ServedRequest)}.values())


def latency_ns(request):
    """Return the time from the first byte's arrival to the answer's last."""
    return request.ended_ns - (request.arrived_ns or request.started_ns)


def booked(request):
    """Return the request's ledger by bucket, in milliseconds, without the empty ones."""
    return {bucket: ns / 1e6 for bucket, ns in zip(BUCKETS, request.booked_ns, strict=True) if ns}


@contextlib.contextmanager
def attached(pid):
    """Attach the ledger to a process tree."""
    with LedgerProbe(pid, interpreter_of) as probe:
        yield Attached(probe)


@contextlib.contextmanager
def script(source, *, python=sys.executable, arguments=()):
    """Run a Python script whose first printed line says that it is ready; yields (process, that line).

    It leads a process group, which ends with the block: its children too.
    """
    process = subprocess.Popen(
        [str(python), "-u", "-c", source, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        if process.returncode is None:  # else its number may be somebody else's by now
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def loaded_programs():
    """Return the names of the BPF programs of ours in the kernel, but for those that another live process holds."""
    listing = subprocess.run([BPFTOOL, "prog", "show", "-j"], check=True, capture_output=True)
    ours = {program["id"]: program["name"] for program in json.loads(listing.stdout) if program.get("name") in OURS}
    others = _held_by_others()
    return sorted(name for number, name in ours.items() if number not in others)


def _held_by_others():
    """Numbers of the BPF programs that other processes have descriptors of: somebody else runs perfwatch."""
    held = set()
    for entry in Path("/proc").glob("[0-9]*/fdinfo/*"):
        if int(entry.parts[2]) != os.getpid():
            with contextlib.suppress(OSError):
                held |= {int(line.split()[1]) for line in entry.read_text().splitlines() if line.startswith("prog_id:")}
    return held


def await_unloaded():
    """Wait until no BPF program of ours is loaded: the kernel frees them shortly after their last descriptor."""
    until(lambda: not loaded_programs(), pause_s=0.05, told=loaded_programs)


def waited_for_cpu_ns():
    """Return how long this thread has waited for a CPU, as the scheduler counts it: what its own clock cannot tell."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1])


def schedstat_cpu_ns(pid, tid):
    """Return the CPU time of a thread, as the scheduler counts it."""
    return int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0])
