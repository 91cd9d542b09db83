"""A view of a server at work: threads that do everything a thread can do, memory that grows, a collector that ran."""

from __future__ import annotations

import coding
import msgspec
import queued
from fakes import MS, SECOND
from judging import judge_that_shows

from perfwatch.agent import model
from perfwatch.agent.model_memory import GcRun, GcRuns, Growth, HostMemory, MemoryState, ProcessMemoryUse, Room
from perfwatch.agent.model_queues import CgroupLimit, GilShare, Interpreter
from perfwatch.agent.model_threads import Stretch, TargetThread
from perfwatch.probes.frames import Frame

MIB = 1 << 20
PID = 4313
CACHE = coding.GET
HELD = (coding.native("time.sleep"), *coding.REFRESH)
WORKER = (coding.native("work_queue.get"), Frame("_worker", f"{coding.STDLIB}/concurrent/futures/thread.py", 81))
PLANTED = {
    "MainThread": ("idle", "........................................", WORKER),
    "refresher": ("sleep", "zzzzLzzzz#zzzzzzzLzzzzzzz##zzzzzzzzzzzzz", HELD),
    "worker_0": ("lock", "..LLLLL..cc..LLLLLL...LLLL##LL....LLLLLL", CACHE),
    "worker_1": ("lock", "..LLL#L..cc.....LLLL...LLL##LL....LLLLLL", CACHE),
    "worker_2": ("on_cpu", "####GG##GGG###GG#GG##G#G####GG#GG###G###", coding.HASH),
    "worker_3": ("gil", "#GG#GG##GGG###GG#GG##G#GGGG#GG#GG#G#GGGG", coding.RENDER),
    "worker_4": ("run_queue", "....RRRR###RRRR###RR##RR###R##RRRR##RRRR", coding.RENDER),
    "worker_5": ("calls", "...cccccc.....ccccccc.....ccccc....ccccc", coding.RESULT),
    "worker_6": ("disk", "...DDDD....DDDDFFFF..D....DDDDD....DDDDD", ()),
    "worker_7": ("idle", "                   .....................", WORKER),
    "unread": (None, "????????????????????????????????????????", ()),
}
LETTERS = {
    ".": "idle",
    "z": "sleep",
    "L": "lock",
    "#": "on_cpu",
    "c": "calls",
    "G": "gil",
    "R": "run_queue",
    "D": "disk",
    "F": "fault",
    "?": None,
}


def stretches(letters, now_ns):
    """One second each, up to now; blanks are what was before the thread."""
    first_ns = now_ns - len(letters) * SECOND
    return tuple(
        Stretch(first_ns + n * SECOND, first_ns + (n + 1) * SECOND, ((LETTERS[letter], SECOND),))
        for n, letter in enumerate(letters)
        if letter != " "
    )


def thread(kind, now_ns, *, tid, **changes):
    """One like the planted one of that name."""
    doing, letters, stack = PLANTED[kind]
    fields = {
        "pid": PID,
        "tid": tid,
        "name": kind,
        "doing": doing,
        "since_ns": now_ns - 391 * MS if doing == "lock" else None,
        "call": "futex" if doing in ("lock", "gil", "idle") else None,
        "cpu": letters.count("#") / len(letters),
        "wanted_cpu": letters.count("R") / len(letters),
        "gil": letters.count("#") / len(letters),
        "holds_gil": kind == "worker_2",
        "request": 7 if doing == "lock" else None,
        "serves": "POST /order/8812" if doing == "lock" else None,
        "stack": stack,
        "stack_ns": now_ns - 80 * MS if stack else None,
        "kept": (23, 7_710 * MS) if kind == "refresher" else (0, 0),
        "past": stretches(letters, now_ns),
    }
    return TargetThread(**(fields | changes))


def threads(now_ns):
    return tuple(thread(name, now_ns, tid=PID + place) for place, name in enumerate(PLANTED))


def deadlock(now_ns):
    names = [f"worker_{n} (tid {PID + n + 2})" for n in range(2)]
    tids = (PID + 2, PID + 3)
    links = [
        model.Link("thread", name, "lock", 0.0, CACHE[0], pid=PID, tid=tid)
        for name, tid in zip(names, tids, strict=True)
    ]
    return model.Deadlock(tuple(links), now_ns - 42 * SECOND)


def growing(now_ns, rate=0.2, base=300, count=120):
    """(at_ns, bytes): so many mebibytes more each second."""
    return tuple((now_ns - (count - n) * SECOND, round((base + n * rate) * MIB)) for n in range(count))


def process(pid, now_ns, *, rate=0.0, base=300, **changes):
    past = growing(now_ns, rate, base)
    found = Growth(rate * 60 * MIB, rate * 55 * MIB, rate * 65 * MIB, 119 * SECOND) if rate else None
    fields = {
        "pid": pid,
        "rss_bytes": past[-1][1],
        "pss_bytes": None,
        "uss_bytes": past[-1][1] - 40 * MIB,
        "swap_bytes": 0,
        "virtual_bytes": 1 << 30,
        "minor_faults_s": 52.0 + rate,
        "major_faults_s": 1.4 if rate else 0.0,
        "growth": found,
        "past": past,
    }
    return ProcessMemoryUse(**(fields | changes))


def memory(now_ns):
    grown = process(PID, now_ns, rate=0.2)
    host = HostMemory(8 << 30, 3 << 30, 2 << 30, 1 << 30, 1.2e6, 12.4, 3.1, 1)
    room = Room("/shop.service", 100 * MIB, 512 * MIB, 500.0)
    return MemoryState((grown, process(PID + 1, now_ns, base=60)), growing(now_ns, 0.2, 360), grown.growth, host, room)


def gc_run(now_ns, ago_ms, paused_ms, **changes):
    fields = {
        "started_ns": now_ns - round(ago_ms * MS),
        "paused_ns": round(paused_ms * MS),
        "pid": PID,
        "tid": PID + 3,
        "thread": "worker_1",
        "generation": 0,
        "collected": 776,
        "request": None,
        "serves": None,
        "source": "probe",
    }
    return GcRun(**(fields | changes))


def gc_runs(now_ns):
    full = gc_run(now_ns, 1_400, 210, generation=2, collected=48_000, request=7, serves="GET /search")
    guessed = gc_run(now_ns, 300, 20, tid=None, thread=None, generation=None, collected=None, source="polled")
    newest = (full, *(gc_run(now_ns, 900 - n * 50, 0.1 + n / 10) for n in range(10)), guessed)
    return GcRuns(newest, tuple(sorted(newest, key=lambda one: -one.paused_ns)))


def interpreter(**changes):
    holders = (GilShare(PID + 4, "worker_2", 0.6), GilShare(PID + 5, "worker_3", 0.2))
    fields = {
        "pid": PID,
        "version": "3.12.4",
        "gil_held": 0.8,
        "gil_handoffs_s": 190.0,
        "holders": holders,
        "gc_pauses_s": 12.3,
        "gc_longest_ms": 210.0,
        "gc_share": 0.021,
        "gc_thresholds": (700, 10, 10),
        "gc_collections": (111, 11, 1),
        "gc_collected": 95_000,
    }
    return Interpreter(**(fields | changes))


def limit():
    return CgroupLimit("/shop.service", None, None, None, None, 412 * MIB, 512 * MIB, 3, 0)


def at_work(view, **changes):
    """A view with all of it."""
    now_ns = view.now_ns
    told = {"interpreters": (interpreter(),), "cgroups": (limit(),)}
    fields = {
        "threads": threads(now_ns),
        "memory": memory(now_ns),
        "gc_runs": gc_runs(now_ns),
        "queues": msgspec.structs.replace(view.queues, **told),
        "queues_overall": msgspec.structs.replace(view.queues_overall, **told),
        "deadlocks": (deadlock(now_ns),),
    }
    return msgspec.structs.replace(view, **(fields | changes))


def judge(**changes):
    """A correlator whose views are of such a server."""
    return judge_that_shows(lambda view: at_work(view, **changes))


def poisoned_parts(evil):
    """The same with a hostile name wherever one may come from outside."""
    now_ns = 10 * SECOND
    bad = {name: queued.poisoned(one, evil) for name, one in (("memory", memory(now_ns)), ("gc_runs", gc_runs(now_ns)))}
    frame = Frame(evil, evil, 1)
    named = {"name": evil, "serves": evil, "call": evil, "stack": (frame, frame)}
    hostile = tuple(msgspec.structs.replace(one, **named) for one in threads(now_ns))
    return {**bad, "threads": hostile}
