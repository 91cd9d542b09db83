"""Several process trees, sampled in one session: a probe for each, and one stream of what they tell."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import msgspec

from perfwatch.probes.records import InFlight, ServedRequest, TargetChange
from perfwatch.probes.sampled.probe import SampledProbe
from perfwatch.probes.sampled.requests import MAX_OPEN
from perfwatch.probes.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from perfwatch.probes.probe import Availability
    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.records import OpenRequest, Record


def sampled(
    pid: int, interpreter_of: Callable[[int], Interpreter | None], *, also: Sequence[int] = ()
) -> SampledProbe | SeveralSampled:
    """Make the probe for one process tree, or for several: `also` has the roots of the others."""
    if not also:
        return SampledProbe(pid, interpreter_of)
    return SeveralSampled([SampledProbe(one, interpreter_of) for one in (pid, *also)])


class SeveralSampled:
    """Reads them one after the other; the numbers of their requests are kept apart."""

    name = SampledProbe.name
    timed = SampledProbe.timed
    period_s = SampledProbe.period_s

    def __init__(self, parts: Sequence[SampledProbe]) -> None:
        self._parts = tuple(parts)
        self._living = dict(enumerate(parts))
        self._trees = Trees([part.pid for part in parts])
        self._known: set[int] = set()
        self._flights: dict[int, InFlight] = {}
        self._is_gone = False
        self._stack = ExitStack()

    def availability(self) -> Availability:
        """Say of the one that is worst off how it is."""
        ranks = ("unavailable", "limited", "available")
        return min((part.availability() for part in self._parts), key=lambda one: ranks.index(one.status))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part)
            self._stack = stack.pop_all()
        self._learn_members()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Read all threads of all trees."""
        told = {place: part.read(now_ns) for place, part in self._living.items()}
        for place in [place for place, part in self._living.items() if not part.pids]:
            told[place] = [*told[place], *self._living.pop(place).drain(now_ns)]
        return self._merged(told, now_ns)

    def drain(self, now_ns: int) -> Sequence[Record]:
        """Return what is left at the end of a recording."""
        return self._merged({place: part.drain(now_ns) for place, part in self._living.items()}, now_ns)

    def listeners(self) -> list[str]:
        """Addresses that the targets listen on."""
        return sorted({address for part in self._parts for address in part.listeners()})

    @property
    def pids(self) -> frozenset[int]:
        """The processes of all trees that live."""
        return frozenset().union(*(part.pids for part in self._living.values()))

    def _merged(self, told: dict[int, Sequence[Record]], now_ns: int) -> list[Record]:
        self._learn_members()
        merged: list[Record] = [*self._trees.told(now_ns)]
        flights = {place: flight for place, flight in self._flights.items() if place in self._living}
        for place, records in told.items():
            for record in records:
                match record:
                    case ServedRequest():
                        ids = {"id": self._own(place, record.id), "connection": self._own(place, record.connection)}
                        merged.append(msgspec.structs.replace(record, **ids))
                    case InFlight():
                        flights[place] = self._flight(place, record)
                    case TargetChange():
                        merged += self._change(record)
                    case _:
                        merged.append(record)
        if flights != self._flights:
            self._flights = flights
            merged.append(self._all_open(now_ns))
        return merged

    def _own(self, place: int, number: int) -> int:
        """Return a number that no other tree's request has."""
        return number * len(self._parts) + place

    def _flight(self, place: int, record: InFlight) -> InFlight:
        requests = (msgspec.structs.replace(one, id=self._own(place, one.id)) for one in record.requests)
        return msgspec.structs.replace(record, requests=tuple(requests))

    def _all_open(self, now_ns: int) -> InFlight:
        requests: list[OpenRequest] = [one for flight in self._flights.values() for one in flight.requests]
        requests.sort(key=lambda one: one.started_ns)
        count = sum(flight.count for flight in self._flights.values())
        return InFlight(now_ns, count, tuple(requests[:MAX_OPEN]))

    def _change(self, change: TargetChange) -> list[TargetChange]:
        """Return what is said of a change: that all is gone, only when the last tree is."""
        if change.change == "exited":
            self._known.discard(change.pid)
            return [msgspec.structs.replace(change, detail=self._trees.end(change.pid))]
        if change.change != "gone":
            return [change]
        if self._living or self._is_gone:
            return []
        self._is_gone = True
        return [msgspec.structs.replace(change, detail=self._trees.gone())]

    def _learn_members(self) -> None:
        for part in self._living.values():
            for pid in part.pids - self._known:
                self._known.add(pid)
                self._trees.take_up(pid, part.pid)
