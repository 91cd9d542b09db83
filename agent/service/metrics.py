"""Prometheus for all recorders of a service: each sends its text over a socket pair, one address serves them together.

A recorder never waits: what does not fit into the socket is dropped, and its next text comes 2 s later.
"""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from perfwatch.agent.export.extras import needing
from perfwatch.agent.export.prometheus.whose import Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from perfwatch.agent.export.prometheus.address import Address
    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.export.standing import Standing
    from perfwatch.agent.model import Request

MAX_NAMES: Final = 64
OTHER: Final = "other"
FRESH_S: Final = 10.0
"""What a recorder said so long ago says nothing of now: it hangs, or there is no room for what it records."""
MADE_FOR_S: Final = 1.0
_MOST_BYTES: Final = 1 << 20


class Sender:
    """A recorder's end; PerfwatchError where the library is not installed."""

    def __init__(self, descriptor: int) -> None:
        with needing("prometheus", "--prometheus"):
            from perfwatch.agent.export.prometheus.exposition import exposition  # noqa: PLC0415 - an extra
        self._exposition = exposition
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function's own signature
        self._socket = socket.socket(fileno=descriptor)

    def take(self, _requests: Sequence[Request], _schemes: Schemes, standing: Standing) -> None:
        """Send how things stand now; the totals have all requests."""
        with suppress(OSError):  # the service is busy, or has ended
            self._socket.send(self._exposition(standing), socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Send no more."""
        self._socket.close()


class Metrics:
    """The service's end: the newest text of each recorder, by the name of its server."""

    def __init__(self, merge: Callable[[dict[Name, bytes]], bytes]) -> None:
        self._merge = merge
        self._sockets: dict[Name, socket.socket] = {}
        self._texts: dict[Name, tuple[float, bytes]] = {}
        self._names: set[Name] = set()
        self._made = -math.inf, b""

    def join(self, name: Name) -> tuple[Name, socket.socket]:
        """Let a recorder send; gives the name that its server has here, and the recorder's end of the socket.

        Where the name is taken, by another server of that kind on the same port, or on none, it gets a number. After
        `MAX_NAMES` different ones all further servers are `other`: whoever starts programs cannot make as many series
        as he likes.
        """
        if name not in self._names and len(self._names) >= MAX_NAMES:
            name = Name(OTHER, "")
        self._names.add(name)
        unused, number = name, 1
        while unused in self._sockets:
            number += 1
            unused = Name(f"{name.server}-{number}", name.pod)
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sockets[unused] = own
        return unused, other

    def leave(self, name: Name) -> None:
        """Forget a recorder that has ended, and what its server's metrics were."""
        self._sockets.pop(name).close()
        self._texts.pop(name, None)

    def look(self) -> None:
        """Take what was sent since; to be called often, for a socket holds a few texts."""
        for name, one in self._sockets.items():
            with suppress(OSError):  # nothing more for now
                while text := one.recv(_MOST_BYTES, socket.MSG_DONTWAIT):
                    self._texts[name] = time.monotonic(), text

    def text(self) -> bytes:
        """Return the text of all who sent one lately; another thread asks. Made every second at most."""
        now_s = time.monotonic()
        if now_s - self._made[0] >= MADE_FOR_S:
            fresh = {name: text for name, (at_s, text) in self._texts.copy().items() if now_s - at_s < FRESH_S}
            self._made = now_s, self._merge(fresh)
        return self._made[1]

    def close(self) -> None:
        """Forget them all."""
        for name in list(self._sockets):
            self.leave(name)


@contextmanager
def served(address: Address | None, say: Callable[[str], None]) -> Iterator[Metrics | None]:
    """Serve the metrics of all recorders at an address, if there is one; PerfwatchError where that cannot be."""
    if address is None:
        yield None
        return
    with needing("prometheus", "--prometheus"):
        from perfwatch.agent.export.prometheus.scraped import serving  # noqa: PLC0415 - an extra
        from perfwatch.agent.export.prometheus.together import together  # noqa: PLC0415 - an extra
    metrics = Metrics(together)
    try:
        with serving(address, metrics.text) as bound:
            say(bound.notice)
            yield metrics
    finally:
        metrics.close()
