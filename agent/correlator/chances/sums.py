"""The notes of all requests, added up by endpoint: the opportunities of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.chances import telling
from perfwatch.agent.correlator.chances.caching import Repeats, work_of
from perfwatch.agent.correlator.chances.calling import overlapping, retried
from perfwatch.agent.correlator.chances.linking import LEAST, opened
from perfwatch.agent.correlator.chances.serving import plain_text, static

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.chances.notes import Note
    from perfwatch.agent.correlator.connections import Connections
    from perfwatch.agent.model import Chance, Endpoint, Opportunity, Request

SHOWN: Final = 20
_MAX_SUMS: Final = 1024
_FEWEST: Final[dict[Chance, int]] = {"cache": 5, "static": 5, "compress": 5, "overlap-calls": 3, "retries": 3}
_NOTABLE: Final = 0.2
"""Of an endpoint's requests: what fewer repeat is no reason for a cache."""


class Key(NamedTuple):
    """What is added up together."""

    kind: Chance
    endpoint: tuple[str, str]


class Chances:
    """All notes; at most `_MAX_SUMS` sums, and the notes beyond these are let go."""

    def __init__(self) -> None:
        self._sums: dict[Key, telling.Sum] = {}
        self._repeats = Repeats()

    def __len__(self) -> int:
        return len(self._sums)

    def take(self, request: Request, *, judged: bool, earlier: Sequence[Note] | None) -> tuple[Note, ...]:
        """Add what a request says; `earlier` is what it said before it was corrected, which was taken back.

        About 1 us for a quick request without calls.
        """
        record = request.record
        note = static(request) or self._dynamic(request, earlier)
        if note is None and record.body is None and not record.calls:
            return ()
        found = (
            note,
            plain_text(request) if record.body is not None else None,
            retried(request) if record.calls else None,
            overlapping(request) if record.calls and judged else None,
        )
        notes = tuple(one for one in found if one is not None)
        for one in notes:
            self._add(request.endpoint, one, 1)
        return notes

    def take_back(self, endpoint: tuple[str, str], notes: Iterable[Note]) -> None:
        """Take a request's notes back."""
        for note in notes:
            self._add(endpoint, note, -1)

    def opportunities(self, endpoints: Sequence[Endpoint], connections: Connections) -> tuple[Opportunity, ...]:
        """Return what saves most in all first; at most 20."""
        counts = {(one.method, one.place): one.count for one in endpoints}
        found = [*self._noted(counts), *_links(endpoints, connections)]
        found.sort(key=lambda one: (-(one.saves_ms or 0.0) * one.count, -one.count, one.kind, one.endpoint))
        return tuple(found[:SHOWN])

    def _dynamic(self, request: Request, earlier: Sequence[Note] | None) -> Note | None:
        """Return what a cache would have saved; of a corrected request that was found out the first time."""
        if earlier is None:
            return self._repeats.find(request)
        return next((note for note in earlier if note.kind == "cache" and work_of(request) is not None), None)

    def _add(self, endpoint: tuple[str, str], note: Note, sign: int) -> None:
        key = Key(note.kind, endpoint)
        mine = self._sums.get(key)
        if mine is None:
            if len(self._sums) >= _MAX_SUMS:
                return
            mine = self._sums[key] = telling.Sum()
        mine.add(note, sign)

    def _noted(self, counts: dict[tuple[str, str], int]) -> Iterator[Opportunity]:
        files: dict[tuple[str, str], telling.Files] = {}
        for (kind, endpoint), mine in self._sums.items():
            if kind == "static":
                folder = endpoint[1][1:].partition("/")[0]
                files.setdefault((endpoint[0], folder), telling.Files()).add(endpoint, mine)
            elif mine.count >= _FEWEST[kind] and (
                kind != "cache" or mine.count >= _NOTABLE * counts.get(endpoint, mine.count)
            ):
                yield telling.told(kind, endpoint, mine, counts.get(endpoint, mine.count))
        for some in files.values():
            if some.sum.count >= _FEWEST["static"]:
                yield telling.told_files(some)


def _links(endpoints: Sequence[Endpoint], connections: Connections) -> Iterator[Opportunity]:
    for one in endpoints:
        for peer in opened(one.downstream):
            yield telling.told_opened((one.method, one.place), peer)
            handshakes = connections.handshakes("connected", peer.peer)
            if peer.tls_ms and handshakes.is_unresumed(LEAST):
                yield telling.told_unresumed((one.method, one.place), peer.peer, peer.requests, handshakes)
    accepted = connections.handshakes("accepted", None)
    if accepted.is_unresumed(LEAST):
        yield telling.told_unresumed(telling.EVERY, "its clients", accepted.shaken, accepted)
