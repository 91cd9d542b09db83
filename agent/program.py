"""A program that perfwatch starts: held before its first instruction, given the signals that come, and awaited."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from perfwatch.agent.stopping import heeded_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_STARTED: Final = 127
_FOLLOW_S: Final = 0.05
_SI_KERNEL: Final = 0x80
"""`si_code` of what the terminal sends; what a process sends has SI_USER."""


class Program:
    """A child process that executes its program when `go` is called, and not before. Made by `started`."""

    def __init__(self, command: tuple[str, ...], mask: set[signal.Signals]) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(write)
            _execute_after(read, command, mask)
        os.close(read)
        self._gate = write
        self._descriptor = os.pidfd_open(self.pid)
        self._forwarder = threading.Thread(target=self._forward, name="forwarder", daemon=True)
        self.ended = threading.Event()
        """Set when the program itself has ended, whatever of its children lives on."""
        self.code: int | None = None
        """The exit code (128 + signal, as a shell gives it), once it was awaited."""

    def go(self) -> None:
        """Let it begin; from here on it is given the signals that come to this process."""
        with suppress(BrokenPipeError):  # a signal from the terminal has ended it already
            os.write(self._gate, b"g")
        self._forwarder.start()

    def wait(self) -> int:
        """Wait for its end, and return the exit code; one that was not let go ends at once."""
        os.close(self._gate)
        _, status = os.waitpid(self.pid, 0)
        if self._forwarder.ident is not None:
            self._forwarder.join()
        os.close(self._descriptor)
        code = os.waitstatus_to_exitcode(status)
        self.code = code if code >= 0 else 128 - code
        return self.code

    def _forward(self) -> None:
        """Pass on each signal until the program has ended; they are blocked in every thread, so none is missed."""
        end = select.poll()
        end.register(self._descriptor, select.POLLIN)
        signals = heeded_signals()
        while not end.poll(0):
            info = signal.sigtimedwait(signals, _FOLLOW_S)
            if info is not None and not self._has_had(info):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._descriptor, info.si_signo)
        self.ended.set()

    def _has_had(self, info: signal.struct_siginfo) -> bool:
        """Tell whether the terminal gave a signal to the whole process group, and the program is in it."""
        if info.si_code != _SI_KERNEL or (info.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()):
            return False  # a hangup goes to the leader of the session alone
        with suppress(ProcessLookupError):
            return os.getpgid(self.pid) == os.getpgrp()
        return True


@contextmanager
def started(command: tuple[str, ...]) -> Iterator[Program]:
    """Start a program, held, and await its end at the end of the block, however that is left; in the main thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded_signals())
    mask = {signal.Signals(number) for number in before}
    try:
        program = Program(command, mask)
        try:
            yield program
        finally:
            program.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _execute_after(gate: int, command: tuple[str, ...], mask: set[signal.Signals]) -> None:
    """In the child: wait for the gate, then become the program; with the gate closed, just end.

    The program finds the signals as perfwatch did: Python itself ignores two and catches SIGINT; exec resets
    what is caught, and keeps what is ignored.
    """
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.read(gate, 1):
            os.execvp(command[0], command)  # noqa: S606 - what the user asked for
    except OSError as error:
        sys.stderr.write(f"perfwatch: {command[0]} cannot be started: {error.strerror}\n")
        sys.stderr.flush()
    finally:
        os._exit(NOT_STARTED)
