"""Makes a new session of another: repaired, cut, compacted. What is written has its name only when it is whole."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import place
from perfwatch.agent.session.gaps import Gap, with_gaps
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.renumbering import Highest
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import Loss, ServedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.session.stored import StoredVerdict
    from perfwatch.probes.records import Record

_VERDICT_SECONDS: Final = 8
"""So many commits after a request its verdict may still come: it is given within 5 s."""
_VERDICT_NS: Final = 5_000_000_000


class Rewriter:
    """A session that is made of others; verdicts are kept of the requests that are in it."""

    def __init__(self, writer: SessionWriter) -> None:
        self._writer = writer
        self._recent: deque[dict[int, int]] = deque(maxlen=_VERDICT_SECONDS)
        self.highest = Highest()
        self.records = 0

    def second(self, records: Sequence[Record], verdicts: Sequence[StoredVerdict]) -> None:
        """Write one second."""
        self._recent.append({one.id: one.at_ns for one in records if isinstance(one, ServedRequest)})
        for record in records:
            self._writer.write(record)
            self.highest.see(record)
        for verdict in verdicts:
            at_ns = next((one[verdict.request_id] for one in self._recent if verdict.request_id in one), None)
            if at_ns is not None:
                self._writer.write_stored(verdict, at_ns)
        self._writer.commit()
        self.records += len(records)


def repair(path: Path, output: Path, *, overwrite: bool = False) -> list[Gap]:
    """Write all that is sound, with the losses told where they are; returns these."""
    gaps: list[Gap] = []

    def fill(reader: SessionReader, rewriter: Rewriter) -> str:
        for part in with_gaps(reader):
            if isinstance(part, Gap):
                gaps.append(part)
                rewriter.second((loss(part, reader.first_ns),), ())
            else:
                rewriter.second(part.records, part.verdicts)
        return ended(reader)

    with SessionReader(path) as reader:
        make(output, reader.info, lambda rewriter: fill(reader, rewriter), overwrite=overwrite)
    return gaps


def cut(path: Path, output: Path, begin_ns: int, end_ns: int, *, overwrite: bool = False) -> int:
    """Write the records of a stretch, and the verdicts on its requests; returns how many records there are."""

    def fill(reader: SessionReader, rewriter: Rewriter) -> str:
        for second in reader.seconds(begin_ns):
            head = second.head
            if head.first_ns is not None and head.first_ns > end_ns + _VERDICT_NS:
                break
            kept = [record for record in second.records if begin_ns <= record.at_ns <= end_ns]
            rewriter.second(kept, second.verdicts)
        if not rewriter.records:
            raise PerfwatchError(
                f"{path} holds nothing of that time", "perfwatch session info tells when it was recorded"
            )
        return "it was cut from a longer recording"

    with SessionReader(path) as reader:
        return make(output, reader.info, lambda rewriter: fill(reader, rewriter), overwrite=overwrite)


def compact(path: Path, output: Path, *, overwrite: bool = False) -> int:
    """Write a session anew, in the current format and as small as can be; PerfwatchError for one that is damaged."""

    def fill(reader: SessionReader, rewriter: Rewriter) -> str:
        for part in with_gaps(reader):
            if isinstance(part, Gap):
                raise PerfwatchError(f"{path} is damaged", f"perfwatch session repair {path} -o OUT")
            rewriter.second(part.records, part.verdicts)
        return ended(reader)

    with SessionReader(path) as reader:
        return make(output, reader.info, lambda rewriter: fill(reader, rewriter), overwrite=overwrite)


def ended(reader: SessionReader) -> str:
    """Return why a recording ended, in words also where it was not finished."""
    if reader.ended is not None:
        return reader.ended
    return "it was still being recorded" if reader.is_live else "it was cut off"


def make(output: Path, info: SessionInfo, fill: Callable[[Rewriter], str], *, overwrite: bool) -> int:
    """Let `fill` write a session, and give it its name; returns how many records it has."""
    count = 0

    def made(draft: Path) -> None:
        nonlocal count
        with SessionWriter(draft, info, overwrite=True, at_leisure=True) as writer:
            rewriter = Rewriter(writer)
            writer.close(fill(rewriter))
            count = rewriter.records

    place.make(place.settle(output), made, overwrite=overwrite)
    return count


def loss(gap: Gap, first_ns: int) -> Loss:
    """Return what a reader is told of a gap: an event for each record, or for each second where these are not known."""
    at_ns = gap.after_ns if gap.after_ns is not None else gap.before_ns
    seconds = f"{gap.seconds} seconds" if gap.seconds != 1 else "1 second"
    lost = gap.seconds if gap.records is None else gap.records
    return Loss(first_ns if at_ns is None else at_ns, "session", lost, f"{seconds} of the recording were damaged")
