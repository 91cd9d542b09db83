"""The newest text for whoever scrapes: made when it is asked for, once for each time that things stand otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from perfwatch.agent.export.prometheus.address import listen
from perfwatch.agent.export.prometheus.endpoint import Endpoint
from perfwatch.agent.export.prometheus.exposition import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from perfwatch.agent.export.prometheus.address import Address
    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.export.standing import Standing
    from perfwatch.agent.model import Request


class Scraped:
    """Keeps what it was told last; one thread tells, another asks."""

    def __init__(self) -> None:
        self._standing: Standing | None = None
        self._made: tuple[Standing, bytes] | None = None

    def take(self, _requests: Sequence[Request], _schemes: Schemes, standing: Standing) -> None:
        """Take how things stand now; the totals have all requests."""
        self._standing = standing

    def text(self) -> bytes | None:
        """Return the text; None before anything was told."""
        standing = self._standing
        if standing is None:
            return None
        if self._made is None or self._made[0] is not standing:
            self._made = standing, exposition(standing)
        return self._made[1]


@contextmanager
def serving(address: Address, text: Callable[[], bytes | None]) -> Iterator[Address]:
    """Answer scrapes with what `text` returns, in a thread; gives where it listens. PerfwatchError where it cannot."""
    listener, bound = listen(address)
    with Endpoint(listener, text, CONTENT_TYPE):
        yield bound


@contextmanager
def scraped(address: Address) -> Iterator[tuple[Scraped, Address]]:
    """Listen for scrapes; gives whom to tell, and where it listens. PerfwatchError where it cannot."""
    one = Scraped()
    with serving(address, one.text) as bound:
        yield one, bound
