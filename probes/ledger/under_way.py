"""What a request that has not ended does at this moment, and where its time went so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.ledger import accounts
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.records import BUCKETS, Bucket, OpenRequest, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.frames import Frame
    from perfwatch.probes.ledger.addresses import Address
    from perfwatch.probes.ledger.following.ways import Way

_ON_CPU: Final = BUCKETS.index("on_cpu")
_RUN_QUEUE: Final = BUCKETS.index("run_queue")
_OTHER: Final = BUCKETS.index("other")


class Now(NamedTuple):
    """A moment of a request."""

    threads: Threads
    state: Bucket
    since_ns: int
    booked_ns: tuple[int, ...]
    throttled_ns: int
    gc_ns: int
    blocked: ev.ThreadState | None
    """Its thread, where that waits for something."""
    peer: Address | None


def of_thread(event: ev.RequestEvent, thread: ev.ThreadState | None, now_ns: int) -> Now:
    """Tell it of a request that one thread serves; of another only that it is there."""
    own = thread if thread and thread.request == event.id else None
    threads = "shared" if own and own.loops else _threads(event.flags)
    state, since_ns, booked = _present(own, event, now_ns)
    is_exact = threads == "one"
    blocked = own if own and own.state == ev.BLOCKED else None
    return Now(
        threads,
        state,
        since_ns,
        accounts.with_queue(booked, event, exact=is_exact),
        (own or event).throttled_ns if is_exact else 0,
        (own or event).gc_ns if is_exact else 0,
        blocked,
        blocked.peer if blocked and blocked.peer.known else None,
    )


def of_way(way: Way, thread: ev.ThreadState | None, now_ns: int) -> Now:
    """Tell it of a request that is followed; `thread` is the loop's or the worker's that works for it, if one does."""
    works = thread if thread and not thread.idles else None
    far = way.so_far(now_ns, (*works.booked_ns, works.throttled_ns, works.gc_ns) if works else None)
    state, since_ns, peer = far.state, far.since_ns, far.peer
    if works:
        state, since_ns = _state(works), works.since_ns
    blocked = works if works and works.state == ev.BLOCKED else None
    if blocked and blocked.peer.known:
        peer = blocked.peer
    booked_ns = far.booked_ns[: len(BUCKETS)]
    return Now("followed", state, since_ns, booked_ns, far.booked_ns[ev.THROTTLED], far.booked_ns[ev.GC], blocked, peer)


def request(
    now: Now,
    event: ev.RequestEvent,
    stack: tuple[Frame, ...],
    unix_name: Callable[[bytes], str | None],
    machine: str,
) -> OpenRequest:
    """Make its record."""
    method, target = ev.parse_request_line(event.head)
    return OpenRequest(
        id=event.id,
        pid=event.pid,
        tid=event.tid,
        arrived_ns=event.arrived_ns,
        started_ns=event.started_ns,
        method=method,
        target=target,
        booked_ns=now.booked_ns,
        state=now.state,
        state_since_ns=now.since_ns,
        call=name_of(machine, now.blocked.call) if now.blocked else None,
        detail=f"{now.blocked.futex:#x}" if now.blocked and now.blocked.futex else None,
        peer=now.peer.text(unix_name) if now.peer else None,
        local=event.local.text(unix_name),
        threads=now.threads,
        throttled_ns=now.throttled_ns,
        gc_ns=now.gc_ns,
        stack=stack if now.threads in {"one", "followed"} else (),
        remote=event.remote.text(unix_name),
    )


def _present(thread: ev.ThreadState | None, event: ev.RequestEvent, now_ns: int) -> tuple[Bucket, int, tuple[int, ...]]:
    """Tell what the thread does now, since when, and its ledger with that booked up to now.

    The thread's entry is read while it changes: a figure may be of a moment earlier. Good enough for what is in flight.
    """
    if thread is None:
        return "other", event.started_ns, event.booked_ns
    booked = list(thread.booked_ns)
    state = _state(thread)
    booked[BUCKETS.index(state)] += max(now_ns - thread.since_ns, 0)
    return state, thread.since_ns, tuple(booked)


def _state(thread: ev.ThreadState) -> Bucket:
    if thread.state == ev.RUNNING:
        return BUCKETS[_ON_CPU]
    if thread.state == ev.PREEMPTED:
        return BUCKETS[_RUN_QUEUE]
    return BUCKETS[thread.bucket if thread.bucket < len(BUCKETS) else _OTHER]


def _threads(flags: int) -> Threads:
    if flags & (ev.SHARED | ev.BY_STEPS):
        return "shared"
    return "several" if flags & ev.SEVERAL else "one"
