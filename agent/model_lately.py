"""The part of a view that its pages show in detail: each CPU, door, connection and file, over the last seconds.

As in `model.py`: frozen, times in nanoseconds where no unit is named; None is what is not known.
"""

from __future__ import annotations

import msgspec

from perfwatch.probes.samples import FilePlace as FilePlace  # noqa: PLC0414, TC001 - msgspec reads the annotations


class CpuUse(msgspec.Struct, frozen=True):
    """One CPU, in shares of its time; what is missing to 1 it was idle."""

    user: float
    """With `nice` and guests."""
    system: float
    """With interrupts."""
    steal: float
    iowait: float
    """Idle, with a request for I/O of a thread of its own under way."""

    @property
    def busy(self) -> float:
        """All that another thread could not have."""
        return min(self.user + self.system + self.steal, 1.0)


class NetworkUse(msgspec.Struct, frozen=True):
    """The target's network namespace."""

    received_bytes_s: float
    """Without the loopback, as `sent_bytes_s` is."""
    sent_bytes_s: float
    retransmitted: float | None
    """Share of the segments that were sent; None where none were."""
    overflows: int | None
    """Connections that met a full accept queue."""
    refused: int
    """Connections that were dropped at listening sockets, these among them, and packets at full backlogs."""
    interface_errors: int


class Door(msgspec.Struct, frozen=True):
    """An address that the target listens on; of several sockets with one address (SO_REUSEPORT) the fullest."""

    address: str
    """Untrusted."""
    now: int | None
    """Connections that waited to be accepted at the last reading."""
    lately: int | None
    """Most of them."""
    deepest: int
    """Of the session."""
    limit: int
    turned_away: int
    """Connections that were dropped there lately, as the sockets' own counters say."""
    unread_bytes: int | None
    """Most that a read of one of its connections found waiting."""


class Progress(msgspec.Struct, frozen=True):
    """How a connection fared lately: what its counters grew by, between the first and the last reading of it."""

    cookie: int
    """Of its `SocketState`."""
    passed_s: float
    """0 where it was read once: then nothing else is known."""
    unread_s: float
    """So long, at least, each reading found bytes that the process had not read."""
    unacked_s: float
    """The same for bytes that the peer had not acknowledged."""
    retransmits: int | None
    peer_full: float | None
    """Part of the time in which the peer's receive window kept it from sending, 0..1."""
    buffer_full: float | None
    """The same for its own send buffer."""
    sent_bytes_s: float | None
    received_bytes_s: float | None


class OwnIo(msgspec.Struct, frozen=True):
    """What one process of the target moved to and from disks."""

    pid: int
    read_bytes_s: float | None
    written_bytes_s: float | None
    waited: float | None
    """Threads that waited for it, on average: thread time for each time that passed; None without delay accounting."""


class LastSeconds(msgspec.Struct, frozen=True):
    """One figure a second, the newest last, at most 120, of a window 3600; None where nothing was measured."""

    disk_busy: tuple[float | None, ...] = ()
    """Of the device that was busiest in each, 0..1."""
    io_pressure: tuple[float | None, ...] = ()
    """Part of it in which some task of the host waited for I/O, 0..1."""
    cpu_pressure: tuple[float | None, ...] = ()
    standing_bytes: tuple[float | None, ...] = ()
    """In the buffers of the target's connections: not read, or not acknowledged."""
    accept_queue: tuple[float | None, ...] = ()
    """Connections that waited to be accepted; of several addresses with a figure of their own the largest."""


class Lately(msgspec.Struct, frozen=True):
    """Over the last 10 s, or all of a window; empty or None where it was not measured."""

    cpus: tuple[CpuUse, ...] = ()
    """In the order of their numbers, those that are online; at most 512."""
    network: NetworkUse | None = None
    doors: tuple[Door, ...] = ()
    """The fullest first."""
    socket_states: tuple[tuple[str, int], ...] = ()
    """(state, sockets of the target in it), as of the last reading, the most frequent first."""
    unread_bytes: int | None = None
    """Over all its connections, also those that are not listed, as of the last reading."""
    unacked_bytes: int | None = None
    progress: tuple[Progress, ...] = ()
    """Of the connections in `Queues.sockets`."""
    own_io: tuple[OwnIo, ...] = ()
    """The one that moved most first; at most 16."""
    files: tuple[FilePlace, ...] = ()
    """The regular files that the target has open, each once, those that it writes first; at most 32."""
    seconds: LastSeconds = LastSeconds()


class Waits(msgspec.Struct, frozen=True):
    """Waits for one thing, of the requests that a view holds."""

    what: str
    """`a connection of psycopg_pool`; of the disk, the system call. Untrusted."""
    place: str | None
    """Where in the code the disk was waited for: `load() at archive.py:33`; untrusted. None where it is not known."""
    requests: int
    waits: int
    """Those of 1 ms or more."""
    total_ms: float
    longest_ms: float
    endpoints: tuple[tuple[str, int], ...]
    """(method and route, requests of it that waited), the most frequent first; at most 4."""
