"""What the threads of one process tell of each other's rest: the workers of a pool wait for work on the same address.

call   stack          address
futex  0x7fc5025fd950 0x55dc0494a430    waits for work: there is no wait further out
futex  0x7fc5025fd8a0 0x7f87efb4e6f4    and for the interpreter lock, to look for more
futex  0x7fc5025fd750 0x55dc04911e6d    a request waits for a lock of the program's
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.probes.sampled.states import Place, State

MAX_PLACES: Final = 64
MAX_WAITERS: Final = 64
FEWEST_WAITERS: Final = 2


class Waiter:
    """How far out in its program one thread was seen waiting."""

    __slots__ = ("_first_stack", "outermost", "outermost_lock")

    def __init__(self) -> None:
        self._first_stack = 0
        self.outermost = 0
        """The highest stack pointer that it was seen asleep with."""
        self.outermost_lock = 0
        """The same, of its waits for a lock other than the interpreter's: how its outermost loop waits."""

    def see(self, state: State) -> None:
        """Take note of a sleep. The first for the interpreter lock says nothing: a new thread waits before its loop."""
        if state.place is None or state.bucket is None:
            return
        stack = state.place[1]
        self._first_stack = self._first_stack or stack
        if state.bucket == "lock":
            self.outermost_lock = max(self.outermost_lock, stack)
        if state.bucket != "gil" or stack != self._first_stack:
            self.outermost = max(self.outermost, stack)


class Pool:
    """The waits for locks of all threads of one process, by call and address."""

    def __init__(self) -> None:
        self._rests: Counter[tuple[int, int]] = Counter()
        self._waiters: dict[tuple[int, int], dict[Waiter, int]] = {}

    def see(self, waiter: Waiter, state: State) -> None:
        """Take note of a state that a thread was seen in."""
        waiter.see(state)
        if state.bucket != "lock" or state.place is None:
            return
        call, stack, address = state.place
        if (call, address) in self._waiters or len(self._waiters) < MAX_PLACES:
            waiters = self._waiters.setdefault((call, address), {})
            if waiter in waiters or len(waiters) < MAX_WAITERS:
                waiters[waiter] = min(stack, waiters.get(waiter, stack))

    def add_rest(self, place: Place) -> None:
        """Count a sleep that was rest for certain."""
        call, _, address = place
        if len(self._rests) < MAX_PLACES or (call, address) in self._rests:
            self._rests[call, address] += 1

    def count_rests(self, place: Place) -> int:
        """Return how many such sleeps there were on an address, of all threads."""
        call, _, address = place
        return self._rests[call, address]

    def is_outermost(self, state: State) -> bool:
        """Whether several threads wait on this address, and each has never been seen waiting further out.

        That is likely, and not certain, to be the wait for work: a lock that a program's threads meet at is deeper in
        it than how its pool waits, if that was seen.
        """
        if state.bucket != "lock" or state.place is None:
            return False
        call, _, address = state.place
        waiters = self._waiters.get((call, address), {})
        return len(waiters) >= FEWEST_WAITERS and all(stack >= waiter.outermost for waiter, stack in waiters.items())
