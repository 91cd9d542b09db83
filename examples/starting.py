"""Server processes: a free port, waiting until one answers, and ending one with all that it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

from perfwatch.examples.http_client import Call, Connection, RequestFailed, connect

if TYPE_CHECKING:
    import subprocess

POLL_S: Final = 0.02
GRACE_S: Final = 3.0


class NotServing(Exception):
    """A server ended, or did not answer in time."""


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_listening(process: subprocess.Popen[bytes], address: str, timeout_s: float) -> None:
    """Wait until the address takes connections; raises NotServing if the process ends or time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OSError), connect(address, timeout_s):
            return
        if has_ended(process, POLL_S):
            raise NotServing(f"it ended with exit code {process.wait()}")
        if time.monotonic() > deadline:
            raise NotServing(f"nothing listens on {address} after {timeout_s:.0f} s")


def await_answer(process: subprocess.Popen[bytes], address: str, path: str, timeout_s: float) -> None:
    """Wait until a request is answered, whatever its status; raises NotServing."""
    await_listening(process, address, timeout_s)
    connection = Connection(address, timeout_s)
    try:
        connection.request(Call(path))
    except RequestFailed as error:
        raise NotServing(f"{address} accepts connections and does not answer: {error}") from error
    finally:
        connection.close()


def has_ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for the end of a process, at most for a time, without reaping it: its PID stays its own."""
    if process.returncode is not None:
        return True
    watched = os.pidfd_open(process.pid)
    try:
        return bool(select.select([watched], [], [], timeout_s)[0])
    finally:
        os.close(watched)


def end_group(process: subprocess.Popen[bytes], *, grace_s: float = GRACE_S) -> None:
    """End a process that leads a process group, and all that is left of the group; returns when it is gone.

    SIGTERM goes to the leader alone: a master stops its workers itself. SIGCONT is for one that was stopped.
    """
    if process.returncode is not None:
        return  # its PID may be somebody else's by now
    # Popen's methods poll: they would reap a leader that has ended, and its number would no longer be ours.
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    has_ended(process, grace_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
