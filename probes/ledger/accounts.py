"""Where one request's time went, as its record tells it: by its one thread, or by its way through several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from perfwatch.probes.ledger import events as ev
from perfwatch.probes.records import BUCKETS, Culprit, Peer, Threads, Wait, Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.ledger.following.ways import Gap, Way

MAX_CULPRITS: Final = 8
LEAST_HELD_NS: Final = 500_000
SUSPENDED: Final = "suspended"
_QUEUE: Final = BUCKETS.index("queue")


class Account(msgspec.Struct, frozen=True):
    """The part of a request's record that says where its time went."""

    threads: Threads
    booked_ns: tuple[int, ...]
    peers: tuple[Peer, ...] = ()
    waits: tuple[Wait, ...] = ()
    throttled_ns: int = 0
    gc_ns: int = 0
    culprits: tuple[Culprit, ...] = ()


class Naming(NamedTuple):
    """Names of what the kernel tells by numbers."""

    unix_name: Callable[[bytes], str | None]
    head_of: Callable[[int, int], bytes]
    """First bytes of a request that is under way, by connection and id."""

    def line(self, way: Way) -> tuple[str | None, str | None]:
        """Return the method and path of a request that has ended or not."""
        if way.line is None:
            way.line = ev.parse_request_line(self.head_of(way.connection, way.id))
        return way.line


def unknown(event: ev.RequestEvent, threads: Literal["shared", "several"]) -> Account:
    """Tell only how long it was unread: all else was not its own thread's."""
    return Account(threads, with_queue((), event, exact=False))


def of_thread(event: ev.RequestEvent, waits: list[Wait], unix_name: Callable[[bytes], str | None]) -> Account:
    """Tell where the time of the one thread went that served it."""
    return Account(
        threads="one",
        booked_ns=with_queue(event.booked_ns, event, exact=True),
        peers=tuple(Peer(peer.address.text(unix_name), peer.wait_ns, peer.waits) for peer in event.peers),
        waits=tuple(wait for wait in waits if _end(wait) <= event.ended_ns),
        throttled_ns=event.throttled_ns,
        gc_ns=event.gc_ns,
    )


def of_way(way: Way, event: ev.RequestEvent, waits: list[Wait], naming: Naming) -> Account:
    """Tell where the time of a request went that was followed."""
    way.book()
    inside: list[Wait] = []
    if way.gaps or waits:
        gaps = [_wait(gap, naming) for gap in way.gaps]
        inside = sorted((wait for wait in (*gaps, *waits) if _end(wait) <= event.ended_ns), key=_start)
    booked = way.booked_ns[: len(BUCKETS)]
    if event.arrived_ns:  # it may have waited behind another one of its connection
        booked[_QUEUE] += max(way.began_ns - event.arrived_ns, 0)
    return Account(
        threads="followed",
        booked_ns=tuple(booked),
        peers=_peers(way, waits, naming) if way.peers or waits else (),
        waits=tuple(inside),
        throttled_ns=way.booked_ns[ev.THROTTLED],
        gc_ns=way.booked_ns[ev.GC],
        culprits=_culprits(way, naming) if way.keepers else (),
    )


def with_queue(booked_ns: tuple[int, ...], event: ev.RequestEvent, *, exact: bool) -> tuple[int, ...]:
    """Add the time in the queue to the thread's ledger; where the thread was not its own, there is nothing else."""
    booked = list(booked_ns) if exact else [0] * len(BUCKETS)
    booked[_QUEUE] = event.started_ns - event.arrived_ns if event.arrived_ns else 0
    return tuple(booked)


def _peers(way: Way, waits: list[Wait], naming: Naming) -> tuple[Peer, ...]:
    """Sum up whom it waited for: between its stretches, and blocked in a loop or a worker."""
    waited = [(peer.text(naming.unix_name), ns, count) for peer, (ns, count) in way.peers.items()]
    waited += [(wait.peer, wait.blocked_ns, 1) for wait in waits if wait.peer and wait.bucket == "calls"]
    summed: dict[str, Peer] = {}
    for address, ns, count in waited:
        known = summed.get(address, Peer(address, 0, 0))
        summed[address] = Peer(address, known.wait_ns + ns, known.waits + count)
    return tuple(summed.values())


def _culprits(way: Way, naming: Naming) -> tuple[Culprit, ...]:
    held = sorted(way.keepers.items(), key=lambda one: one[1], reverse=True)[:MAX_CULPRITS]
    return tuple(
        Culprit(
            request=keeper.id if keeper else None,
            method=(line := naming.line(keeper) if keeper else (None, None))[0],
            target=line[1],
            held_ns=held_ns,
            pid=way.lane.pid,
            tid=way.lane.tid,
        )
        for keeper, held_ns in held
        if held_ns >= LEAST_HELD_NS and keeper is not way
    )


def _wait(gap: Gap, naming: Naming) -> Wait:
    """Make the record of a wait between two stretches."""
    lane = gap.lane
    return Wait(
        started_ns=gap.started_ns,
        blocked_ns=gap.ended_ns - gap.started_ns,
        runnable_ns=0,
        bucket=gap.bucket,
        call=None,
        detail=None if gap.is_told else SUSPENDED,
        peer=gap.peer.text(naming.unix_name) if gap.peer else None,
        waker=Waker(lane.pid, lane.tid, "", gap.keeper.id) if gap.keeper else None,
    )


def _end(wait: Wait) -> int:
    return wait.started_ns + wait.blocked_ns + wait.runnable_ns


def _start(wait: Wait) -> int:
    return wait.started_ns
