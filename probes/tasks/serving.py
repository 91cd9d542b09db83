"""Whom each task serves: its own client, else that of the tasks that wait for it, if those serve one alone. Pure.

Behind a proxy the `scope` of ASGI can name whom the proxy told of, with a port, which is no connection that there is.
So a client that no server's own object names gives way to that of the task that waits for this one, if one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from perfwatch.probes.tasks.watched import Watched

MAX_GENERATIONS: Final = 4
"""A task serves the client of the one that waits for it, or of the one that waits for that."""


def served(tasks: Sequence[Watched]) -> dict[int, str]:
    """Return the client's address by the id of each task that serves one; of two at one address the last is there."""
    own = {each.id: each.client.text for each in tasks if each.client}
    parents = [each for each in tasks if each.links.tasks]
    if not parents:
        return own
    ids = {each.task: each.id for each in tasks}
    certain = {each.client.text for each in tasks if each.client and each.client.is_lasting}
    clients = {task: text for task, text in own.items() if text in certain} if certain else dict(own)
    for _ in range(MAX_GENERATIONS):
        claims = _claims(parents, ids, clients)
        if not claims:
            break
        clients.update({child: next(iter(texts)) for child, texts in claims.items() if len(texts) == 1})
    return {**own, **clients}


def _claims(parents: Sequence[Watched], ids: Mapping[int, int], clients: Mapping[int, str]) -> dict[int, set[str]]:
    """Return whom those serve that wait for a task of which it is not known, by its id."""
    claims: dict[int, set[str]] = {}
    for parent in parents:
        client = clients.get(parent.id)
        for address in parent.links.tasks if client else ():
            child = ids.get(address)
            if client and child is not None and child not in clients:
                claims.setdefault(child, set()).add(client)
    return claims
