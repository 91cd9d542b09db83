"""A Perfetto trace while it is written: tracks, slices and counters, as packets of perfetto_trace.proto.

Slices of a track must lie inside or beside each other. `put` keeps to that: what is inside of a slice is cut to it, and
a slice that overlaps another of its track goes to a further row, which is a track of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from perfwatch.agent.model import SessionInfo

Track: TypeAlias = int
"""Its `uuid`."""
Told: TypeAlias = Mapping[str, "str | float | Told | None"]
"""What is shown of a slice that is selected; None is left out."""
_SEQUENCE: Final = 1
_FURTHER: Final = "at the same time"
"""Name of the further rows of a thread."""
_MONOTONIC, _REALTIME = proto.BUILTIN_CLOCK_MONOTONIC, proto.BUILTIN_CLOCK_REALTIME
_MAX_INT64: Final = 2**63 - 1
_MAX_INT32: Final = 2**31 - 1


class Slice(NamedTuple):
    """A stretch of time with a name; times are the recording's, names and strings may be untrusted."""

    begin_ns: int
    end_ns: int
    name: str
    told: Told = {}  # noqa: RUF012 - it is only read
    inner: tuple[Slice, ...] = ()
    arrows: tuple[int, ...] = ()
    """Numbers of the arrows that begin or end here: slices of the same number are joined in order of time."""


class Trace:
    """Writes packets as it is told things; nothing but tracks is kept in memory."""

    def __init__(self, out: BinaryIO, info: SessionInfo) -> None:
        self._packets = StreamingTraceProtoBuilder(out)
        self._numbers = count(1)
        self._tracks: dict[tuple[Track | None, str], Track] = {}
        self._named: dict[Track, tuple[Track | None, str]] = {}
        self._rows: dict[Track, list[tuple[Track, int]]] = {}
        """Of each track those of the same name, and when the last slice of each ended."""
        packet = self._packets.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        packet.trace_packet_defaults.timestamp_clock_id = _MONOTONIC
        packet.clock_snapshot.primary_trace_clock = _MONOTONIC
        for clock, at_ns in ((_MONOTONIC, info.started_ns), (_REALTIME, info.started_unix_ns)):
            packet.clock_snapshot.clocks.add(clock_id=clock, timestamp=_within(at_ns))
        self._packets.write_packet(packet)

    def track(self, name: str, parent: Track | None = None) -> Track:
        """Return the track of this name below another, or at the top; made when it is first asked for."""
        return self._tracks.get((parent, name)) or self._new(parent, name, {"name": clean(name)})

    def counter(self, name: str, parent: Track, unit: str) -> Track:
        """Return the track of a counter; its unit is shown with its values."""
        told = {"name": clean(name), "counter": {"unit_name": unit}}
        return self._tracks.get((parent, name)) or self._new(parent, name, told)

    def process(self, pid: int, name: str) -> Track:
        """Return the track of a process; its threads are shown below it."""
        key = f"process {pid}"
        told = {"process": {"pid": _within(pid, _MAX_INT32), "process_name": clean(name)}}
        return self._tracks.get((None, key)) or self._new(None, key, told)

    def thread(self, pid: int, tid: int, name: str) -> Track:
        """Return the track of a thread; the name is taken when it is first asked for."""
        key = f"thread {pid} {tid}"
        pid, tid = _within(pid, _MAX_INT32), _within(tid, _MAX_INT32)
        told = {"thread": {"pid": pid, "tid": tid, "thread_name": clean(name)}}
        return self._tracks.get((None, key)) or self._new(None, key, told)

    def put(self, track: Track, one: Slice) -> None:
        """Write a slice and what is inside of it; in order of their ends, slices take up the fewest rows."""
        one = one._replace(end_ns=max(one.end_ns, one.begin_ns))
        self._slice(self._row(track, one.begin_ns, one.end_ns), one)

    def count(self, counter: Track, at_ns: int, value: float) -> None:
        """Write the value that a counter has from a moment on."""
        packet = self._event(counter, at_ns, proto.TrackEvent.TYPE_COUNTER)
        packet.track_event.double_counter_value = value
        self._packets.write_packet(packet)

    def _slice(self, track: Track, one: Slice) -> None:
        packet = self._event(track, one.begin_ns, proto.TrackEvent.TYPE_SLICE_BEGIN)
        packet.track_event.name = clean(one.name)
        packet.track_event.flow_ids.extend(one.arrows)
        _tell(packet.track_event.debug_annotations, one.told)
        self._packets.write_packet(packet)
        for part in _beside(one):
            self._slice(track, part)
        self._packets.write_packet(self._event(track, one.end_ns, proto.TrackEvent.TYPE_SLICE_END))

    def _row(self, track: Track, begin_ns: int, end_ns: int) -> Track:
        """Return the first row of a track that is free for a slice, a new one if there is none."""
        rows = self._rows.setdefault(track, [(track, 0)])
        for place, (row, ended_ns) in enumerate(rows):
            if ended_ns <= begin_ns:
                rows[place] = (row, end_ns)
                return row
        parent, name = self._named[track]
        rows.append((self._describe(parent, {"name": clean(name)}), end_ns))
        return rows[-1][0]

    def _new(self, parent: Track | None, name: str, told: Mapping[str, object]) -> Track:
        track = self._tracks[parent, name] = self._describe(parent, told)
        self._named[track] = (parent, name) if "name" in told else (track, _FURTHER)
        return track

    def _describe(self, parent: Track | None, told: Mapping[str, object]) -> Track:
        packet = self._packets.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        uuid = next(self._numbers)
        packet.track_descriptor.CopyFrom(proto.TrackDescriptor(uuid=uuid, parent_uuid=parent, **told))
        self._packets.write_packet(packet)
        return uuid

    def _event(self, track: Track, at_ns: int, kind: int) -> Any:
        packet = self._packets.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.timestamp = _within(at_ns)
        packet.track_event.track_uuid = track
        packet.track_event.type = kind
        return packet


def _beside(one: Slice) -> Iterator[Slice]:
    """Yield what is inside of a slice, cut so that nothing overlaps or leaves it."""
    at_ns = one.begin_ns
    for part in sorted(one.inner, key=lambda part: part.begin_ns):
        begin_ns, end_ns = max(part.begin_ns, at_ns), min(part.end_ns, one.end_ns)
        if end_ns > begin_ns:
            yield part._replace(begin_ns=begin_ns, end_ns=end_ns)
            at_ns = end_ns


def _tell(annotations: Any, told: Told) -> None:
    for name, value in told.items():
        if value is None:
            continue
        annotation = annotations.add(name=name)
        if isinstance(value, str):
            annotation.string_value = clean(value)
        elif isinstance(value, int):
            annotation.int_value = _within(value)
        elif isinstance(value, float):
            annotation.double_value = value
        else:
            _tell(annotation.dict_entries, value)


def _within(number: int, most: int = _MAX_INT64) -> int:
    """Return a number that fits in its field, whatever a recording claims."""
    return min(max(number, 0), most)
