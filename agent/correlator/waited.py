"""What the requests that a view holds waited for, summed: what others had and gave back, and the disk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.refining import pooled
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model_lately import Waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Request, Wait

SHOWN: Final = 20
_ENDPOINTS: Final = 4


class _Subject(NamedTuple):
    is_disk: bool
    what: str
    place: str | None


class _Lengths(NamedTuple):
    """Of one request's waits for one subject."""

    waits: int
    total_ns: int
    longest_ns: int


class Waited:
    """Each request is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Request, dict[_Subject, _Lengths]]] = {}
        self.permits: tuple[Waits, ...] = ()
        """Pooled connections, permits, room in queues: what was waited for longest first."""
        self.disk: tuple[Waits, ...] = ()

    def look(self, requests: Sequence[Request]) -> None:
        """Sum the waits of these; costs about 0.2 ms for 1,000 that are known."""
        known = self._known
        self._known = {one.record.id: _kept(one, known.get(one.record.id)) for one in requests}
        sums: dict[_Subject, _Sum] = {}
        for request, waited in self._known.values():
            for subject, lengths in waited.items():
                sums.setdefault(subject, _Sum()).add(request, lengths)
        ranked = sorted(sums.items(), key=lambda item: (-item[1].total_ns, str(item[0])))
        self.permits = tuple(one.told(subject) for subject, one in ranked if not subject.is_disk)[:SHOWN]
        self.disk = tuple(one.told(subject) for subject, one in ranked if subject.is_disk)[:SHOWN]


class _Sum:
    """All waits for one subject."""

    __slots__ = ("endpoints", "longest_ns", "total_ns", "waits")

    def __init__(self) -> None:
        self.waits = self.total_ns = self.longest_ns = 0
        self.endpoints: Counter[str] = Counter()

    def add(self, request: Request, one: _Lengths) -> None:
        self.waits += one.waits
        self.total_ns += one.total_ns
        self.longest_ns = max(self.longest_ns, one.longest_ns)
        self.endpoints[" ".join(request.endpoint)] += 1

    def told(self, subject: _Subject) -> Waits:
        return Waits(
            what=subject.what,
            place=subject.place,
            requests=self.endpoints.total(),
            waits=self.waits,
            total_ms=self.total_ns / 1e6,
            longest_ms=self.longest_ns / 1e6,
            endpoints=tuple(self.endpoints.most_common(_ENDPOINTS)),
        )


def _kept(
    request: Request, known: tuple[Request, dict[_Subject, _Lengths]] | None
) -> tuple[Request, dict[_Subject, _Lengths]]:
    return known if known is not None and known[0] is request else (request, _lengths(request))


def _lengths(request: Request) -> dict[_Subject, _Lengths]:
    each: dict[_Subject, list[int]] = {}
    for wait in request.record.waits:
        subject = _subject(request, wait)
        if subject is not None:
            each.setdefault(subject, []).append(max(wait.blocked_ns, 0))
    return {subject: _Lengths(len(ns), sum(ns), max(ns)) for subject, ns in each.items()}


def _subject(request: Request, wait: Wait) -> _Subject | None:
    if wait.bucket == "disk":
        place = telling(request.record.code.stack(wait.stack))
        where = None if place is None else at(place.function, place.file, place.line)
        return _Subject(is_disk=True, what=wait.call or "page fault", place=where)
    what = pooled(wait)
    return None if what is None else _Subject(is_disk=False, what=what.partition(" in ")[0], place=None)
