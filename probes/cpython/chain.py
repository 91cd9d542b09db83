"""A chain of coroutines that await each other: what is known of it once it was followed, and while it is."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.memory import Places

if TYPE_CHECKING:
    from perfwatch.probes.cpython.coroutine_form import Standing

MAX_FRAMES: Final = 256
"""Of a longer chain nothing is told."""


class Fault(Enum):
    """Why there is no chain."""

    ENDED = auto()
    """The task has."""
    FOREIGN = auto()
    """It is no task of the C module."""
    TORN = auto()
    """It changed while it was followed, or makes no sense."""


class Chain(NamedTuple):
    """What a task awaits, if `content` still lies at `places`."""

    stack: tuple[tuple[int, int], ...]
    """Code object's address and position (see codes.py) of each frame, the innermost first."""
    variables: tuple[int, ...]
    """Of each of these frames, where its local variables lie."""
    own: int
    """So many of the outermost frames are its own; the others are of tasks that it awaits."""
    awaits: str | None
    """Type of what the innermost waits for; None: it runs, or it could."""
    tasks: tuple[int, ...]
    """Addresses of the task, and of those that it awaits."""
    future: int
    """Address of the future at the end of the chain; 0: there is none."""
    places: Places
    """What was read, and is read again."""
    content: bytes


class Path:
    """A chain that is being followed."""

    __slots__ = ("awaits", "fault", "frames", "future", "next", "own", "pieces", "tasks", "waits_for")

    def __init__(self) -> None:
        self.next = 0
        """Address of the awaitable that is looked at next; 0: this is the end."""
        self.frames: list[Standing] = []
        self.pieces: list[tuple[int, bytes]] = []
        """What was read, by its address."""
        self.tasks: list[int] = []
        self.waits_for = 0
        """What the last of the tasks is registered with."""
        self.own = 0
        """How many frames it had before it led to another task; 0: it has not."""
        self.future = 0
        self.awaits: str | None = None
        self.fault: Fault | None = None

    def chain(self) -> Chain | Fault:
        """Return the chain, once it was followed to its end."""
        places = Places([(at, len(data)) for at, data in self.pieces] if not self.fault else [])
        if not places.size:
            return self.fault or Fault.TORN
        frames = self.frames[::-1]
        return Chain(
            tuple([(frame.code, frame.position) for frame in frames]),
            tuple([frame.variables for frame in frames]),
            self.own or len(frames),
            self.awaits,
            tuple(self.tasks),
            self.future,
            places,
            b"".join([data for _, data in self.pieces]),
        )
