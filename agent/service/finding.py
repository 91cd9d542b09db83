"""Which processes are there to be recorded now: a look over the host, by what was asked for."""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from perfwatch.agent.containers import seen
from perfwatch.agent.export.prometheus.whose import Name
from perfwatch.agent.service.wanted import is_wanted, names_of
from perfwatch.agent.target import python_processes
from perfwatch.probes.readers import proc

if TYPE_CHECKING:
    from collections.abc import Collection

    from perfwatch.agent.service.wanted import Wanted
    from perfwatch.agent.target import Candidate

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARS: Final = 40
FIRST_S: Final = 1.0
GROWS: Final = 1.5
SELDOM_S: Final = 30.0


class Finder:
    """Looks over the host again and again, at what is new at once, at what is old ever more seldom.

    The first look takes 20 to 200 ms, a later one a few: a process may become a server by exec, or begin to listen, at
    any time, and is looked at again after half as long as it is known, 30 s at most.
    """

    def __init__(self, wanted: tuple[Wanted, ...]) -> None:
        self._wanted = wanted
        self._known: dict[int, _Look] = {}

    def look(self, own: Collection[int] = ()) -> tuple[Candidate, ...]:
        """Return the servers that are meant, of those whose turn it is; none below another, nor one's `own`."""
        now_s = time.monotonic()
        known = {pid: self._known.get(pid, _Look(0.0, FIRST_S)) for pid in proc.processes()}
        due = {pid for pid, look in known.items() if look.due_s <= now_s}
        for pid in due:
            pause_s = known[pid].pause_s
            known[pid] = _Look(now_s + pause_s, min(pause_s * GROWS, SELDOM_S))
        self._known = known
        ask = functools.cache(seen)  # a process may be asked twice in one look
        candidates = python_processes(due | set(map(_parent, due)))
        meant = {one.pid: one for one in candidates if is_wanted(one, self._wanted, ask)}
        taken = {*own, *meant}
        return tuple(one for one in meant.values() if one.pid not in own and taken.isdisjoint(_above(one.pid)))

    def again(self, pid: int, in_s: float) -> None:
        """Look at a process again after a time."""
        self._known[pid] = _Look(time.monotonic() + in_s, FIRST_S)


class _Look(NamedTuple):
    due_s: float
    pause_s: float
    """After the one that is due."""


def label_of(candidate: Candidate) -> str:
    """Name its files: `gunicorn-8000-4312`, `shop-8000-4312` in a container."""
    return f"{name_of(candidate).server}-{candidate.pid}"


def name_of(candidate: Candidate) -> Name:
    """Name a server: `gunicorn-8000`, `shop-8000` in a container; it has the same name when it is started again.

    There is nothing in `server` that a path could mean.
    """
    container = seen(candidate.pid).container
    names = [name for name in names_of(candidate) if not name.startswith("python")]
    name = (container and container.name) or next(iter(names), "python")
    port = [one.rpartition(":")[2] for one in candidate.listeners[:1]]
    parts = [_UNFIT.sub("_", part)[:_NAME_CHARS].strip("._-") for part in (name, *port)]
    return Name("-".join(filter(None, parts)), (container and container.pod) or "")


def _above(pid: int) -> list[int]:
    """Return the PIDs above a process, the nearest first."""
    try:
        return [parent.pid for parent in psutil.Process(pid).parents()]
    except psutil.Error:
        return []


def _parent(pid: int) -> int:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return 0
