"""The chain of blame that stands for many requests: at each step whom most of their time is to be blamed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.correlator.routes import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Link

Kind: TypeAlias = tuple[str, ...]
_MOSTLY: Final = 0.5


def common_chain(chains: Sequence[tuple[Link, ...]]) -> tuple[Link, ...]:
    """Return the chain that the largest share goes along, as far as half of what came before does.

    `chains` has one of each request, empty ones too. The shares are means over all of them; numbers are those of the
    last request that has it, and requests are named by their endpoints.
    """
    told: list[Link] = []
    before = sum(chain[0].share for chain in chains if chain)
    left = [chain for chain in chains if chain]
    while left:
        groups: dict[Kind, list[tuple[Link, ...]]] = {}
        for chain in left:
            groups.setdefault(_kind(chain[len(told)]), []).append(chain)
        most = max(groups.values(), key=lambda some: sum(chain[len(told)].share for chain in some))
        share = sum(chain[len(told)].share for chain in most)
        if share < _MOSTLY * before:
            break
        link = most[-1][len(told)]
        told.append(msgspec.structs.replace(link, name=_name(link), share=round(share / len(chains), 4)))
        before, left = share, [chain for chain in most if len(chain) > len(told)]
    return tuple(told)


def _kind(link: Link) -> Kind:
    """Return what requests have in common that are blamed: not their ids, nor who of many threads it was."""
    frame = () if link.frame is None else (link.frame.file, link.frame.function)
    name = _name(link) if link.kind != "thread" or not frame else ""
    return (link.kind, link.mechanism or "", name, *frame)


def _name(link: Link) -> str:
    """Return what it is called; a request by its endpoint."""
    method, _, target = link.name.partition(" ")
    return f"{method} {fold(target)}" if link.kind == "request" and target.startswith("/") else link.name
