"""The stacks of one request while it is under way: each told once, and found again by what it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.frames import StackTable
from perfwatch.probes.ledger.code_events import RAN, WAITED
from perfwatch.probes.records import Ran

if TYPE_CHECKING:
    from perfwatch.probes.frames import Frame
    from perfwatch.probes.ledger.code_events import StackEvent

MAX_STACKS: Final = 256
"""As many different ones of a request are kept; of a longer request, those that came first."""
MAX_READINGS: Final = 4096


class RequestCode:
    """What the kernel told of a request's code so far."""

    def __init__(self) -> None:
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._waited: dict[int, int] = {}  # by the start of the wait
        self._woke: dict[int, int] = {}  # by its end
        self._ran: list[Ran] = []
        self._latest_ns = 0
        self._latest: tuple[Frame, ...] = ()

    def add(self, event: StackEvent, frames: tuple[Frame, ...]) -> None:
        """Take in a stack; its waits are told after it."""
        place = self._place(tuple(self._frames.setdefault(frame, len(self._frames)) for frame in frames))
        if place is None:
            return
        if event.role == RAN:
            self._latest_ns, self._latest = event.at_ns, frames
            if len(self._ran) < MAX_READINGS:
                self._ran.append(Ran(event.at_ns, place))
        elif event.role == WAITED:
            self._waited[event.at_ns] = place
        else:
            self._woke[event.at_ns] = place

    def running(self, since_ns: int) -> tuple[Frame, ...]:
        """Return the stack in which its thread was found on a CPU last; none if that was not since then."""
        return self._latest if self._latest_ns >= since_ns else ()

    def of_wait(self, started_ns: int, woken_ns: int) -> tuple[int | None, int | None]:
        """Return the places of a wait's stack and of its waker's; each is asked for once."""
        return self._waited.pop(started_ns, None), self._woke.pop(woken_ns, None)

    def table(self) -> StackTable:
        """Return all stacks, by their places."""
        return StackTable(tuple(self._frames), tuple(self._stacks))

    def ran(self, until_ns: int) -> tuple[Ran, ...]:
        """Return the moments at which its thread was found on a CPU."""
        return tuple(each for each in self._ran if each.at_ns <= until_ns)

    def _place(self, stack: tuple[int, ...]) -> int | None:
        if not stack:
            return None
        if len(self._stacks) >= MAX_STACKS and stack not in self._stacks:
            return None
        return self._stacks.setdefault(stack, len(self._stacks))
