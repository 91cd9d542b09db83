"""The planted faults: how to start and load each, what must be said of it, what proves that it is there."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import serving
from faults import surroundings

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

UPLOAD = bytes(1 << 16)
SLOW_MS = 20
GTHREAD = functools.partial(serving.gunicorn, "faulty:app")


@dataclass(frozen=True)
class Fault:
    """One fault and the verdict that is true of it."""

    name: str
    load: tuple[Endpoint, ...]
    """The first is the one that is judged."""
    principle: str
    mechanism: str | None
    bucket: str
    """Of the ledger: where most of its time must be."""
    kind: str
    """What the server clocked as the fault; `outside`: what of the latency its handler did not see."""
    around: tuple[Callable[[], AbstractContextManager[dict[str, str]]], ...] = ()
    server: Callable[..., AbstractContextManager[serving.Server]] = GTHREAD
    seconds: float = 3
    named: str | None = None
    """The environment variable whose value the evidence must name."""
    where: str = ""
    """What the summary must say of the code."""
    quick: bool = False
    """Belongs to the default run."""
    sampled: bool = True
    """The sampled fidelity names it too. Where it is False the reason stands beside it, and `unknown` is expected."""

    @property
    def route(self):
        """The judged endpoint, as a report names it."""
        return self.load[0].call.path.partition("?")[0].replace("{n}", "{}")


def clients(path, count=2, pause_s=0.02):
    return Endpoint(Call(path), clients=count, pause_s=pause_s)


LOCKED = (clients("/lock/{n}", 3), clients("/refresh/{n}?ms=120", 1, pause_s=0.05))
FLOCKED = (clients("/flock/{n}", 3), clients("/flock-hold/{n}?ms=120", 1, pause_s=0.05))
SLOW_UPLOAD = Endpoint(Call("/upload/{n}", "POST", UPLOAD, upload_s=0.2), clients=2, pause_s=0.02)
SLOW_READER = Endpoint(Call("/download/{n}", download_s=0.3), clients=2, pause_s=0.02)
THREADING = functools.partial(serving.http_server)
SYNC = functools.partial(serving.gunicorn, "faulty:app", worker_class="sync")
PEER = (surroundings.slow_service,)
DISK = (surroundings.disk_directory,)
HOGGED = (surroundings.disk_directory, surroundings.disk_hogs)
CAPACITY, CONCURRENCY, EFFICIENCY = "capacity", "concurrency", "efficiency"
CALL = functools.partial(
    Fault,
    principle=CAPACITY,
    mechanism="dependency",
    bucket="calls",
    kind="calls",
    around=PEER,
    named="FAULTY_PEER",
)
LOCK = functools.partial(Fault, principle=CONCURRENCY, mechanism="lock", bucket="lock", kind="lock")
CPU = functools.partial(Fault, principle=EFFICIENCY, mechanism="cpu", bucket="on_cpu", kind="cpu")

FAULTS = (
    LOCK("lock", LOCKED, where="a lock held by refresh() at planted.py:", quick=True),
    LOCK("flock", FLOCKED, where="a lock held by flock_hold() at planted.py:", around=DISK),
    LOCK("lock-http-server", LOCKED, where="a lock held by refresh() at planted.py:", server=THREADING),
    LOCK("kept-lock", (clients("/kept-lock/{n}?ms=60", 3),), where="a lock held by _keep() at coding.py:"),
    Fault(
        "sleep",
        (clients("/sleep/{n}"),),
        *(EFFICIENCY, "sleep", "sleep", "sleep"),
        where="is sleep in sleep() at planted.py:",
    ),
    CPU("cpu", (clients("/cpu/{n}?ms=60", 1),), where="in burn() at planted.py:", quick=True),
    CPU("password", (clients("/password/{n}?ms=60", 1),), where=" › hashlib.pbkdf2_hmac"),
    CPU("regex", (clients("/regex/{n}?ms=60", 1),), where="in regex() at coding.py:"),
    CPU("sort", (clients("/sort/{n}?ms=200", 1),), where=" › sorted"),
    CPU("garbage", (clients("/garbage/{n}?ms=80", 1),), mechanism="gc", where="in garbage() at coding.py:", quick=True),
    Fault("gil", (clients("/cpu/{n}?ms=150", 4, 0),), CONCURRENCY, "gil", "gil", "gil", quick=True),
    Fault("gil-own-threads", (clients("/gil/{n}?ms=120", 1),), CONCURRENCY, "gil", "gil", "gil"),
    Fault(
        "gil-http-server",
        (clients("/cpu/{n}?ms=150", 4, 0),),
        CONCURRENCY,
        "gil",
        "gil",
        "gil",
        server=THREADING,
    ),
    Fault(
        "fsync-disk-hog", (clients("/fsync/{n}", 2),), CAPACITY, "disk", "disk", "disk", HOGGED, named="HOG", quick=True
    ),
    Fault(
        "fsync-journal",
        (clients("/fsync/{n}", 2),),
        CAPACITY,
        "disk",
        "disk",
        "disk",
        (surroundings.journalled_mount,),
    ),
    Fault(
        "major-fault",
        (clients("/major-fault/{n}", 1),),
        *(CAPACITY, "memory", "fault", "fault"),
        around=DISK,
        where="in major_fault() at planted.py:",
    ),
    CALL("call", (clients("/call/{n}"),), where="in _call() at planted.py:"),
    CALL("call-timeout", (clients("/call-timeout/{n}"),), where="in _call() at planted.py:", quick=True),
    CALL("call-select", (clients("/call-select/{n}"),), where="in <lambda> at planted.py:"),
    CALL("call-epoll", (clients("/call-epoll/{n}"),), where="in wait() at planted.py:"),
    CALL("call-unix", (clients("/call-unix/{n}"),), named="FAULTY_PEER_UNIX"),
    CALL("postgres", (clients("/postgres/{n}"),), around=(surroundings.postgres,), named="PG"),
    Fault("child", (clients("/child/{n}"),), CAPACITY, "dependency", "child", "child"),
    Fault("child-pipe", (clients("/child-pipe/{n}"),), CAPACITY, "dependency", "child", "child"),
    Fault("slow-uploader", (SLOW_UPLOAD,), CAPACITY, "network", "receive", "receive"),
    Fault("slow-reader", (SLOW_READER,), CAPACITY, "network", "send", "outside", quick=True),
    Fault(
        "run-queue",
        (clients("/cpu/{n}?ms=15", 1, 0.01),),
        *(CAPACITY, "run-queue", "run_queue", "run_queue"),
        around=(surroundings.busy_neighbours,),
        named="NEIGHBOUR",
    ),
    Fault(
        "throttle",
        (clients("/cpu/{n}?ms=30", 1, 0.01),),
        *(CAPACITY, "throttle", "run_queue", "run_queue"),
        server=functools.partial(surroundings.under_quota, SYNC),
        quick=True,
    ),
    Fault(
        "queue",
        (clients("/sleep/{n}?ms=20", 8, 0),),
        CONCURRENCY,
        "queue",
        "queue",
        "outside",
        server=SYNC,
        quick=True,
    ),
)
