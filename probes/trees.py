"""Whose each process is, where several targets are watched: which of the trees it belongs to.

A process belongs to the tree of the process that forked it, also after that one has ended. Where there is but one
target nothing is told: all processes are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.records import TreeMember

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trees:
    """The trees of some targets; `told` gives what changed since it was last asked."""

    def __init__(self, targets: Sequence[int]) -> None:
        """`targets` are the PIDs that were named."""
        self.targets = tuple(targets)
        self._target_of: dict[int, int] = {}
        self._news: list[tuple[int, int]] = []

    def take_up(self, pid: int, target: int) -> None:
        """Take up a process of a target's tree."""
        self._target_of[pid] = target
        if len(self.targets) > 1:
            self._news.append((pid, target))

    def fork(self, pid: int, parent: int) -> None:
        """Take up a process that one of a tree forked."""
        target = self._target_of.get(parent)
        if target is not None:
            self.take_up(pid, target)

    def end(self, pid: int) -> str:
        """Let go of a process; returns what to say where it was the last of its tree, and others live: else nothing."""
        target = self._target_of.pop(pid, None)
        living = set(self._target_of.values())
        if target is None or target in living or not living:
            return ""
        return _ended((target,))

    def gone(self) -> str:
        """Say that all have ended."""
        return _ended(self.targets)

    def told(self, now_ns: int) -> list[TreeMember]:
        """Return the processes that were taken up since the last call; none where there is one target."""
        news, self._news = self._news, []
        return [TreeMember(now_ns, pid, target) for pid, target in news]


def _ended(targets: Sequence[int]) -> str:
    if len(targets) == 1:
        return f"process {targets[0]} and all its children have ended"
    *others, last = map(str, targets)
    return f"processes {', '.join(others)} and {last} and all their children have ended"
