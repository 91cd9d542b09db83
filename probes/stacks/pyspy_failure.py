"""What a failure of py-spy means: the process has ended, it may not be read, or it could not be read this time.

py-spy 0.4.3 says it in English, and exits with 1. Of what it says, much may come from the target: untrusted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished

if TYPE_CHECKING:
    from perfwatch.probes.errors import ProbeError

_MAX_REASON_CHARS: Final = 200
_REFUSED: Final = "Permission Denied"
_NO_PYTHON: Final = ("Failed to find python version", "Failed to find a python interpreter", "Unsupported version")
_STOPPED: Final = "unexpected waitpid result"
_NO_THREAD_ID: Final = "failed to get os threadid"


class Failed(NamedTuple):
    """A py-spy that failed."""

    pid: int
    """Whom it was to read."""
    is_native: bool
    """With native frames, for which it stops the process."""
    said: str
    was_killed: bool
    was_full: bool
    """It had printed more than half of what there is room for."""


def meaning(failed: Failed) -> ProbeError:
    """Return what is to be raised."""
    pid = failed.pid
    if _status(pid, "State:") in {None, "Z"}:
        return Vanished(f"process {pid} has ended")
    if failed.was_full:
        return Malformed(f"the stacks of process {pid} are too many or too deep for py-spy")
    if _REFUSED in failed.said:
        return refused(pid)
    if any(mark in failed.said for mark in _NO_PYTHON):
        return Unavailable(f"py-spy finds no Python that it knows in process {pid}", "pip install --upgrade py-spy")
    if failed.was_killed:
        return Malformed(f"py-spy took too long for process {pid}, or too much memory")
    said = ascii(" ".join(failed.said.partition("Stack backtrace")[0].split()))[1:-1][:_MAX_REASON_CHARS]
    unknown = Malformed(f"py-spy could not read process {pid}: {said or 'it did not say why'}")
    return (_of_native(pid, failed.said) or unknown) if failed.is_native else unknown


def refused(pid: int) -> Unavailable:
    """Say why the memory of a process may not be read, and what would help."""
    why = f"no permission to read the memory of process {pid}"
    try:
        scope = roots.PROC.joinpath("sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        scope = "0"
    try:
        is_own = (roots.PROC / str(pid)).stat().st_uid == os.geteuid()
    except OSError:
        is_own = False
    if not is_own:
        return Unavailable(why, "run perfwatch as its user, or as root (CAP_SYS_PTRACE)")
    if scope != "0":
        remedy = "sudo perfwatch, or sudo sysctl kernel.yama.ptrace_scope=0"
        return Unavailable(f"{why}: ptrace_scope of Yama is {scope}", remedy)
    return Unavailable(why, "run perfwatch as root; in a container, start that with --cap-add SYS_PTRACE")


def _of_native(pid: int, said: str) -> ProbeError | None:
    """Explain what goes wrong only where the process is stopped."""
    tracer = _status(pid, "TracerPid:")
    if tracer not in {None, "0"}:
        return Unavailable(f"process {pid} is being traced by process {tracer}", "end that, or go without --native")
    if _STOPPED in said:
        return Unavailable(f"process {pid} is stopped", f"kill -CONT {pid}, or go without --native")
    if _is_elsewhere(pid):
        return Unavailable(
            f"py-spy cannot read native frames of process {pid}: it is in a container",
            "run perfwatch in that container, or without --native",
        )
    if _NO_THREAD_ID in said:
        return Malformed(f"py-spy cannot tell the threads of process {pid} apart while they run (Python before 3.11)")
    return None


def _is_elsewhere(pid: int) -> bool:
    """Whether a process is in another PID namespace than perfwatch."""
    try:
        theirs, own = (roots.PROC.joinpath(who, "ns", "pid").stat().st_ino for who in (str(pid), "self"))
    except OSError:
        return False
    return theirs != own


def _status(pid: int, name: str) -> str | None:
    """Return the first word of a line of /proc/PID/status; None without one, or if the process has ended."""
    try:
        lines = (roots.PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((words[1] for line in lines if (words := line.split()) and words[0] == name and words[1:]), None)
