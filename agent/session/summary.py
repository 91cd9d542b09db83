"""What a session is, in short: read from what frames it, not from all that it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from pathlib import Path


class Summary(msgspec.Struct, frozen=True):
    """A session; times in Unix seconds. The names are a contract: `perfwatch session info --json`."""

    file: str
    format: int
    bytes: int
    """With its siblings, while it has some."""
    state: Literal["finished", "recording", "cut off", "damaged"]
    ended: str | None
    """Why the recording ended."""
    perfwatch_version: str
    hostname: str
    pid: int
    command: str
    fidelity: str
    first: float
    last: float
    duration_s: float
    """On the host's monotonic clock: without the time that it was suspended."""
    seconds: int
    records: int
    verdicts: int
    """As its rows say, unchecked: `verify` reads all."""
    bytes_per_s: float | None
    clock_changes: int
    """How often the wall clock was told anew after the start: set, slewed by 10 ms, or the host suspended."""
    note: str | None


def summarize(path: Path) -> Summary:
    """Open a session and say what it is; raises PerfwatchError where it is none."""
    with SessionReader(path) as reader:
        info, duration_s = reader.info, (reader.last_ns - reader.first_ns) / 1e9
        records, verdicts = reader.counted()
        size = _bytes(path)
        return Summary(
            file=str(path),
            format=reader.version,
            bytes=size,
            state=_state(reader),
            ended=reader.ended,
            perfwatch_version=info.perfwatch_version,
            hostname=info.hostname,
            pid=info.pid,
            command=info.command,
            fidelity=info.fidelity,
            first=info.unix_s(reader.first_ns),
            last=info.unix_s(reader.last_ns),
            duration_s=duration_s,
            seconds=reader.totals[0],
            records=records,
            verdicts=verdicts,
            bytes_per_s=size / duration_s if duration_s >= 1 else None,
            clock_changes=max(len(info.clocks) - 1, 0),
            note=reader.note,
        )


def _state(reader: SessionReader) -> Literal["finished", "recording", "cut off", "damaged"]:
    if reader.is_damaged:
        return "damaged"
    if reader.finished:
        return "finished"
    return "recording" if reader.is_live else "cut off"


def _bytes(path: Path) -> int:
    siblings = (path.with_name(path.name + suffix) for suffix in ("", "-wal"))
    return sum(one.stat().st_size for one in siblings if one.is_file())
