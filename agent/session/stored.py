"""What a session keeps besides records, as it is stored: a second's head, its dense blob, the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from perfwatch.probes.frames import StackTable
from perfwatch.probes.records import Body, Call, Culprit, Peer, Protocol, Ran, Record, Wait  # noqa: TC001  (msgspec reads annotations)

if TYPE_CHECKING:
    from perfwatch.agent.model import Verdict


class Damaged(Exception):
    """Something stored is not what was written; it never leaves this package."""


class StoredVerdict(msgspec.Struct, frozen=True, array_like=True):
    """What a session keeps of the verdict on one request."""

    request_id: int
    principle: str
    """Of `model.Principle`, or of a later version's."""
    mechanism: str | None
    share: float
    confidence: float
    summary: str

    @classmethod
    def of(cls, request_id: int, verdict: Verdict) -> Self:
        """Return what is kept of a verdict."""
        figures = (float(verdict.share), float(verdict.confidence))
        return cls(request_id, verdict.principle, verdict.mechanism, *figures, verdict.summary)


class Parts(msgspec.Struct, frozen=True, array_like=True):
    """What of a request is too dense for its row."""

    seq: int
    peers: tuple[Peer, ...]
    waits: tuple[Wait, ...]
    code: StackTable = StackTable()
    ran: tuple[Ran, ...] = ()
    calls: tuple[Call, ...] = ()
    calls_lost: int = 0
    culprits: tuple[Culprit, ...] = ()
    protocol: Protocol = "http/1"
    grpc_status: int | None = None
    asked: int | None = None
    body: Body | None = None


class Dense(msgspec.Struct, frozen=True, array_like=True):
    """The blob of one second, as msgpack."""

    parts: tuple[Parts, ...]
    records: tuple[tuple[int, Record], ...]
    """Whole records, with their `seq`."""
    verdicts: tuple[tuple[int, StoredVerdict], ...]
    """Those that a row could not hold exactly."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """A row of `seconds`."""

    number: int
    first_seq: int
    records: int
    first_verdict: int
    verdicts: int
    first_ns: int | None
    last_ns: int | None
    crc32: int
    marks: str | None = None
    clocks: str | None = None


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """The blob of one second since format 4, as msgpack; columns as in `columnar`."""

    kinds: tuple[str, ...]
    """Tags of the records that there are."""
    order: list[object]
    """Column of places in `kinds`, one for each record."""
    columns: tuple[list[object], ...]
    """For each kind a column of its records, without their tags."""
    verdicts: list[object]
    """A column."""


class Second(msgspec.Struct, frozen=True):
    """A second that is sound."""

    head: Head
    records: tuple[Record, ...]
    """In order of delivery."""
    verdicts: tuple[StoredVerdict, ...]
