"""Whom each task serves: its own client, else that of the tasks that wait for it, if those serve one alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.tasks.watched import Watched

MAX_GENERATIONS: Final = 4
"""A task serves the client of the one that waits for it, or of the one that waits for that."""


def served(tasks: Sequence[Watched]) -> dict[int, str]:
    """Return the client's address by the id of each task that serves one."""
    clients = {each.id: each.client.text for each in tasks if each.client}
    parents = [each for each in tasks if each.links]
    if not parents:
        return clients
    # Of two at one address the one that was followed last is the one that is there.
    ids = {each.task: each.id for each in tasks}
    for _ in range(MAX_GENERATIONS):
        claims: dict[int, set[str]] = {}
        for parent in parents:
            client = clients.get(parent.id)
            for child in parent.links if client else ():
                if client and ids.get(child, parent.id) not in clients:
                    claims.setdefault(ids[child], set()).add(client)
        if not claims:
            break
        clients.update({child: next(iter(texts)) for child, texts in claims.items() if len(texts) == 1})
    return clients
