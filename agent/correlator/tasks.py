"""What the coroutines of requests were suspended in: the newest readings of asyncio's tasks, by their clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.permits import Awaited, awaited
from perfwatch.agent.correlator.places import module_of
from perfwatch.agent.correlator.recent import RecentLists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model import Frame
    from perfwatch.probes.frames import StackTable, TasksSample

_Client: TypeAlias = tuple[int, str]
_READINGS: Final = 32_768
"""Of all clients: half a minute of 50 in flight at 20 Hz."""
_MAX_TASKS: Final = 1000
_MAX_PROCESSES: Final = 256
_LONGEST_NS: Final = 1_000_000_000
_TASKS, _WAIT_FOR = "asyncio.tasks", "wait_for"
_NAMELESS: Final = "unix:"


class _Reading(NamedTuple):
    at_ns: int
    table: StackTable
    places: tuple[int, ...]
    """One for each task that serves this client and waits."""
    targets: tuple[str | None, ...]
    """The path that each serves, if that shares its connection with others."""

    def stacks(self, target: str | None) -> list[tuple[Frame, ...]]:
        """Return what those stand in that serve a path; None: all that serve the connection."""
        both = zip(self.places, self.targets, strict=True)
        return [self.table.stack(place) for place, own in both if target is None or own == target]


class _Watched(NamedTuple):
    """When a process was read."""

    first_ns: int
    last_ns: int
    period_ns: int
    """From one reading to the next, of late."""


class Suspension(NamedTuple):
    """What a coroutine was found waiting in."""

    frames: tuple[Frame, ...]
    """The innermost first."""
    awaited: Awaited | None


class Tasks:
    """The newest readings; bounded."""

    def __init__(self) -> None:
        self._by_client: RecentLists[_Client, _Reading] = RecentLists(_READINGS)
        self._watched: dict[int, _Watched] = {}

    def __len__(self) -> int:
        return len(self._by_client) + len(self._watched)

    def take(self, sample: TasksSample) -> None:
        """Keep a reading; costs about 1 us for each task that serves a client."""
        self._note(sample)
        places: dict[str, list[tuple[int, str | None]]] = {}
        for task in sample.tasks[:_MAX_TASKS]:
            if task.client and task.awaits is not None and not task.client.startswith(_NAMELESS):
                places.setdefault(task.client, []).append((task.stack, task.target))
        for client, found in places.items():
            stacks, targets = zip(*found, strict=True)
            self._by_client.add((sample.pid, client), _Reading(sample.at_ns, sample.table, stacks, targets))

    def suspended(self, pid: int, client: str, span: Span, target: str | None = None) -> list[tuple[int, Suspension]]:
        """Return when in a stretch of time its coroutine was found waiting in what, in order of time."""
        return [*self._found(pid, client, span, target)][::-1]

    def are_at_odds(self, pid: int, client: str, span: Span, target: str) -> bool:
        """Tell whether several tasks of a client were found waiting for different things, in a stretch of time."""
        return any(
            any(stacks) and _told(stacks) is None
            for stacks in (reading.stacks(target) for reading in self._between(pid, client, span))
        )

    def period_ns(self, pid: int) -> int:
        """Return how long it is from one reading of a process to the next, of late; 0 where that is not known."""
        return self._watched[pid].period_ns if pid in self._watched else 0

    def is_watching(self, pid: int, at_ns: int) -> bool:
        """Whether the tasks of a process were read by then."""
        return pid in self._watched and self._watched[pid].first_ns <= at_ns

    def _found(self, pid: int, client: str, span: Span, target: str | None) -> Iterator[tuple[int, Suspension]]:
        for reading in self._between(pid, client, span):
            told = _told(reading.stacks(target))
            if told is not None:
                yield reading.at_ns, told

    def _between(self, pid: int, client: str, span: Span) -> Iterator[_Reading]:
        for reading in self._by_client.newest((pid, client)):
            if reading.at_ns < (span.from_ns or 0):
                return
            if reading.at_ns <= span.until_ns:
                yield reading

    def _note(self, sample: TasksSample) -> None:
        before = self._watched.pop(sample.pid, None)
        if before is None:
            if len(self._watched) >= _MAX_PROCESSES:
                del self._watched[next(iter(self._watched))]
            self._watched[sample.pid] = _Watched(sample.at_ns, sample.at_ns, 0)
            return
        passed_ns = min(max(sample.at_ns - before.last_ns, 0), _LONGEST_NS)
        period_ns = (before.period_ns * 3 + passed_ns) // 4 if before.period_ns else passed_ns
        self._watched[sample.pid] = _Watched(before.first_ns, sample.at_ns, period_ns)


def _told(stacks: Sequence[tuple[Frame, ...]]) -> Suspension | None:
    """Return what one task of several waits for, where no other one says otherwise: those may be the server's own."""
    every = [Suspension(frames, awaited(frames)) for frames in _joined(_whole([frames for frames in stacks if frames]))]
    telling = [one for one in every if one.awaited is not None]
    if len({one.awaited for one in telling}) > 1 or not every:
        return None
    return (telling or every)[0]


def _whole(stacks: list[tuple[Frame, ...]]) -> list[tuple[Frame, ...]]:
    """Leave out a task that another one is known to wait for: its stack is how the other's begins."""
    return [
        frames
        for frames in stacks
        if not any(len(other) > len(frames) and other[: len(frames)] == frames for other in stacks)
    ]


def _joined(stacks: list[tuple[Frame, ...]]) -> list[tuple[Frame, ...]]:
    """Put the stack of a task under that of the one that waits for it: before Python 3.12 `wait_for` makes two."""
    waiting = [frames for frames in stacks if module_of(frames[0]) == _TASKS and frames[0].function == _WAIT_FOR]
    others = [frames for frames in stacks if frames not in waiting]
    return [others[0] + waiting[0]] if len(waiting) == len(others) == 1 else stacks
