"""Timelines of imaginary threads, made by the same calls as those of real ones: for tests of what is made of them."""

from __future__ import annotations

from perfwatch.probes.sampled.pools import Pool
from perfwatch.probes.sampled.reading import Thread
from perfwatch.probes.sampled.rests import SLEEPS, Rests
from perfwatch.probes.sampled.states import RUNNING, State
from perfwatch.probes.sampled.timeline import Timeline

MS = 1_000_000
PID = 4312


def pool():
    """A worker of a pool waits for work."""
    return State("lock", "futex", "0x1000", (202, 900, 0x1000))


def lock():
    return State("lock", "futex", "0x2000", (202, 700, 0x2000))


def nap():
    return State("sleep", "clock_nanosleep", None, (230, 700, 1))


def gil():
    return State("gil", "futex", "0xf00", (202, 650, 0xF00))


def call(peer="10.0.0.5:5432"):
    state = State("calls", "recvfrom", None, (45, 600, 9))
    state.peer = peer
    return state


def reading(local="127.0.0.1:8000", remote="127.0.0.1:4000"):
    """A thread waits for the next request on its own connection."""
    state = State("receive", "recvfrom", None, (45, 900, 7))
    state.connections = ((local, remote),)
    state.waits_for_work = True
    return state


def sending(local="127.0.0.1:8000", remote="127.0.0.1:4000"):
    """A thread waits for its client to take more of an answer."""
    state = State("send", "sendto", None, (44, 800, 7))
    state.connections = ((local, remote),)
    return state


def loop(*connections):
    state = State("receive", "epoll_wait", None, (232, 900, 5))
    state.connections = connections
    state.waits_for_work = state.is_loop = state.accepts = True
    return state


def timeline(first, *changes, born_ms=0):
    """`changes`: (time of the reading in ms, run in ms, state then); readings are 10 ms apart."""
    made = Timeline(born_ms * MS, first)
    for at_ms, run_ms, state in changes:
        made.change(round((at_ms - 10) * MS), round(at_ms * MS), round(run_ms * MS), 0, state)
    return made


def thread(tid, first, *changes, rests=(), pid=PID):
    """A thread that was seen to rest in some states."""
    made = Thread(pid, tid, None, Rests(Pool()))
    made.timeline = timeline(first, *changes)
    for state in (first, *(change[2] for change in changes)):
        made.rests.see(state)
    for state in rests:
        made.rests._places[state.place] = SLEEPS
    return made


__all__ = [
    "MS",
    "PID",
    "RUNNING",
    "call",
    "gil",
    "lock",
    "loop",
    "nap",
    "pool",
    "reading",
    "sending",
    "thread",
    "timeline",
]
