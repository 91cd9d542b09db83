"""What lacks in a session, between the seconds that are sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.session.reader import SessionReader
    from perfwatch.agent.session.stored import Second


class Gap(NamedTuple):
    """Seconds of a recording that are lost, one after the other."""

    after_ns: int | None
    """Latest time before it; None at the beginning."""
    before_ns: int | None
    """Earliest time after it; None at the end."""
    seconds: int
    records: int | None
    """None where that is not known: nothing sound follows, and the recording was not finished."""


class Verified(NamedTuple):
    """What came of reading all of a session."""

    seconds: int
    """All that there were, as far as can be told."""
    records: int
    """In those that are sound."""
    verdicts: int
    gaps: tuple[Gap, ...]
    note: str | None

    @property
    def lost(self) -> int:
        """Seconds that are lost."""
        return sum(gap.seconds for gap in self.gaps)


def verified(reader: SessionReader) -> Verified:
    """Read all of a session."""
    gaps: list[Gap] = []
    seconds = records = verdicts = 0
    for part in with_gaps(reader):
        if isinstance(part, Gap):
            gaps.append(part)
        else:
            seconds, records, verdicts = seconds + 1, records + len(part.records), verdicts + len(part.verdicts)
    return Verified(seconds + sum(gap.seconds for gap in gaps), records, verdicts, tuple(gaps), reader.note)


def with_gaps(reader: SessionReader) -> Iterator[Second | Gap]:
    """Yield the sound seconds of a session, and the gaps where others are lost."""
    number, seq = 0, 1
    last_ns: int | None = None
    for second in reader.seconds():
        head = second.head
        if head.number != number + 1 or head.first_seq > seq:
            yield Gap(last_ns, head.first_ns, max(head.number - number - 1, 1), head.first_seq - seq)
        yield second
        number, seq = head.number, head.first_seq + head.records
        last_ns = last_ns if head.last_ns is None else head.last_ns
    seconds, records = reader.totals
    if seconds > number:
        yield Gap(last_ns, None, seconds - number, None if records is None else records - seq + 1)
