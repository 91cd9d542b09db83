"""A thread's timeline between two moments, booked: what ran, what waited for a CPU, what slept in which bucket.

What is booked adds up to at most the time between the two. Of an interval in which the thread both slept and ran, the
sleep belongs to the state before or after; where these differ, half to each, and where only one of them lies inside
the request, to that one. Sleep between two sightings of a running thread is left unaccounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.probes.records import BUCKETS, Peer, Wait
from perfwatch.probes.sampled.timeline import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.probes.sampled.states import State
    from perfwatch.probes.sampled.timeline import Timeline

MAX_WAITS: Final = 512
SHORTEST_WAIT_NS: Final = 20_000_000
"""Shorter ones are not told: two readings."""
_PLACE: Final = {bucket: place for place, bucket in enumerate(BUCKETS)}
_ON_CPU, _RUN_QUEUE = _PLACE["on_cpu"], _PLACE["run_queue"]


class Booked(msgspec.Struct, frozen=True):
    """A ledger, and the waits that it is made of."""

    booked_ns: tuple[int, ...]
    waits: tuple[Wait, ...]
    """Those of `SHORTEST_WAIT_NS` or more, in order."""
    waits_lost: int
    peers: tuple[Peer, ...]


def common(ledgers: Sequence[Booked]) -> Booked:
    """Return what all ledgers have in common: whosever is the right one, so much of each bucket is certain."""
    booked_ns = tuple(map(min, zip(*(ledger.booked_ns for ledger in ledgers), strict=True)))
    peers = {
        address: Peer(address, min(peer.wait_ns for peer in found), min(peer.waits for peer in found))
        for address in {peer.address for peer in ledgers[0].peers}
        if len(found := [peer for ledger in ledgers for peer in ledger.peers if peer.address == address])
        == len(ledgers)
    }
    return Booked(booked_ns, (), 0, tuple(peers.values()))


class Book:
    """Adds up one thread's time between two moments."""

    def __init__(
        self,
        is_rest: Callable[[State], bool],
        is_own: Callable[[State], bool] = lambda _: False,
        is_unclear: Callable[[State], bool] = lambda _: False,
    ) -> None:
        """`is_rest` says of a state that the thread waits for work in it, `is_own` that it is booked all the same.

        `is_unclear`: whether it waits for work is not to be known; it is booked nowhere.
        """
        self._is_rest = is_rest
        self._is_own = is_own
        self._is_unclear = is_unclear
        self.rest_ns = 0
        """Time at rest: it is booked nowhere."""
        self._ns = [0] * len(BUCKETS)
        self._stretches: list[tuple[int, int, State]] = []  # start, length, state

    def add(self, timeline: Timeline, start_ns: int, end_ns: int) -> None:
        """Book what lies between two moments."""
        for from_ns, to_ns, what in timeline.between(start_ns, end_ns):
            if isinstance(what, Interval):
                self._interval(what, from_ns, to_ns)
            else:
                self._slept(what, from_ns, to_ns - from_ns)

    def _interval(self, interval: Interval, from_ns: int, to_ns: int) -> None:
        room_ns, length_ns = to_ns - from_ns, interval.end_ns - interval.start_ns
        begins, ends = from_ns > interval.start_ns, to_ns < interval.end_ns
        run_ns, wait_ns = interval.run_ns, interval.wait_ns
        if (begins and not self._is_rest(interval.before)) or (ends and not self._is_rest(interval.after)):
            run_ns, wait_ns = run_ns * room_ns // length_ns, wait_ns * room_ns // length_ns  # others' too
        run_ns = min(run_ns, room_ns)
        wait_ns = min(wait_ns, room_ns - run_ns)
        self._ns[_ON_CPU] += run_ns
        self._ns[_RUN_QUEUE] += wait_ns
        slept_ns = room_ns - run_ns - wait_ns
        before = None if begins else interval.before
        after = None if ends else interval.after
        self._split(before, after, from_ns, to_ns, slept_ns)

    def _split(self, before: State | None, after: State | None, from_ns: int, to_ns: int, slept_ns: int) -> None:
        first = before if before and not before.is_running else None
        last = after if after and not after.is_running else None
        if first and last and not first.same_as(last):
            half_ns = slept_ns // 2
            self._slept(first, from_ns, half_ns)
            self._slept(last, to_ns - (slept_ns - half_ns), slept_ns - half_ns)
        elif first:
            self._slept(first, from_ns, slept_ns)
        elif last:
            self._slept(last, to_ns - slept_ns, slept_ns)

    def _slept(self, state: State, start_ns: int, length_ns: int) -> None:
        if length_ns <= 0 or state.bucket is None or state.is_running:
            return
        if self._is_rest(state) and not self._is_own(state):
            self.rest_ns += length_ns
            return
        if self._is_unclear(state):
            return
        self._ns[_PLACE[state.bucket]] += length_ns
        self._stretches.append((start_ns, length_ns, state))

    def balance(self, queue_ns: int = 0) -> Booked:
        """Return the ledger."""
        booked = list(self._ns)
        booked[_PLACE["queue"]] += queue_ns
        waits, lost = self._waits()
        return Booked(tuple(booked), waits, lost, self._peers())

    def _merged(self) -> list[tuple[int, int, State]]:
        """Stretches of the same wait on both sides of a reading are one wait."""
        merged: list[tuple[int, int, State]] = []
        for start_ns, length_ns, state in self._stretches:
            if merged and merged[-1][2].same_as(state):
                first_ns, so_far_ns, _ = merged[-1]
                merged[-1] = (first_ns, so_far_ns + length_ns, state)
            else:
                merged.append((start_ns, length_ns, state))
        return merged

    def _waits(self) -> tuple[tuple[Wait, ...], int]:
        waits = [
            Wait(start_ns, length_ns, 0, state.bucket, state.call, state.detail, state.peer, None)
            for start_ns, length_ns, state in self._merged()
            if length_ns >= SHORTEST_WAIT_NS and state.bucket is not None
        ]
        return tuple(waits[:MAX_WAITS]), max(len(waits) - MAX_WAITS, 0)

    def _peers(self) -> tuple[Peer, ...]:
        by_address: dict[str, Peer] = {}
        for _, length_ns, state in self._merged():
            if state.bucket == "calls" and state.peer:
                before = by_address.get(state.peer, Peer(state.peer, 0, 0))
                by_address[state.peer] = Peer(state.peer, before.wait_ns + length_ns, before.waits + 1)
        return tuple(by_address.values())
