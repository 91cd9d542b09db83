"""One run of py-spy: started, polled, and either its output or what its failure means.

The target is hostile input to py-spy too: it gets a limited address space, limited time, and room for so much output.
It gets no environment, and full file names are asked of it: to shorten them it would look for files at paths of the
target's choice, which may lead to a dead file server.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import resource
import select
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Final, Self

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.proc import text
from perfwatch.probes.stacks.pyspy_failure import Failed, meaning

MAX_OUTPUT_BYTES: Final = 16 << 20
"""Some 70 000 frames."""
TIMEOUT_S: Final = 5.0
_MAX_ERROR_BYTES: Final = 64 << 10
_PROGRAM: Final = "py-spy"
_ADDRESS_SPACE: Final = 1 << 30
_ADDRESS_SPACE_NATIVE: Final = 8 << 30
"""It maps every library of the target, with its symbols."""


class Run:
    """A py-spy that was started; a context manager that leaves none behind. Raises Unavailable. Takes 2 ms."""

    def __init__(self, pid: int, *, is_native: bool) -> None:
        self._pid = pid
        self._is_native = is_native
        self.cpu_ns = 0
        """What it has cost, once it has ended."""
        self._started_ns = time.monotonic_ns()
        command = [str(find_py_spy()), "dump", "--json", "--full-filenames", "--pid", str(pid)]
        command.append("--native" if is_native else "--nonblocking")
        self._files = ExitStack()
        try:
            self._output, self._errors = self._room(MAX_OUTPUT_BYTES), self._room(_MAX_ERROR_BYTES)
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors, env={}, cwd="/"
            )
        except OSError as error:
            self._files.close()
            raise Unavailable(
                f"py-spy cannot be run ({error.strerror})", "if it stays so: pip install --force-reinstall py-spy"
            ) from None
        self._limit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_ended(self) -> bool:
        """Whether it has; one that takes too long is ended. Does not wait."""
        if self._process.returncode is not None:
            return True
        ended, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if ended:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
        elif self._left_s() <= 0:
            self._kill()
        return self._process.returncode is not None

    def wait(self) -> None:
        """Wait until it ends, or has taken too long; raises Unavailable."""
        try:
            process = os.pidfd_open(self._process.pid)
        except OSError as error:
            raise Unavailable(f"py-spy cannot be waited for ({error.strerror})", "use Linux 5.3 or later") from None
        try:
            end = select.poll()
            end.register(process, select.POLLIN)
            end.poll(max(self._left_s() * 1000, 0.0))
        finally:
            os.close(process)

    def output(self) -> bytes:
        """Return what it printed, when it has ended; where it failed, raises Vanished, Unavailable or Malformed."""
        output = _written(self._output, MAX_OUTPUT_BYTES)
        if self._process.returncode != 0:
            failed = Failed(
                pid=self._pid,
                is_native=self._is_native,
                said=text(_written(self._errors, _MAX_ERROR_BYTES)),
                was_killed=self._process.returncode < 0,
                was_full=len(output) > MAX_OUTPUT_BYTES // 2,
            )
            raise meaning(failed)
        return output

    def written_ns(self) -> int:
        """Return the monotonic time at which it printed, which it does as soon as it has read all stacks."""
        age_ns = time.time_ns() - os.fstat(self._output).st_mtime_ns
        now_ns = time.monotonic_ns()
        return min(max(now_ns - age_ns, self._started_ns), now_ns)

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.returncode is None:
            self._kill()
        self._files.close()

    def _left_s(self) -> float:
        return TIMEOUT_S - (time.monotonic_ns() - self._started_ns) / 1e9

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _limit(self) -> None:
        space = _ADDRESS_SPACE_NATIVE if self._is_native else _ADDRESS_SPACE
        with suppress(OSError):  # it has ended already
            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (space, space))
            resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))

    def _room(self, size: int) -> int:
        """Return a file in memory that can hold so much, and never more; it is closed with the run."""
        file = os.memfd_create("perfwatch py-spy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._files.callback(os.close, file)
        os.ftruncate(file, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        return file


@cache
def find_py_spy() -> Path:
    """Return the program that was installed with perfwatch; raises Unavailable. PATH may lead anywhere."""
    beside = Path(sys.executable).parent / _PROGRAM
    for path in (beside, *_installed()):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise Unavailable("py-spy is not installed", "pip install py-spy")


def _installed() -> list[Path]:
    try:
        files = importlib.metadata.files(_PROGRAM) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(file.locate()) for file in files if file.name == _PROGRAM]


def _written(file: int, size: int) -> bytes:
    """Return what was written to a file by another process, which shares its position."""
    return os.pread(file, min(os.lseek(file, 0, os.SEEK_CUR), size), 0)
