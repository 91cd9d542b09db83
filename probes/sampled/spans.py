"""What matching is about: a request as a span of time on a connection, and a thread that may have served it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.reading import Thread


class Span(NamedTuple):
    """A request, as far as matching is concerned."""

    id: int
    connection: tuple[str, str]
    """(local, remote)."""
    arrived_ns: int
    ended_ns: int | None
    """None while it is open."""
    answered_ns: int | None = None
    """When its answer began; None where that is not known."""


class Service(NamedTuple):
    """A thread and since when it may have served a request; None where that is not to be known."""

    thread: Thread
    start_ns: int | None


class Match(NamedTuple):
    """The outcome for one request."""

    services: tuple[Service, ...] = ()
    """All that could have served it: one, if it is matched."""
    loop: Thread | None = None
    """The event loop that did, together with others."""


class Question(NamedTuple):
    """A request, and the threads among which the one that served it is."""

    span: Span
    threads: Sequence[Thread]
