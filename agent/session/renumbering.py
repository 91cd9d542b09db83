"""Ids of one recording moved out of the way of another's: each recorder counts its requests from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from perfwatch.probes.frames import GcPause
from perfwatch.probes.records import InFlight, ServedRequest, ThreadWait
from perfwatch.probes.samples import Connection

if TYPE_CHECKING:
    from perfwatch.agent.session.stored import StoredVerdict
    from perfwatch.probes.records import Record, Wait, Waker


class Renumbering(msgspec.Struct, frozen=True):
    """What is added to ids of requests, and to those of connections."""

    requests: int = 0
    connections: int = 0

    def record(self, record: Record) -> Record:
        """Return a record with its ids moved, and those that it names."""
        match record:
            case ServedRequest():
                culprits = [msgspec.structs.replace(one, request=self._known(one.request)) for one in record.culprits]
                waits = tuple(map(self._wait, record.waits))
                moved = self._moved(record.id)
                return msgspec.structs.replace(record, id=moved, waits=waits, culprits=tuple(culprits))
            case InFlight():
                flying = [msgspec.structs.replace(one, id=self._moved(one.id)) for one in record.requests]
                return msgspec.structs.replace(record, requests=tuple(flying))
            case ThreadWait():
                return msgspec.structs.replace(record, wait=self._wait(record.wait))
            case GcPause():
                return msgspec.structs.replace(record, request=self._known(record.request))
            case Connection():
                return msgspec.structs.replace(record, id=record.id + self.connections)
            case _:
                return record

    def verdict(self, verdict: StoredVerdict) -> StoredVerdict:
        """Return a verdict on the request with its new id."""
        return msgspec.structs.replace(verdict, request_id=self._moved(verdict.request_id))

    def _wait(self, wait: Wait) -> Wait:
        return msgspec.structs.replace(wait, waker=self._waker(wait.waker), ahead=self._waker(wait.ahead))

    def _waker(self, waker: Waker | None) -> Waker | None:
        return waker and msgspec.structs.replace(waker, request=self._known(waker.request))

    def _known(self, request: int | None) -> int | None:
        return None if request is None else self._moved(request)

    def _moved(self, request: int) -> int:
        return request + self.requests


class Highest:
    """The highest ids that were seen."""

    def __init__(self) -> None:
        self.requests = self.connections = 0

    def see(self, record: Record) -> None:
        """Take in a record as it was written."""
        match record:
            case ServedRequest():
                self.requests = max(self.requests, record.id)
            case InFlight():
                self.requests = max(self.requests, *(one.id for one in record.requests), 0)
            case Connection():
                self.connections = max(self.connections, record.id)

    @property
    def beyond(self) -> Renumbering:
        """What moves the ids of another recording beyond these."""
        return Renumbering(self.requests, self.connections)
