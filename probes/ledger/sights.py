"""What was seen of asyncio's tasks: which request waits on which connection of the process's own.

A reading of the tasks names both by address. It is settled once the steps up to that moment were taken.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from perfwatch.probes.frames import TasksSample
    from perfwatch.probes.ledger.following.flow import Flow

MAX_SIGHTS: Final = 4096
MAX_REMOTES: Final = 8192


class Sight(NamedTuple):
    """A task that serves a client waits on a connection."""

    at_ns: int
    pid: int
    client: str
    used: str


class Sights:
    """Settles them; knows the clients of connections, boundedly many."""

    def __init__(self, unix_name: Callable[[bytes], str | None]) -> None:
        self._unix_name = unix_name
        self._remotes: dict[int, str] = {}

    def settle(self, samples: Sequence[TasksSample], flow: Flow, remote_of: Callable[[int], str | None]) -> None:
        """Tell the flow whose the calls are that were under way; costs 1 us for each connection and request.

        `remote_of` gives the client's address of an accepted connection, while a request of it is under way.
        """
        sights = list(islice(_seen(samples), MAX_SIGHTS))
        if not sights:
            return
        opened = flow.opened(self._unix_name)
        clients = self._clients(flow, remote_of)
        for sight in sights:
            number = opened.get(sight.used)
            if number is not None:
                flow.witness(clients.get((sight.pid, sight.client), ()), number, sight.at_ns)

    def _clients(self, flow: Flow, remote_of: Callable[[int], str | None]) -> dict[tuple[int, str], list[int]]:
        """Return the requests that are known of each client, by process."""
        if len(self._remotes) > MAX_REMOTES:
            self._remotes.clear()
        clients: dict[tuple[int, str], list[int]] = {}
        for pid, id_, connection in flow.served():
            remote = self._remotes.get(connection) or remote_of(connection)
            if remote:
                self._remotes[connection] = remote
                clients.setdefault((pid, remote), []).append(id_)
        return clients


def _seen(samples: Sequence[TasksSample]) -> Iterator[Sight]:
    for sample in samples:
        for task in sample.tasks:
            if task.client and task.used:
                yield Sight(sample.at_ns, sample.pid, task.client, task.used)
