"""Fills what a report says of blame: chains of those that held what was waited for, and rings of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent import report_contract as contract
from perfwatch.agent.correlator.because import link_text, ring
from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import Deadlock, Link, SessionInfo


def build_chain(chain: Iterable[Link]) -> tuple[contract.ChainLink, ...]:
    """Return the links of a chain, or of a ring."""
    return tuple(map(_link, chain))


def build_deadlocks(info: SessionInfo, deadlocks: Iterable[Deadlock]) -> tuple[contract.Waiting, ...]:
    """Return who waits for each other."""
    return tuple(
        contract.Waiting(
            since=info.unix_s(one.since_ns),
            members=list(build_chain(one.members)),
            summary=encodable(ring(one.members)),
        )
        for one in deadlocks
    )


def _link(link: Link) -> contract.ChainLink:
    frame = link.frame
    return contract.ChainLink(
        kind=link.kind,
        name=encodable(link.name),
        mechanism=link.mechanism,
        share=link.share,
        text=encodable(link_text(link)),
        function=None if frame is None else encodable(frame.function),
        file=None if frame is None else encodable(frame.file),
        line=None if frame is None else frame.line,
        request=link.request,
        pid=link.pid,
        tid=link.tid,
    )
