"""The processes at both ends of a call: whose each is of several targets, and who listens where the target calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import TargetInfo
    from perfwatch.probes.records import PeerProcess, TreeMember

_MEMBERS: Final = 4096
_PEERS: Final = 1024


class Services:
    """Where one target is watched, requests are not told apart: `of` is None for all."""

    def __init__(self, targets: Sequence[TargetInfo]) -> None:
        self._server_of = {target.pid: target.server or "" for target in targets}
        self._member_of: Recent[int, int] = Recent(_MEMBERS)
        self._peers: Recent[tuple[int, str], PeerProcess] = Recent(_PEERS)
        self.is_followed = len(self._server_of) > 1
        """A process that the target calls may be watched too."""

    def member(self, record: TreeMember) -> None:
        """Learn whose a process is."""
        if record.target in self._server_of:
            self._member_of.put(record.pid, record.target)

    def peer(self, record: PeerProcess) -> None:
        """Learn who listens on an address."""
        self._peers.put((record.seen_by, record.address), record)
        self.is_followed = self.is_followed or record.is_target

    def of(self, pid: int) -> int | None:
        """Return the PID of the target that a process belongs to; None where one is watched, or it is not known."""
        if len(self._server_of) < 2:  # noqa: PLR2004 - one is not told apart
            return None
        return pid if pid in self._server_of else self._member_of.get(pid)

    @property
    def peers(self) -> tuple[PeerProcess, ...]:
        """All that is known of who was called, each address of each caller once."""
        return tuple({(one.seen_by, one.address): one for one in self._peers.values()}.values())

    def called(self, pid: int, address: str) -> PeerProcess | None:
        """Return who listens on an address that a process called, if it is known: a process of this host."""
        return self._peers.get((pid, address))

    def named(self, pid: int) -> str:
        """Return what a process of a target is called: `gunicorn (pid 4313)`, `pid 4313`."""
        server = self._server_of.get(self.of(pid) or 0)
        return f"{server} (pid {pid})" if server else f"pid {pid}"
