"""What a thread was seen doing, and which bucket that is.

A state is made when it is seen; what its sockets are may be known only after the next look at the kernel's socket
table, so `bucket` and what goes with it are filled in once, later. Whatever stays None is unaccounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from perfwatch.probes.records import Bucket

Place: TypeAlias = tuple[int, int, int]
"""Where in its program a thread sleeps: system call, stack pointer, first argument."""


class State:
    """One state of one thread, from the reading that saw it until the next change."""

    __slots__ = (
        "accepts",
        "bucket",
        "call",
        "connections",
        "detail",
        "is_loop",
        "is_running",
        "peer",
        "place",
        "waits_for_work",
    )

    def __init__(
        self,
        bucket: Bucket | None = None,
        call: str | None = None,
        detail: str | None = None,
        place: Place | None = None,
    ) -> None:
        self.bucket = bucket
        self.call = call
        self.detail = detail
        self.place = place
        self.is_running = False
        self.peer: str | None = None
        """Whom it waits for, of `calls`."""
        self.connections: tuple[tuple[str, str], ...] = ()
        """(local, remote) of the accepted connections that it reads from, writes to, or watches."""
        self.accepts = False
        """It waits for new connections, maybe among others."""
        self.is_loop = False
        """It watches accepted connections together with other sockets."""
        self.waits_for_work = False
        """For a connection, or for something to come on one: the rest of a server's thread."""

    def same_as(self, other: State) -> bool:
        """Whether both are the same wait, as far as a reader could tell."""
        return self is other or (
            self.bucket == other.bucket
            and self.call == other.call
            and self.detail == other.detail
            and self.peer == other.peer
            and self.is_running == other.is_running
        )

    def __repr__(self) -> str:
        shown = "running" if self.is_running else f"{self.bucket} {self.call} {self.detail or ''} {self.peer or ''}"
        return f"<{shown}{', waits for work' if self.waits_for_work else ''}>"


def running() -> State:
    """On a CPU, or runnable: schedstat says which."""
    state = State()
    state.is_running = True
    return state


RUNNING: Final = running()
UNKNOWN: Final = State()
"""Asleep, and it may not be known in what."""
NOT_THERE: Final = State()
"""The thread is not started yet, or has ended."""
