"""A profile for pprof: `go tool pprof -http : FILE`; a gzipped protobuf message.

A sample is a path with its time, as a whole and by whether it ran or waited; its labels are `endpoint` and `reason`.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from perfwatch.agent.export.pprof_messages import Message, new_profile
from perfwatch.agent.export.stacks import Path, summed
from perfwatch.agent.report_cells import clean
from perfwatch.agent.trees.reasons import RAN
from perfwatch.probes.frames import Frame

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported

_TYPES: Final = ("latency", "on_cpu", "waited")


def write(exported: Exported, out: BinaryIO) -> None:
    """Write the profile."""
    spent, info = summed(exported), exported.info
    made = _Profile(clean(info.command), f"perfwatch {clean(info.perfwatch_version)}")
    for path, spent_ns in spent.most_common():
        made.add(path, spent_ns)
    made.message.time_nanos = info.started_unix_ns
    with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packed:
        packed.write(made.message.SerializeToString(deterministic=True))


class _Profile:
    """The message while it grows; strings, functions and locations are told once each."""

    def __init__(self, command: str, comment: str) -> None:
        self.message: Message = new_profile()
        self._strings: dict[str, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}
        self._string("")
        for name in _TYPES:
            self.message.sample_type.add(type=self._string(name), unit=self._string("nanoseconds"))
        self.message.default_sample_type = self._string(_TYPES[0])
        self.message.comment.append(self._string(comment))
        all_known = {"has_functions": True, "has_filenames": True, "has_line_numbers": True}
        self.message.mapping.add(id=1, filename=self._string(command), **all_known)

    def add(self, path: Path, spent_ns: int) -> None:
        """Take the time of a path."""
        has_run = path.reason in RAN
        sample = self.message.sample.add(value=(spent_ns, spent_ns * has_run, spent_ns * (not has_run)))
        frames = [*path.frames, *((Frame(path.leaf, "", 0),) if path.leaf is not None else ())]
        sample.location_id.extend(self._location(frame) for frame in reversed(frames))
        for key, told in (("endpoint", path.endpoint), ("reason", path.reason)):
            sample.label.add(key=self._string(key), str=self._string(told))

    def _string(self, text: str) -> int:
        if text not in self._strings:
            self._strings[text] = len(self._strings)
            self.message.string_table.append(text)
        return self._strings[text]

    def _location(self, frame: Frame) -> int:
        if frame not in self._locations:
            number = self._locations[frame] = len(self._locations) + 1
            location = self.message.location.add(id=number, mapping_id=1)
            location.line.add(function_id=self._function(frame), line=frame.line)
        return self._locations[frame]

    def _function(self, frame: Frame) -> int:
        key = (frame.function, frame.file)
        if key not in self._functions:
            number = self._functions[key] = len(self._functions) + 1
            self.message.function.add(id=number, name=self._string(frame.function), filename=self._string(frame.file))
        return self._functions[key]
