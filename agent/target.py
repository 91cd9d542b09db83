"""A PID: its interpreter, its kind of server, its command line; and which processes could be a target at all."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.serving import Serving, serving
from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.descriptors import sockets_of
from perfwatch.probes.readers.interpreter import Interpreter, find_interpreter
from perfwatch.probes.readers.sock_diag import LISTENING, SockDiag

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

MAX_COMMAND_CHARS: Final = 500
_SECRET_NAME: Final = re.compile(r"(?i)(pass(word|wd|phrase)?|secret|token|api[-_]?key|credential|auth)")
_URL_CREDENTIALS: Final = re.compile(r"(\w+://)[^/@\s]+@")
_SERVERS: Final = (
    ("gunicorn", "gunicorn"),
    ("uvicorn", "uvicorn"),
    ("hypercorn", "hypercorn"),
    ("daphne", "daphne"),
    ("granian", "granian"),
    ("waitress", "waitress"),
    ("uwsgi", "uwsgi"),
    ("cheroot", "cheroot"),
    ("cherryd", "cheroot"),
    ("celery", "celery"),
    ("runserver", "django"),
    ("http.server", "http.server"),
    ("flask", "flask"),
)


class Candidate(msgspec.Struct, frozen=True):
    """A Python process that somebody might want to attach to. All strings are untrusted."""

    pid: int
    command: str
    python: str | None
    server: str | None
    listeners: tuple[str, ...]
    user: str
    workers: int
    """Python processes below it."""
    inner_pid: int | None = None
    """Its PID in its own PID namespace, where that is another: inside its container."""
    cpu_s: float | None = None
    """CPU time that it and its workers have used so far; two looks give a rate."""
    rss_bytes: int | None = None
    """Resident memory of it and its workers; what they share counts for each."""
    started_unix_s: float | None = None
    framework: str | None = None
    """By what it, or a worker, has loaded; so is the server of one whose command line does not name it."""


class Target(msgspec.Struct, frozen=True):
    """A process that perfwatch can attach to."""

    pid: int
    command: str
    python: str | None
    server: str | None
    inner_pid: int | None = None
    """As in `Candidate`."""

    @property
    def named(self) -> str:
        """`4312`, or `4312 (7 in its container)`."""
        return str(self.pid) if self.inner_pid is None else f"{self.pid} ({self.inner_pid} in its container)"


def find_target(pid: int) -> Target:
    """Look at a PID; raises PerfwatchError where there is nothing to attach to, with what to do instead."""
    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        family = [pid, *(child.pid for child in process.children(recursive=True))]
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        if _is_hidden(pid):
            raise PerfwatchError(
                f"/proc hides process {pid} from this user (hidepid)", "run perfwatch as root"
            ) from None
        raise PerfwatchError(
            f"there is no process {pid}", "perfwatch without arguments lists the Python processes"
        ) from None
    except psutil.AccessDenied:
        raise PerfwatchError(*_refused(pid)) from None
    interpreters = [found for member in family if (found := _interpreter(member))]
    if not interpreters:
        raise PerfwatchError(
            f"process {pid} ({printable(process_name(process))}) runs no Python that perfwatch can see",
            "perfwatch without arguments lists the Python processes",
        )
    return Target(pid, command_line(words), interpreters[0].version, server_kind(words), inner_pid(pid))


def find_targets(pids: Sequence[int]) -> tuple[Target, ...]:
    """Look at some PIDs, each once; raises PerfwatchError as `find_target`, and where one belongs to another."""
    targets = tuple(find_target(pid) for pid in dict.fromkeys(pids))
    for target in targets:
        followed = next((other for other in targets if other is not target and _is_below(target.pid, other.pid)), None)
        if followed is not None:
            raise PerfwatchError(
                f"process {target.pid} belongs to process {followed.pid}, which is followed with all its children",
                f"leave out --pid {target.pid}",
            )
    return targets


def interpreter_of(pid: int) -> Interpreter | None:
    """Return the Python of a process; None without one, or if the process has just ended."""
    try:
        return _interpreter(pid)
    except PerfwatchError:
        return None


def python_processes(among: Container[int] | None = None) -> tuple[Candidate, ...]:
    """List the Python processes one may look into, those that listen first; 20 to 200 ms for a whole host.

    A worker is not listed beside its server: attaching to the server follows it. With `among`, only these processes
    are looked at; a worker among them is told as such if its server is there too.
    """
    found: dict[int, tuple[psutil.Process, Interpreter]] = {}
    for process in psutil.process_iter():
        if among is not None and process.pid not in among:
            continue
        try:
            interpreter = find_interpreter(roots.PROC, process.pid)
        except (Unavailable, Vanished):
            continue
        if interpreter and process.pid != psutil.Process().pid:
            found[process.pid] = (process, interpreter)
    parents = {process.pid: _parent(process) for process in psutil.process_iter()} if found else {}
    servers = [
        (process, interpreter)
        for process, interpreter in found.values()
        if not ((parent := found.get(parents.get(process.pid, 0))) and _same_program(process, parent[0]))
    ]
    families: dict[int, list[psutil.Process]] = {process.pid: [process] for process, _ in servers}
    for pid, (process, _) in found.items():
        for above in _ancestors(pid, parents):
            if above in families:
                families[above].append(process)
    candidates = [_candidate(interpreter, families[process.pid]) for process, interpreter in servers]
    return tuple(sorted(candidates, key=lambda one: (not one.listeners, one.pid)))


def command_line(words: list[str]) -> str:
    """Join a command line for showing and recording: secrets blanked, control characters escaped, cut."""
    shown, blank = [], False
    for word in words:
        if blank and not word.startswith("-"):
            shown.append("***")
            blank = False
            continue
        name, equals, _ = word.partition("=")
        is_secret = bool(_SECRET_NAME.search(name)) and (name.startswith("-") or bool(equals))
        shown.append(f"{name}=***" if is_secret and equals else _URL_CREDENTIALS.sub(r"\1***@", word))
        blank = is_secret and not equals
    return printable(" ".join(shown))[:MAX_COMMAND_CHARS]


def inner_pid(pid: int) -> int | None:
    """PID of a process in its own PID namespace; None where it has no other than here.

    The last of the line `NSpid:	4312	7` of /proc/PID/status: one for each namespace, from the reader's inwards.
    """
    try:
        lines = proc.text(proc.read(roots.PROC / str(pid) / "status")).splitlines()
        inner = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
        return int(inner[-1]) if len(inner) > 1 else None
    except (ProbeError, OSError, ValueError):
        return None


def server_kind(words: list[str]) -> str | None:
    """Tell the server by its command line; None where no known name stands in it."""
    names = " ".join(word.rpartition("/")[2] for word in words[:6])
    return next((kind for mark, kind in _SERVERS if mark in names), None)


def printable(text: str) -> str:
    """Replace what could move a terminal's cursor, or break a line, by its escape in Python."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def process_name(process: psutil.Process) -> str:
    """Name of a process; `?` if it has just ended."""
    try:
        return str(process.name())
    except psutil.Error:
        return "?"


def _is_below(pid: int, ancestor: int) -> bool:
    try:
        return any(parent.pid == ancestor for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


def _is_hidden(pid: int) -> bool:
    """Whether there is a process that /proc does not show: signal 0 reaches nobody, and is refused all the same."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _interpreter(pid: int) -> Interpreter | None:
    try:
        return find_interpreter(roots.PROC, pid)
    except Vanished:
        return None
    except Unavailable as why:
        told = _refused(pid) if os.geteuid() == 0 else (why.reason, why.remedy)
        raise PerfwatchError(*told) from None


def _refused(pid: int) -> tuple[str, str]:
    """Say why one may not look into a process, and what to do: root may be refused too."""
    if os.geteuid():
        return f"no permission to look into process {pid}", "run perfwatch as root"
    return (
        f"process {pid} is protected, also from root",
        "choose the process below it that serves; in a container, start that with --cap-add SYS_PTRACE",
    )


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _same_program(one: psutil.Process, other: psutil.Process) -> bool:
    try:
        return bool(one.cmdline()[1:] == other.cmdline()[1:])
    except psutil.Error:
        return False


def _ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """Yield the PIDs above a process, the nearest first."""
    seen = {0}
    while (pid := parents.get(pid, 0)) not in seen:
        seen.add(pid)
        yield pid


def _candidate(interpreter: Interpreter, family: list[psutil.Process]) -> Candidate:
    """Describe the first of a family, which the others are below."""
    process = family[0]
    words: list[str] = []
    user = "?"
    started_unix_s: float | None = None
    try:
        with process.oneshot():
            words, user, started_unix_s = process.cmdline(), process.username(), process.create_time()
    except psutil.Error:
        pass  # it has ended, or may not be asked: what is known is shown
    cpu_s, rss_bytes = _used(family)
    server, loaded, listeners = server_kind(words), Serving(), _listeners(process.pid)
    if listeners or server:
        loaded = serving(_first_of(family), time.time())
    return Candidate(
        pid=process.pid,
        command=command_line(words),
        python=interpreter.version,
        server=server or loaded.server,
        listeners=listeners,
        user=user,
        workers=len(family) - 1,
        inner_pid=inner_pid(process.pid),
        cpu_s=cpu_s,
        rss_bytes=rss_bytes,
        started_unix_s=started_unix_s,
        framework=loaded.framework,
    )


def _listeners(pid: int) -> tuple[str, ...]:
    """Addresses of TCP that a process listens on, in its own network namespace; none where that may not be asked."""
    try:
        inodes = sockets_of(pid)
        with SockDiag(pid) as diag:
            return tuple(sorted({one.local for one in diag.tcp(states=LISTENING) if one.inode in inodes}))
    except (ProbeError, OSError):
        return ()


def _first_of(family: list[psutil.Process]) -> list[tuple[int, float]]:
    """Return a server and one of its workers, which may alone have loaded the application: PID, and when it began."""
    found = []
    for process in family[:2]:
        with suppress(psutil.Error):
            found.append((process.pid, process.create_time()))
    return found


def _used(family: list[psutil.Process]) -> tuple[float | None, int | None]:
    """Add up CPU seconds and resident bytes; None where a process of them cannot be asked."""
    cpu_s, rss_bytes = 0.0, 0
    try:
        for process in family:
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                rss_bytes += int(process.memory_info().rss)
    except psutil.Error:
        return None, None
    return cpu_s, rss_bytes
