"""What this machine allows: each check with what is lost without it, and the command that would help."""

from __future__ import annotations

import os
import platform
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable
from perfwatch.probes.ledger.probe import object_file
from perfwatch.probes.libbpf import BpfObject, library_version

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST_KERNEL: Final = (6, 3)
TESTED: Final = "x86_64"
_CAP_PERFMON, _CAP_BPF = 38, 39


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "untested", "missing"]
    found: str
    lost: str | None = None
    """What perfwatch cannot do without it."""
    remedy: str | None = None
    """The command that would help."""


class Diagnosis(msgspec.Struct, frozen=True):
    """All checks, and what follows."""

    fidelity: Literal["exact", "none"]
    checks: tuple[Check, ...]


def diagnose() -> Diagnosis:
    """Look at this machine; loads the BPF program once, and unloads it. About 0.1 s."""
    checks = tuple(_run(check) for check in (_machine, _kernel, _btf, _rights, _libbpf, _ledger, _names, _demo))
    ledger = next(check for check in checks if check.name == "exact ledger")
    return Diagnosis("exact" if ledger.status != "missing" else "none", checks)


def _run(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ProbeError, OSError) as why:
        name = {_libbpf: "libbpf", _ledger: "exact ledger"}.get(check, check.__name__.strip("_"))
        found, remedy = (why.reason, why.remedy) if isinstance(why, Unavailable) else (str(why), None)
        return Check(name, "missing", found, "the exact ledger: no request is seen", remedy)


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
        "the exact ledger: no request is seen",
        "boot Linux 6.3 or later",
    )


def _btf() -> Check:
    if roots.VMLINUX_BTF.exists():
        return Check("BTF", "ok", str(roots.VMLINUX_BTF))
    return Check(
        "BTF",
        "missing",
        "the kernel does not describe its types",
        "the exact ledger: no request is seen",
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
        "the exact ledger: no request is seen",
        "sudo perfwatch, or AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE in a systemd unit",
    )


def _libbpf() -> Check:
    return Check("libbpf", "ok", f"libbpf.so.1, {library_version()}")


def _ledger() -> Check:
    with BpfObject(object_file(platform.machine()).read_bytes()) as ledger:
        ledger.load()
        ledger.attach()
    return Check("exact ledger", "ok", "loads and attaches")


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
