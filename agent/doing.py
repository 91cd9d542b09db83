"""What the threads of some processes do at this moment, in words: running, or what they wait for.

Read once from /proc (15 us a thread) with the socket table of the target's network namespace.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Final

from perfwatch.agent.target import interpreter_of
from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList, ThreadFiles
from perfwatch.probes.sampled.classify import Classifier
from perfwatch.probes.sampled.sockets import REFRESH_NS, SocketTable

if TYPE_CHECKING:
    from collections.abc import Collection

    from perfwatch.probes.sampled.states import State

RUNNING: Final = "running"
FOR_GIL: Final = "waits for the interpreter lock"
IDLE: Final = ("waits for connections", "waits for a client", "waits for events")
"""What a thread does that has nothing to do."""
_WORDS: Final = {
    "gil": FOR_GIL,
    "lock": "waits for a lock",
    "sleep": "sleeps",
    "child": "waits for a child process",
    "disk": "waits for the disk",
    "fault": "waits for a page of memory",
    "send": "sends to its client",
    "receive": IDLE[1],
}


def threads_doing(pids: Collection[int]) -> dict[int, str]:
    """Return what each thread does, by its id; threads that have just ended are left out."""
    runtimes = {pid: found.runtime for pid in pids if (found := interpreter_of(pid))}
    sockets = SocketTable()
    try:
        now_ns = time.monotonic_ns()
        sockets.refresh(now_ns, pids)
        classifier = Classifier(platform.machine(), sockets, runtimes.get)
        states = {tid: state for pid in pids for tid, state in _states(pid, classifier)}
        sockets.refresh(now_ns + REFRESH_NS, pids)
        classifier.settle()
    finally:
        sockets.close()
    return {tid: words(state) for tid, state in states.items()}


def words(state: State) -> str:
    """Say what a state is: `waits for a lock`, `waits for 10.0.3.7:5432`."""
    if state.is_running:
        return RUNNING
    if state.is_loop or state.accepts:
        return IDLE[2] if state.is_loop else IDLE[0]
    if state.bucket == "calls":
        return f"waits for {state.peer or 'another process'}"
    if state.detail == "stopped":
        return "is stopped"
    unnamed = f"waits in {state.call or state.detail or 'a system call'}"
    return _WORDS.get(state.bucket or "other", unnamed)


def _states(pid: int, classifier: Classifier) -> list[tuple[int, State]]:
    open_files = OpenFiles(0)
    tasks = TaskList(pid, open_files)
    try:
        tids = tasks.list()
    except (Vanished, Unavailable):
        return []
    finally:
        tasks.close()
    found = []
    for tid in tids:
        try:
            state = classifier.state(pid, ThreadFiles(roots.PROC / str(pid) / "task" / str(tid), open_files))
        except Vanished:
            continue
        found.append((tid, state))
    return found
