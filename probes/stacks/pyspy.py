"""py-spy beside perfwatch: names and stacks of one process's threads at one moment.

`py-spy dump --nonblocking` reads the target's memory while that runs on; nothing is traced or stopped, and what moves
meanwhile may be read torn. With native frames it is another matter: then py-spy stops all threads by ptrace(2), for 0.1
to 0.5 s; only for a user who asked for it by name. Were py-spy killed then, the kernel would let the threads run on.

A dump costs 10 ms of CPU and is there after 20 to 50 ms: it is started by one reading, and collected by a later one.
Needs ptrace(2) rights: the same user, and where Yama's ptrace_scope is 1 CAP_SYS_PTRACE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.thread_ids import ThreadIds
from perfwatch.probes.stacks.pyspy_dump import DumpedThread, parse_dump
from perfwatch.probes.stacks.pyspy_run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.frames import Frame


class SpiedThread(NamedTuple):
    """One thread as py-spy saw it."""

    tid: int | None
    """In the PID namespace of perfwatch; None where it could not be told."""
    name: str | None
    """In Python; None of a thread that `threading` does not know. Untrusted."""
    holds_gil: bool
    is_active: bool | None
    """Whether it ran; None where py-spy did not look."""
    frames: tuple[Frame, ...]
    """The innermost first, at most `pyspy_dump.MAX_DEPTH`."""
    root: Frame | None
    """The outermost frame; it is the last of `frames`, if those are all. None without any."""


class Dump(NamedTuple):
    """All threads of a process."""

    read_ns: int
    """When their stacks were read; monotonic."""
    cpu_ns: int
    """What it cost."""
    threads: tuple[SpiedThread, ...]


class PySpy:
    """py-spy on one process, one dump at a time. A context manager, or to be closed."""

    def __init__(self, pid: int, *, is_native: bool = False) -> None:
        """`is_native`: with frames of native code, which stops the process while they are read."""
        self.pid = pid
        self._is_native = is_native
        self._ids = ThreadIds(pid)
        self._run: Run | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin a dump; one that is under way is ended. Raises Unavailable. Takes 2 ms."""
        self.close()
        self._run = Run(self.pid, is_native=self._is_native)

    def collect(self) -> Dump | None:
        """Return the dump that was started; None while it is not done. Raises Vanished, Unavailable or Malformed."""
        if self._run is None or not self._run.has_ended():
            return None
        run, self._run = self._run, None
        with run:
            threads = parse_dump(run.output())
            return Dump(run.written_ns(), run.cpu_ns, self._translated(threads))

    def dump(self) -> Dump:
        """Make a dump, and wait for it; raises as `start` and `collect`."""
        self.start()
        while self._run is not None:
            self._run.wait()
            if (found := self.collect()) is not None:
                return found
        raise Malformed(f"py-spy was ended while it read process {self.pid}")

    def close(self) -> None:
        """End what is under way; may be called again."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _translated(self, threads: Sequence[DumpedThread]) -> tuple[SpiedThread, ...]:
        """Find the numbers of threads here; where py-spy tells none, or one of no thread, by their pthread_t."""
        tids = self._ids.by_inner()
        untold = [thread.pthread for thread in threads if thread.inner_tid not in tids]
        by_pthread = self._ids.by_pthread(untold) if untold else {}
        return tuple(
            SpiedThread(
                tids.get(thread.inner_tid or 0) or by_pthread.get(thread.pthread),
                thread.name,
                thread.holds_gil,
                thread.is_active,
                thread.frames,
                thread.root,
            )
            for thread in threads
        )
