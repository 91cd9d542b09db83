"""Who is told of a recording while it is made, and the opening of what that needs."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec

from perfwatch.agent.export.extras import needing
from perfwatch.agent.export.prometheus.address import Address  # noqa: TC001 - msgspec reads the annotations
from perfwatch.agent.export.receivers import receiver_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.export.live import Live, Told
    from perfwatch.agent.model import SessionInfo


class Audience(msgspec.Struct, frozen=True):
    """Nobody, unless somebody is named."""

    prometheus: Address | None = None
    """Where to listen for scrapes."""
    otlp: str | None = None
    """The OTLP receiver; its headers come from the environment."""
    service_name: str | None = None
    """What the server is called there."""

    @contextmanager
    def opened(self, say: Callable[[str], None], *also: Told) -> Iterator[Callable[[SessionInfo], Live | None]]:
        """Open what is needed, before anything is measured; gives what follows a session, if anybody is to be told.

        PerfwatchError where an address cannot be used, or a library is not installed. `say` is told a line an event;
        `also` are told besides.
        """
        with ExitStack() as stack:
            told = [*also]
            if self.prometheus is not None:
                told.append(stack.enter_context(_scraped(self.prometheus, say)))
            receiver = receiver_at(self.otlp) if self.otlp is not None else None

            def follow(info: SessionInfo) -> Live | None:
                if receiver is not None:
                    from perfwatch.agent.export.otlp.feed import Feed  # noqa: PLC0415 - an extra

                    told.append(stack.enter_context(Feed(info, receiver, self.service_name, say)))
                return _live(info, told)

            yield follow


def _live(info: SessionInfo, told: list[Told]) -> Live | None:
    if not told:
        return None
    from perfwatch.agent.export.live import Live  # noqa: PLC0415 - few need it

    return Live(info, told)


@contextmanager
def _scraped(where: Address, say: Callable[[str], None]) -> Iterator[Told]:
    with needing("prometheus", "--prometheus"):
        from perfwatch.agent.export.prometheus.scraped import scraped  # noqa: PLC0415 - an extra
    with scraped(where) as (told, bound):
        say(bound.notice)
        yield told
