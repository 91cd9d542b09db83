"""The service: looks for the servers that are meant, and has a recorder in a process of its own for each of them.

It waits for what is not there yet. A recorder that ends with its server is gone; one that is killed is started again,
as long as its server lives. One that cannot attach is tried again later. The service's own end ends them all, cleanly.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.service.directory import Directory
from perfwatch.agent.service.finding import Finder, label_of, name_of
from perfwatch.agent.service.metrics import served
from perfwatch.agent.service.recorder import Assignment
from perfwatch.agent.service.room import Room
from perfwatch.agent.service.saying import say
from perfwatch.agent.stopping import stop_on_signals

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from perfwatch.agent.export.prometheus.whose import Name
    from perfwatch.agent.service.metrics import Metrics
    from perfwatch.agent.service.settings import Settings
    from perfwatch.agent.target import Candidate

MAX_RECORDERS: Final = 16
LOOK_S: Final = 1.0
_SWEEP_S: Final = 10.0
_TURN_S: Final = 0.2
_FAILED_S: Final = 30.0
_KILLED_S: Final = 1.0
_STOP_S: Final = 20.0


class _Recorder(NamedTuple):
    process: subprocess.Popen[bytes]
    label: str
    measured_as: Name | None
    """The name of its server's metrics."""


def serve(settings: Settings) -> None:
    """Record until SIGTERM or Ctrl-C; raises PerfwatchError where the directory cannot be used."""
    with (
        closing(Directory(Path(settings.directory))) as directory,
        directory.alone(),
        stop_on_signals() as stop,
        served(settings.audience.prometheus, say) as metrics,
    ):
        service = Service(settings, directory, metrics)
        try:
            service.run(stop)
        finally:
            service.stop()


class Service:
    """The recorders that run. `run` in the main thread; `stop` ends them."""

    def __init__(self, settings: Settings, directory: Directory, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        # It listens itself, for all of them.
        audience = msgspec.structs.replace(settings.audience, prometheus=None)
        self._settings = msgspec.structs.replace(settings, audience=audience)
        self._room = Room(directory, settings)
        self._finder = Finder(settings.wanted)
        self._recorders: dict[int, _Recorder] = {}  # by the PID of whom they record
        self._failed: set[int] = set()  # PIDs that could not be recorded, which was told
        self._is_idle_told = False

    def run(self, stop: threading.Event) -> None:
        """Look, start, reap and sweep, until `stop` is set."""
        with _asked() as asked:
            look_s = sweep_s = 0.0
            while not stop.is_set():
                now_s = time.monotonic()
                if asked:
                    asked.clear()
                    self._pass_on()
                if self._reap() or now_s >= look_s:
                    look_s = now_s + LOOK_S
                    self._look()
                if now_s >= sweep_s:
                    sweep_s = now_s + _SWEEP_S
                    self._sweep()
                if self._metrics is not None:
                    self._metrics.look()
                stop.wait(_TURN_S)

    def stop(self) -> None:
        """End all recorders, and wait until their files are finished."""
        for recorder in self._recorders.values():
            recorder.process.terminate()
        give_up = time.monotonic() + _STOP_S
        for recorder in self._recorders.values():
            try:
                recorder.process.wait(max(give_up - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                say(f"the recorder of {recorder.label} does not end, and is killed: what it committed is safe")
                recorder.process.kill()
                recorder.process.wait()

    def _look(self) -> None:
        own = {recorder.process.pid for recorder in self._recorders.values()}
        for candidate in self._finder.look(own):
            if candidate.pid not in self._recorders:
                self._begin(candidate)
        self._tell_idle()

    def _begin(self, candidate: Candidate) -> None:
        is_again = candidate.pid in self._failed
        if len(self._recorders) >= MAX_RECORDERS:
            self._failed.add(candidate.pid)
            if not is_again:
                say(f"{MAX_RECORDERS} servers are recorded already: not process {candidate.pid}")
            return
        label = label_of(candidate)
        assignment = Assignment(candidate.pid, label, self._settings, os.getpid(), is_again=is_again)
        if self._metrics is None:
            self._recorders[candidate.pid] = _Recorder(_started(assignment), label, None)
            return
        name, end = self._metrics.join(name_of(candidate))
        with end:
            process = _started(msgspec.structs.replace(assignment, metrics=end.fileno()))
        self._recorders[candidate.pid] = _Recorder(process, label, name)

    def _reap(self) -> bool:
        """Take note of the recorders that have ended; whether there was one."""
        ended = [(pid, one) for pid, one in self._recorders.items() if one.process.poll() is not None]
        for pid, recorder in ended:
            del self._recorders[pid]
            if self._metrics is not None and recorder.measured_as is not None:
                self._metrics.leave(recorder.measured_as)
            code = recorder.process.returncode
            self._finder.again(pid, _FAILED_S if code > 0 else _KILLED_S)
            (self._failed.add if code > 0 else self._failed.discard)(pid)
            if code < 0:
                say(f"the recorder of {recorder.label} was killed by signal {-code}; what it committed is safe")
        return bool(ended)

    def _tell_idle(self) -> None:
        is_idle = not self._recorders
        if is_idle and not self._is_idle_told:
            lines = " or ".join(f'"{wanted}"' for wanted in self._settings.wanted)
            say(f"waiting for a server that is {lines}" if lines else "waiting for a Python server that listens")
        self._is_idle_told = is_idle

    def _pass_on(self) -> None:
        for recorder in self._recorders.values():
            if recorder.process.poll() is None:
                recorder.process.send_signal(signal.SIGUSR1)

    def _sweep(self) -> None:
        try:
            self._room.sweep()
        except PerfwatchError as why:
            say(str(why))


def _started(assignment: Assignment) -> subprocess.Popen[bytes]:
    """Start a recorder; SIGUSR1 is blocked in it until it can answer it, or it would end it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perfwatch.agent.service.recorder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the service's to answer
            pass_fds=() if assignment.metrics is None else (assignment.metrics,),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if process.stdin is not None:
        try:
            process.stdin.write(msgspec.json.encode(assignment))
            process.stdin.close()
        except BrokenPipeError:
            pass  # it was killed, and is reaped
    return process


@contextmanager
def _asked() -> Iterator[list[int]]:
    """Give a list that gets an entry for each SIGUSR1."""
    asked: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGUSR1, before)
