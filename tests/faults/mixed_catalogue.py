"""More labelled faults: on further servers and versions, mixed with innocents, two at once, traps, and none at all."""

from __future__ import annotations

import dataclasses
import functools

import equipped
import serving
import serving_loops
from faults import surroundings
from faults.catalogue import (
    CAPACITY,
    CONCURRENCY,
    DISK,
    EFFICIENCY,
    GTHREAD,
    HOGGED,
    PEER,
    SLOW_READER,
    SLOW_UPLOAD,
    SYNC,
    THREADING,
    clients,
)
from faults.labelled import TWINS, UNMENDED, Case, Mend, healthy
from faults.loop_catalogue import (
    AWAITS,
    BURNS,
    CHATTY,
    CONNECTING,
    LOCK,
    NAPS,
    PERMIT,
    PG,
    SECURE,
    SECURED,
    SLEEPS,
    TRANSFER,
    WEB,
    Party,
    depends,
    does,
    keeps_loop,
    waits,
)

WAITRESS = functools.partial(serving_loops.waitress, threads=8)
BUSY_WAITRESS = serving_loops.waitress
FLASK = functools.partial(serving.gunicorn, "flask_faulty:app")
FLASK_OWN = functools.partial(serving_loops.script, "flask_faulty.py")
DJANGO = functools.partial(serving.gunicorn, "django_faulty:app")
CHEROOT = functools.partial(serving_loops.script, "cheroot_faulty.py")
GEVENT = serving_loops.gunicorn_gevent
UVICORN = serving_loops.uvicorn
UVLOOP = functools.partial(UVICORN, loop="uvloop", http="httptools")
AIOHTTP = functools.partial(serving_loops.script, "looping_aiohttp.py")
TORNADO = functools.partial(serving_loops.script, "looping_tornado.py")
HYPERCORN = serving_loops.hypercorn
INNOCENT = healthy("/fast/{n}")


def old(version, serve, *arguments, **how):
    """Return a server under another version of Python, which is made when it is first needed."""

    def started(**more):
        return serve(*arguments, python=equipped.equipped(version), **how, **more)

    return started


def plain(version):
    """Return the faulty server under http.server in another version."""

    def started(**more):
        return serving.http_server(python=serving.interpreters().get(version, "none"), **more)

    return started


def computes(path, mechanism="cpu", count=1, pause_s=0.02):
    return does(path, EFFICIENCY, mechanism, "on_cpu", "cpu", count=count, pause_s=pause_s)


def lacks(path, mechanism, bucket, kind=None, *, named=None, count=1, pause_s=0.02):
    return does(path, CAPACITY, mechanism, bucket, kind, named=named, count=count, pause_s=pause_s)


def guarded(by, *truth, named=None):
    """Return a holder of a lock that is slow for a reason of its own, whoever waits for it, and an innocent."""
    holder = does(f"/{by}/{{n}}?ms=70", *truth, named=named, pause_s=0.05)
    return (holder, waits("/guarded/{n}", "lock", "lock", "lock", holder.route, count=3), INNOCENT)


def second(party, mechanism, kind):
    return dataclasses.replace(party, second=(mechanism, kind))


SLEEP, CPU = does("/sleep/{n}?ms=60", EFFICIENCY, "sleep", "sleep", count=2), computes("/cpu/{n}?ms=50")
GC = computes("/garbage/{n}?ms=80", "gc")
HELD = (
    does("/refresh/{n}?ms=90", EFFICIENCY, "sleep", "sleep", pause_s=0.05),
    waits("/lock/{n}", "lock", "lock", "lock", "/refresh/{}", count=3),
)
CALL = lacks("/call-timeout/{n}?ms=70", "dependency", "calls", named="FAULTY_PEER", count=2)
FLUSH = lacks("/fsync/{n}?ms=80", "disk", "disk", named="HOG")
FAULTING = lacks("/major-fault/{n}?ms=80", "memory", "fault")
UPLOAD = Party(SLOW_UPLOAD, CAPACITY, "network", "receive", "receive")
DOWNLOAD = Party(SLOW_READER, CAPACITY, "network", "send", "outside")
GIL = (Party(clients("/cpu/{n}?ms=120", 4, 0), CONCURRENCY, "gil", "gil", "gil"),)
QUEUED = (
    does("/sleep/{n}?ms=60", EFFICIENCY, "sleep", "sleep", pause_s=0.01),
    waits("/fast/{n}", "queue", "queue", "outside"),
)
OVERRUN = (Party(clients("/sleep/{n}?ms=40", 8, 0.01), CONCURRENCY, "queue", "queue", "outside"),)
SQUEEZED = (lacks("/cpu/{n}?ms=15", "run-queue", "run_queue", named="NEIGHBOUR", pause_s=0.01),)
THROTTLED = (lacks("/cpu/{n}?ms=30", "throttle", "run_queue", pause_s=0.01),)
BURNT = (lacks("/burn/{n}?ms=15", "run-queue", "run_queue", named="NEIGHBOUR", pause_s=0.01),)
COLLECTS = keeps_loop("/collect/{n}?ms=60", EFFICIENCY, "gc", "on_cpu", "cpu")
GATHERS = (depends("/gather/{n}?ms=60", "FAULTY_WEB"),)

SERVERS = {
    "sync": SYNC,
    "waitress": WAITRESS,
    "flask": FLASK,
    "flask-own": FLASK_OWN,
    "django": DJANGO,
    "cheroot": CHEROOT,
    "http-server": THREADING,
    "3.8": plain("3.8"),
    "3.9": plain("3.9"),
    "3.10": plain("3.10"),
    "3.12": plain("3.12"),
    "3.13": plain("3.13"),
    "waitress-3.8": old("3.8", WAITRESS),
    "waitress-3.13": old("3.13", WAITRESS),
}
ELSEWHERE = {
    "cpu": ((CPU, INNOCENT), (), "waitress django 3.8 3.13"),
    "sleep": ((SLEEP, INNOCENT), (), "flask cheroot 3.9 3.12"),
    "gc": ((GC,), (), "http-server django 3.9 3.13"),
    "gil": (GIL, (), "cheroot 3.8 3.10 3.12"),
    "lock": ((*HELD, INNOCENT), (), "django waitress 3.10 3.13 waitress-3.8"),
    "call": ((CALL, INNOCENT), PEER, "flask-own waitress 3.8 waitress-3.13"),
    "fsync": ((FLUSH, INNOCENT), HOGGED, "waitress http-server"),
    "major-fault": ((FAULTING,), DISK, "http-server sync"),
    "upload": ((UPLOAD, INNOCENT), (), "http-server cheroot"),
    "download": ((DOWNLOAD, INNOCENT), (), "http-server"),
    "chatty": ((*CHATTY, INNOCENT), (PG,), "flask"),
    "connecting": ((*CONNECTING, INNOCENT), (PG,), "django"),
    "tls": ((*SECURED, INNOCENT), (SECURE,), "waitress"),
    "transfer": ((*TRANSFER, INNOCENT), (WEB,), "http-server 3.9"),
}
OF_SERVERS = {
    "queue-waitress-busy": (
        OVERRUN,
        BUSY_WAITRESS,
        (),
        Mend("16 threads", functools.partial(BUSY_WAITRESS, threads=16)),
    ),
    "queue-sync-victims": (QUEUED, SYNC, (), Mend("16 threads", functools.partial(GTHREAD, threads=16))),
    "run-queue-django": (SQUEEZED, DJANGO, (surroundings.busy_neighbours,), Mend("no neighbours", None, ())),
    "run-queue-uvicorn": (BURNT, UVICORN, (surroundings.busy_neighbours,), Mend("no neighbours", None, ())),
    "throttle-http-server": (
        *(THROTTLED, functools.partial(surroundings.under_quota, THREADING), ()),
        Mend("no quota", THREADING),
    ),
    "throttle-waitress": (
        *(THROTTLED, functools.partial(surroundings.under_quota, WAITRESS), ()),
        Mend("no quota", WAITRESS),
    ),
}
OF_LOOPS = {
    "sleep-aiohttp": (SLEEPS, AIOHTTP, ()),
    "cpu-tornado": (BURNS, TORNADO, ()),
    "cpu-hypercorn": (BURNS, HYPERCORN, ()),
    "collect-asyncio": (COLLECTS, UVICORN, ()),
    "collect-uvloop": (COLLECTS, UVLOOP, ()),
    "nap-aiohttp": ((*NAPS, INNOCENT), AIOHTTP, ()),
    "nap-uvicorn-3.9": ((*NAPS, INNOCENT), old("3.9", UVICORN), ()),
    "nap-uvicorn-3.13": ((*NAPS, INNOCENT), old("3.13", UVICORN), ()),
    "awaited-call-aiohttp": ((*AWAITS, INNOCENT), AIOHTTP, (WEB,)),
    "awaited-call-3.12": ((*AWAITS, INNOCENT), old("3.12", UVICORN, loop="uvloop", http="httptools"), (WEB,)),
    "permit-aiohttp": ((*PERMIT, INNOCENT), AIOHTTP, ()),
    "permit-3.10": ((*PERMIT, INNOCENT), old("3.10", UVICORN), ()),
    "lock-tornado": ((*LOCK, INNOCENT), TORNADO, ()),
    "lock-3.12": ((*LOCK, INNOCENT), old("3.12", serving_loops.script, "looping_aiohttp.py"), ()),
    "cpu-uvicorn-3.8": (BURNS, old("3.8", UVICORN), ()),
}
TRAPS = {
    "lock-of-hasher": (guarded("hold-computing", EFFICIENCY, "cpu", "on_cpu", "cpu"), GTHREAD, ()),
    "lock-of-collector": (guarded("hold-collecting", EFFICIENCY, "gc", "on_cpu", "cpu")[:2], GTHREAD, ()),
    "lock-of-flusher": (guarded("hold-flushing", CAPACITY, "disk", "disk", named="HOG"), GTHREAD, HOGGED),
    "lock-of-caller": (guarded("hold-calling", CAPACITY, "dependency", "calls", named="FAULTY_PEER"), WAITRESS, PEER),
    "beside-hasher": ((does("/beside-hasher/{n}?ms=60", EFFICIENCY, "sleep", "sleep", count=2),), GTHREAD, ()),
    "beside-hasher-sync": ((does("/beside-hasher/{n}?ms=60", EFFICIENCY, "sleep", "sleep"),), SYNC, ()),
    "select-sleep": ((does("/select-sleep/{n}?ms=60", EFFICIENCY, "sleep", "sleep"), INNOCENT), GTHREAD, ()),
    "backing-off": ((does("/backing-off/{n}?ms=75", EFFICIENCY, "sleep", "sleep"), INNOCENT), GTHREAD, PEER),
    "parallel": ((lacks("/parallel/{n}?ms=60", "dependency", "calls", named="FAULTY_PEER"), INNOCENT), GTHREAD, PEER),
    "gather-asyncio": ((*GATHERS, INNOCENT), UVICORN, (WEB,)),
    "gather-aiohttp": ((*GATHERS, INNOCENT), AIOHTTP, (WEB,)),
}
TWO = {
    "sleep-and-cpu": (
        second(does("/sleep/{n}?ms=60&also=cpu:30", EFFICIENCY, "sleep", "sleep"), "cpu", "cpu"),
        GTHREAD,
        (),
    ),
    "cpu-and-sleep": (second(computes("/cpu/{n}?ms=60&also=sleep:30"), "sleep", "sleep"), DJANGO, ()),
    "call-and-sleep": (
        second(lacks("/call-timeout/{n}?ms=70&also=sleep:35", "dependency", "calls"), "sleep", "sleep"),
        *(WAITRESS, PEER),
    ),
    "sleep-and-call": (
        second(does("/sleep/{n}?ms=70&also=call-timeout:35", EFFICIENCY, "sleep", "sleep"), "dependency", "calls"),
        *(GTHREAD, PEER),
    ),
    "fsync-and-sleep": (
        second(lacks("/fsync/{n}?ms=80&also=sleep:40", "disk", "disk"), "sleep", "sleep"),
        GTHREAD,
        HOGGED,
    ),
    "gc-and-call": (second(computes("/garbage/{n}?ms=70&also=call:30", "gc"), "dependency", "calls"), THREADING, PEER),
    "cpu-and-fsync": (second(computes("/cpu/{n}?ms=90&also=fsync:35"), "disk", "disk"), plain("3.12"), ()),
    "nap-and-call": (
        second(does("/nap/{n}?ms=70&also=call:35", EFFICIENCY, "sleep", "sleep"), "dependency", "calls"),
        *(UVICORN, (WEB,)),
    ),
    "call-and-burn": (
        second(lacks("/call/{n}?ms=70&also=burn:30", "dependency", "calls"), "cpu", "cpu"),
        AIOHTTP,
        (WEB,),
    ),
    "chatty-and-nap": (
        second(does("/chatty/{n}?ms=50&also=nap:35", EFFICIENCY, "chatty", "calls"), "sleep", "sleep"),
        *(UVLOOP, (PG,)),
    ),
}
LOCKED_AND_SLEEPS = (
    HELD[0],
    second(waits("/lock/{n}?also=sleep:25", "lock", "lock", "lock", "/refresh/{}", count=3), "sleep", "sleep"),
)
SOUND = {
    "gthread": (GTHREAD, "/fast/{n}", ()),
    "sync": (SYNC, "/fast/{n}", ()),
    "waitress": (WAITRESS, "/fast/{n}", ()),
    "django": (DJANGO, "/fast/{n}", ()),
    "http-server-3.13": (plain("3.13"), "/fast/{n}", ()),
    "uvicorn": (UVICORN, "/fast/{n}", ()),
    "uvloop": (UVLOOP, "/nap/{n}?ms=4", ()),
    "aiohttp": (AIOHTTP, "/fast/{n}", ()),
    "gevent": (GEVENT, "/sleep/{n}?ms=4", ()),
    "gthread-calls": (GTHREAD, "/call-timeout/{n}?ms=4", PEER),
}
QUICK = {"lock-of-hasher", "sleep-and-call", "healthy-uvicorn", "lock-3.13", "lock-waitress"}


def _cases():
    for fault, (parties, around, names) in ELSEWHERE.items():
        for name in names.split():
            alone = SERVERS[name] is SYNC
            taking_part = tuple(one for one in parties if not (alone and one is INNOCENT))
            mend = None if fault in UNMENDED else TWINS.get(fault, Mend())
            yield Case(f"{fault}-{name}", taking_part, SERVERS[name], around, mend)
    for name, (parties, server, around, mend) in OF_SERVERS.items():
        of = parties[-1].mechanism
        yield Case(name, parties, server, around, dataclasses.replace(mend, keeps_load=True, of=of))
    for name, (parties, server, around) in (OF_LOOPS | TRAPS).items():
        yield Case(name, parties, server, around)
    for name, (party, server, around) in TWO.items():
        yield Case(name, (party,), server, around)
    yield Case("lock-and-sleep", LOCKED_AND_SLEEPS)
    for name, (server, path, around) in SOUND.items():
        for load, count, pause_s in (("light", 1, 0.05), ("busy", 4, 0.01)):
            suffix = "" if load == "light" else "-busy"
            yield Case(f"healthy-{name}{suffix}", (healthy(path, count, pause_s),), server, around, None)


CASES = tuple(dataclasses.replace(case, quick=case.name in QUICK) for case in _cases())
