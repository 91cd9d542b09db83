"""Holds requests back until they are settled: for what cannot be taken back once it was told.

A request that pauses in the midst of its answer is told provisionally, and a slow one may be judged anew by what ends
after it. Both mostly happen within a second or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Request

SETTLED_NS: Final = 3_000_000_000
MAX_HELD: Final = 16_384


class Settling:
    """The requests of the last seconds, each as it was told last."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, Request]] = {}  # by id: when it was told first, and how it stands
        self._told_ids: dict[int, None] = {}
        self.late = 0
        """Corrections that came when their request had been given up: they are in nothing that was told."""

    def put(self, request: Request, now_ns: int) -> None:
        """Take a request, or a correction of one."""
        number = request.record.id
        if number in self._told_ids:
            self.late += 1
            return
        first_ns, _ = self._held.get(number, (now_ns, request))
        self._held[number] = (first_ns, request)

    def renew(self, request: Request) -> None:
        """Take a new judgement of a request, if it is held still."""
        held = self._held.get(request.record.id)
        if held is not None:
            self._held[request.record.id] = (held[0], request)

    def settled(self, now_ns: int) -> Iterator[Request]:
        """Give up those that were told long enough ago, or are too many, the oldest first."""
        while self._held:
            number = next(iter(self._held))
            first_ns, request = self._held[number]
            if now_ns - first_ns < SETTLED_NS and len(self._held) <= MAX_HELD:
                return
            yield self._give(number, request)

    def rest(self) -> Iterator[Request]:
        """Give up all."""
        for number, (_, request) in list(self._held.items()):
            yield self._give(number, request)

    def _give(self, number: int, request: Request) -> Request:
        del self._held[number]
        self._told_ids[number] = None
        if len(self._told_ids) > MAX_HELD:
            del self._told_ids[next(iter(self._told_ids))]
        return request
