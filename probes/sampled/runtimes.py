"""Where the interpreter lock of each process lies: looked for once, and again while a program is still being loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from perfwatch.probes.readers.interpreter import Interpreter

AGAIN_NS: Final = 500_000_000
SEARCH_NS: Final = 30_000_000_000


class Runtimes:
    """Keeps what `interpreter_of` found."""

    def __init__(self, interpreter_of: Callable[[int], Interpreter | None]) -> None:
        self._interpreter_of = interpreter_of
        self._found: dict[int, tuple[int, int]] = {}
        self._searched: dict[int, tuple[int, int]] = {}  # next look, last look

    def get(self, pid: int) -> tuple[int, int] | None:
        """Return it, at no cost; None for a process without one."""
        return self._found.get(pid)

    def look(self, now_ns: int, pids: Collection[int], executed: Collection[int]) -> None:
        """Look into the processes that are new, or run another program now."""
        for pid in executed:
            self._found.pop(pid, None)
            self._searched.pop(pid, None)
        for gone in (self._found.keys() | self._searched.keys()) - set(pids):
            self._found.pop(gone, None)
            self._searched.pop(gone, None)
        for pid in pids:
            if pid not in self._found:
                self._search(pid, now_ns)

    def _search(self, pid: int, now_ns: int) -> None:
        next_ns, last_ns = self._searched.get(pid, (now_ns, now_ns + SEARCH_NS))
        if next_ns > now_ns or now_ns > last_ns:
            return
        found = self._interpreter_of(pid)
        if found:
            self._found[pid] = found.runtime
            self._searched.pop(pid, None)
        else:
            self._searched[pid] = (now_ns + AGAIN_NS, last_ns)
