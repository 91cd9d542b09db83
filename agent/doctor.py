"""What this machine allows: the machine itself, each probe, and with which fidelity perfwatch would attach.

Everything is asked as the user who runs it: each probe looks for itself, and the kernel is given the ledger to load.
"""

from __future__ import annotations

import os
import platform
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import psutil

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.fidelity import explained, make_core, make_side
from perfwatch.agent.target import find_target
from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable
from perfwatch.probes.ledger.probe import object_file
from perfwatch.probes.probe import Availability
from perfwatch.probes.readers.libbpf import library_version
from perfwatch.probes.table import CORES, SIDE, Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.probe import Probe

OLDEST_KERNEL: Final = (6, 3)
TESTED: Final = "x86_64"
_CAP_PERFMON, _CAP_BPF = 38, 39
_LOST: Final = "the exact ledger: requests are sampled instead"


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "untested", "missing"]
    found: str
    lost: str | None = None
    """What perfwatch cannot do without it."""
    remedy: str | None = None
    """The command that would help."""


class ProbeCheck(msgspec.Struct, frozen=True):
    """What a probe says of this machine, for this user, and this target."""

    name: str
    measures: str
    status: Literal["available", "limited", "unavailable"]
    reason: str | None
    lost: str | None
    remedy: str | None


class Diagnosis(msgspec.Struct, frozen=True):
    """All checks, and what follows."""

    fidelity: Literal["exact", "sampled", "none"]
    checks: tuple[Check, ...]
    probes: tuple[ProbeCheck, ...]
    pid: int | None = None
    """The process that was asked about; None: a process of this user's own."""


def diagnose(pid: int | None = None) -> Diagnosis:
    """Look at this machine, and at a process on it; loads the BPF program once, and unloads it. About 0.7 s."""
    target = [] if pid is None else [_target(pid)]
    machine = [_run(check) for check in (_machine, _kernel, _btf, _rights, _libbpf, _names, _demo)]
    subject = pid or os.getpid()
    tree = _tree(subject)
    cores = [_probe(entry, partial(make_core, entry, (subject,))) for entry in CORES]
    sides = [_probe(entry, partial(make_side, entry, lambda: tree)) for entry in SIDE]
    can_attach = all(check.status == "ok" for check in target)
    return Diagnosis(
        fidelity=_fidelity(*cores) if can_attach else "none",
        checks=(*target, *machine),
        probes=(*cores, *sides),
        pid=pid,
    )


def _fidelity(ledger: ProbeCheck, sampled: ProbeCheck) -> Literal["exact", "sampled", "none"]:
    if ledger.status != "unavailable":
        return "exact"
    return "sampled" if sampled.status != "unavailable" else "none"


def _probe(entry: Entry, make: Callable[[], Probe]) -> ProbeCheck:
    try:
        found = make().availability()
    except Exception as error:  # noqa: BLE001 - a probe that cannot even say so does not run either
        reason, remedy = explained(error)
        found = Availability("unavailable", reason, None, remedy)
    lost = (found.lost or entry.lost) if found.status != "available" else None
    return ProbeCheck(entry.name, entry.measures, found.status, found.reason, lost, found.remedy)


def _tree(pid: int) -> tuple[int, ...]:
    """Return a process and all below it; itself alone where more may not be known."""
    try:
        return (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True)))
    except (psutil.Error, OSError):
        return (pid,)


def _target(pid: int) -> Check:
    try:
        target = find_target(pid)
    except PerfwatchError as why:
        return Check("target", "missing", why.problem, "everything about this process", why.remedy)
    return Check("target", "ok", f"process {target.named}: Python {target.python or 'of an unknown version'}")


def _run(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ProbeError, OSError) as why:
        found, remedy = (why.reason, why.remedy) if isinstance(why, Unavailable) else (str(why), None)
        return Check(check.__name__.strip("_"), "missing", found, _LOST, remedy)


def _machine() -> Check:
    machine = platform.machine()
    if machine == TESTED:
        return Check("machine", "ok", machine)
    object_file(machine)
    return Check("machine", "untested", f"{machine}: built for it, never tested on it")


def _kernel() -> Check:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers >= OLDEST_KERNEL:
        return Check("kernel", "ok", f"Linux {release}")
    return Check(
        "kernel",
        "missing",
        f"Linux {release} has no socket tracepoints",
        _LOST,
        "boot Linux 6.3 or later",
    )


def _btf() -> Check:
    if roots.VMLINUX_BTF.exists():
        return Check("BTF", "ok", str(roots.VMLINUX_BTF))
    return Check(
        "BTF",
        "missing",
        "the kernel does not describe its types",
        _LOST,
        "boot a kernel with CONFIG_DEBUG_INFO_BTF=y (all large distributions' have it)",
    )


def _rights() -> Check:
    capabilities = _effective_capabilities()
    if capabilities >> _CAP_BPF & 1 and capabilities >> _CAP_PERFMON & 1:
        return Check("rights", "ok", "root" if os.geteuid() == 0 else "CAP_BPF and CAP_PERFMON")
    return Check(
        "rights",
        "missing",
        "no CAP_BPF and CAP_PERFMON",
        _LOST,
        "sudo perfwatch, or AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE in a systemd unit",
    )


def _libbpf() -> Check:
    return Check("libbpf", "ok", f"libbpf.so.1, {library_version()}")


def _names() -> Check:
    try:
        with roots.KALLSYMS.open() as symbols:
            if any(int(line.split()[0], 16) for line, _ in zip(symbols, range(100), strict=False)):
                return Check("kernel symbols", "ok", str(roots.KALLSYMS))
        found = "addresses are hidden"
    except (OSError, ValueError) as error:
        found = f"{roots.KALLSYMS} cannot be read: {error}"
    return Check(
        "kernel symbols",
        "missing",
        found,
        "names of the kernel functions behind `other`",
        "sudo sysctl kernel.kptr_restrict=1, and CAP_SYSLOG",
    )


def _demo() -> Check:
    if find_spec("gunicorn"):
        return Check("demo", "ok", "gunicorn is installed")
    return Check("demo", "missing", "gunicorn is not installed", "perfwatch demo", "pip install 'perfwatch[demo]'")


def _effective_capabilities() -> int:
    """Read the line `CapEff: 000001ffffffffff` of /proc/self/status."""
    for line in (roots.PROC / "self" / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
