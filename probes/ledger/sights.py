"""What was seen of asyncio's tasks: which request waits on which connection of the process's own.

A reading of the tasks names both by address. Where a connection's cannot be read, as with uvloop, the code in which a
task waits still tells that it is for an answer, or for a timer. It is settled once the steps up to that moment were
taken.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from perfwatch.probes.frames import StackTable, TasksSample
    from perfwatch.probes.ledger.following.flow import Flow

MAX_SIGHTS: Final = 4096
MAX_REMOTES: Final = 8192
_ANSWER: Final = (
    ("_wait_for_data", "asyncio/streams.py"),
    ("receive", "anyio/_backends/_asyncio.py"),
    ("_wait", "aiohttp/streams.py"),
    ("read", "aiohttp/streams.py"),
    ("_do_execute", "asyncpg/connection.py"),
)
_TIMER: Final = (("sleep", "asyncio/tasks.py"),)


class Sight(NamedTuple):
    """A task that serves a client waits on a connection, or for a timer."""

    at_ns: int
    pid: int
    client: str
    used: str | None
    """The connection's own address; None where it cannot be read, or the task waits for a timer."""
    is_asleep: bool


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
        opened = flow.opened(self._unix_name) if any(sight.used for sight in sights) else {}
        clients = self._clients(flow, remote_of)
        for sight in sights:
            ids = clients.get((sight.pid, sight.client), ())
            number = opened.get(sight.used) if sight.used else None
            if number is not None:
                flow.witness(ids, number, sight.at_ns)
            elif not sight.used:
                flow.look(ids, sight.at_ns, is_asleep=sight.is_asleep)

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
            if not task.client:
                continue
            is_asleep = _is_in(sample.table, task.stack, _TIMER)
            if task.used or is_asleep or _is_in(sample.table, task.stack, _ANSWER):
                yield Sight(sample.at_ns, sample.pid, task.client, task.used, is_asleep)


def _is_in(table: StackTable, place: int, functions: Sequence[tuple[str, str]]) -> bool:
    """Tell whether a task waits in one of some functions, by their bare names and what their files end with."""
    stack = table.stacks[place]
    if not stack:
        return False
    frame = table.frames[stack[0]]
    bare = frame.function.rpartition(".")[2]
    return any(bare == function and frame.file.endswith(file) for function, file in functions)
