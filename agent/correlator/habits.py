"""How a process treats its peers: how many of its calls opened a connection for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.recent import Recent

if TYPE_CHECKING:
    from perfwatch.agent.model import ServedRequest

_PEERS: Final = 1024
_FORGET: Final = 4096
_SELDOM: Final = 0.25
_TELLING: Final = 8


class Habit(NamedTuple):
    """The calls of one process to one peer, the newest some thousands of them."""

    calls: int = 0
    opened: int = 0

    @property
    def mostly_keeps(self) -> bool:
        """Whether a new connection is the exception: a cold start, or a pool that grew."""
        return self.calls >= _TELLING and self.opened <= _SELDOM * self.calls

    def and_also(self, *, asked: bool, opened: bool) -> Habit:
        """Return it with one more call, or only a connection for one; what is long ago counts less and less."""
        calls, before = (self.calls // 2, self.opened // 2) if self.calls >= _FORGET else self
        return Habit(calls + asked, before + opened)


class Habits:
    """By process and peer; bounded."""

    def __init__(self) -> None:
        self._known: Recent[tuple[int, str], Habit] = Recent(_PEERS)

    def __len__(self) -> int:
        return len(self._known)

    def served(self, record: ServedRequest) -> None:
        """Take in the calls of a request; costs about 1 us each."""
        for call in record.calls:
            key = (record.pid, call.peer)
            habit = self._known.get(key) or Habit()
            opened = call.connected_ns is not None
            self._known.put(key, habit.and_also(asked=call.sent_ns is not None, opened=opened))

    def of(self, pid: int, peer: str) -> Habit:
        """Return how a process treated a peer until now."""
        return self._known.get((pid, peer)) or Habit()
