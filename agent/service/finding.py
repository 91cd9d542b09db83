"""Which processes are there to be recorded now: a look over the host, by what was asked for."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Final

import psutil

from perfwatch.agent.containers import seen
from perfwatch.agent.service.wanted import is_wanted, names_of
from perfwatch.agent.target import python_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.service.wanted import Wanted
    from perfwatch.agent.target import Candidate

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._]+")
_NAME_CHARS: Final = 40


def find(wanted: tuple[Wanted, ...]) -> tuple[Candidate, ...]:
    """Return the servers that are meant, none below another or this process; 20 to 200 ms for a host."""
    ask = functools.cache(seen)  # a process may be asked twice in one look
    meant = {one.pid: one for one in python_processes() if is_wanted(one, wanted, ask)}
    taken = {os.getpid(), *meant}
    return tuple(one for one in meant.values() if taken.isdisjoint(_above(one.pid)))


def label_of(candidate: Candidate) -> str:
    """Name its files: `gunicorn-8000-4312`, `shop-8000-4312` in a container; nothing that a path could mean."""
    container = seen(candidate.pid).container
    names = [name for name in names_of(candidate) if not name.startswith("python")]
    name = (container and container.name) or next(iter(names), "python")
    port = [one.rpartition(":")[2] for one in candidate.listeners[:1]]
    parts = [_UNFIT.sub("_", part)[:_NAME_CHARS].strip("._") for part in (name, *port)]
    return "-".join((*filter(None, parts), str(candidate.pid)))


def _above(pid: int) -> Iterator[int]:
    """Yield the PIDs above a process."""
    try:
        for parent in psutil.Process(pid).parents():
            yield parent.pid
    except psutil.Error:
        return
