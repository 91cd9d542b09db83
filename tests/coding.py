"""Hand-made records of what the Python code of a shop did: stacks, the interpreter lock, the collector."""

from __future__ import annotations

import making as m

from perfwatch.probes.frames import (
    Frame,
    GcPause,
    Generation,
    GilHold,
    PythonSample,
    StackSample,
    ThreadName,
    ThreadStacks,
)

SITE = "/srv/venv/lib/python3.12/site-packages"
STDLIB = "/usr/local/lib/python3.12"
SERVER = (
    Frame("Flask.dispatch_request", f"{SITE}/flask/app.py", 902),
    Frame("ThreadWorker.handle", f"{SITE}/gunicorn/workers/gthread.py", 271),
    Frame("_WorkItem.run", f"{STDLIB}/concurrent/futures/thread.py", 58),
    Frame("Thread.run", f"{STDLIB}/threading.py", 1010),
)


def own(function, file="views.py", line=41):
    return Frame(function, f"/srv/shop/{file}", line)


def native(function):
    return Frame(function, "", 0, is_native=True)


RENDER = (own("render"), *SERVER)
RENDER_LATER = (own("render", line=43), *SERVER)
DUMPS = (
    Frame("JSONEncoder.iterencode", f"{STDLIB}/json/encoder.py", 258),
    Frame("dumps", f"{STDLIB}/json/__init__.py", 231),
    *RENDER,
)
HASH = (native("hashlib.pbkdf2_hmac"), own("login", "auth.py", 12), *SERVER)
GET = (own("Cache.get", "cache.py", 61), own("order"), *SERVER)
REFRESH = (own("refresh_cache", "cache.py", 88), Frame("Thread.run", f"{STDLIB}/threading.py", 1010))
RESULT = (
    Frame("Condition.wait", f"{STDLIB}/threading.py", 355),
    Frame("Future.result", f"{STDLIB}/concurrent/futures/_base.py", 451),
    own("gather", "jobs.py", 9),
    *SERVER,
)


def at(ms):
    return m.START + round(ms * m.MS)


def sighted(at_ms, *samples, stacks, pid=4313):
    """Threads of a process as they were read from outside: (ms, tid, place of the stack, whether it holds the GIL)."""
    read = tuple(StackSample(at(ms), tid, stack, holds_gil) for ms, tid, stack, holds_gil in samples)
    return ThreadStacks(at(at_ms), pid, "memory", stacks, read)


def pause(started_ms, ms, *, tid=4313, cpu_ms=None, generation=2, request=None, source="probe", pid=4313):
    return GcPause(
        at_ns=at(started_ms + ms),
        pid=pid,
        tid=tid,
        started_ns=at(started_ms),
        paused_ns=round(ms * m.MS),
        cpu_ns=None if cpu_ms is None else round(cpu_ms * m.MS),
        generation=generation,
        request=request,
        source=source,
    )


def python(at_ms, *, readings=0, free=0, held=(), handoffs=0, collections=(0, 0, 0), collected=0, pid=4313, **fields):
    """Cumulative figures; `held` has (tid, readings), `collected` what the oldest generation freed."""
    counts = [(count, collected if number == 2 else 0) for number, count in enumerate(collections)]
    made = {
        "version": "3.11.7",
        "gc_enabled": True,
        "threads": (ThreadName(4321, "refresher"),),
    }
    return PythonSample(
        at_ns=at(at_ms),
        pid=pid,
        gil_handoffs=handoffs,
        gil_readings=readings,
        gil_free=free,
        gil_held=tuple(GilHold(tid, count) for tid, count in held),
        generations=tuple(
            Generation(threshold, 0, count, freed, 0)
            for threshold, (count, freed) in zip((700, 10, 10), counts, strict=False)
        ),
        **(made | fields),
    )
