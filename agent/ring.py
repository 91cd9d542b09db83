"""The newest part of a live stream, kept in memory: by about a second, as it came through the pipe, compressed.

One thread appends; any may read, and goes on where it was while more comes and the oldest is forgotten.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.feeder_messages import Records, framed, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.playing import Reach
    from perfwatch.probes.records import Record

MAX_BYTES: Final = 64 << 20
MAX_NS: Final = 4 * 3600 * 1_000_000_000
_CHUNK_NS: Final = 1_000_000_000
_CHUNK_BYTES: Final = 1 << 20
_LEVEL: Final = 1
"""Of compression: it makes a fifth of what comes, at 100 MB a second."""


class Ring:
    """A `Tape` that grows at one end and is forgotten at the other."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_ns: int = MAX_NS) -> None:
        self._max_bytes, self._max_ns = max_bytes, max_ns
        self._changing = threading.Lock()
        self._chunks: deque[_Chunk] = deque()
        self._bytes = 0
        self.last_ns = 0

    @property
    def first_ns(self) -> int:
        """Time of the oldest record that is kept."""
        with self._changing:
            return self._chunks[0].first_ns if self._chunks else self.last_ns

    @property
    def size_bytes(self) -> int:
        """What is kept, compressed."""
        return self._bytes

    def append(self, packed: bytes, records: Sequence[Record]) -> None:
        """Take a message, as it came and as it was read."""
        if not records:
            return
        with self._changing:
            newest = self._chunks[-1] if self._chunks else None
            if newest is None or newest.is_full:
                if newest is not None:
                    self._bytes += newest.seal()
                newest = _Chunk(newest.number + 1 if newest else 0, records[0].at_ns)
                self._chunks.append(newest)
            newest.append(packed, records)
            self.last_ns = max(self.last_ns, newest.last_ns)
            while len(self._chunks) > 1 and (self._bytes > self._max_bytes or self._is_old(self._chunks[0])):
                self._bytes -= self._chunks.popleft().size_bytes

    def records(self, start_ns: int | None = None) -> Iterator[Record | None]:
        """Yield records in order of delivery, from a moment on; None where no more has come yet."""
        number, done = self._number_at(start_ns), 0
        while True:
            chunk = self._chunk(number)
            if chunk is None or (chunk.number == number and not chunk.is_sealed and chunk.count == done):
                yield None
                continue
            if chunk.number != number:
                number, done = chunk.number, 0
            is_sealed = chunk.is_sealed  # before it is read: what comes afterwards is read with the next turn
            for record in chunk.records()[done:]:
                done += 1
                if start_ns is None or record.at_ns >= start_ns:
                    yield record
            if is_sealed:
                number, done = number + 1, 0

    def begin(self, at_ns: int, reach: Reach) -> int:
        """Return where to begin, to know what lay within reach before a moment; the chunk of it always does."""
        with self._changing:
            spans = [(chunk.first_ns, chunk.count) for chunk in reversed(self._chunks)]
        return max(self.first_ns, reach.begin(at_ns, spans))

    def _is_old(self, chunk: _Chunk) -> bool:
        return chunk.last_ns < self.last_ns - self._max_ns

    def _number_at(self, start_ns: int | None) -> int:
        """Return the number of the first chunk that has a record of a moment or later."""
        with self._changing:
            for chunk in self._chunks:
                if start_ns is None or chunk.last_ns >= start_ns:
                    return chunk.number
            return self._chunks[-1].number + 1 if self._chunks else 0

    def _chunk(self, number: int) -> _Chunk | None:
        """Return a chunk, or the oldest that is left where it is forgotten; None where it has not come yet."""
        with self._changing:
            if not self._chunks or number > self._chunks[-1].number:
                return None
            return self._chunks[max(number - self._chunks[0].number, 0)]


class _Chunk:
    """Messages of about a second; sealed, they are compressed and do not change any more."""

    def __init__(self, number: int, first_ns: int) -> None:
        self.number = number
        self.first_ns = self.last_ns = first_ns
        self.count = self.size_bytes = 0
        self._messages: list[bytes] = []
        self._packed: bytes | None = None

    @property
    def is_sealed(self) -> bool:
        return self._packed is not None

    @property
    def is_full(self) -> bool:
        return self.last_ns - self.first_ns >= _CHUNK_NS or self.size_bytes >= _CHUNK_BYTES

    def append(self, packed: bytes, records: Sequence[Record]) -> None:
        self._messages.append(packed)
        self.count += len(records)
        self.size_bytes += len(packed)
        self.last_ns = max(self.last_ns, records[-1].at_ns)

    def seal(self) -> int:
        """Compress it; returns what it takes from now on."""
        self._packed = zlib.compress(b"".join(map(framed, self._messages)), _LEVEL)
        self._messages = []
        self.size_bytes = len(self._packed)
        return self.size_bytes

    def records(self) -> list[Record]:
        messages = self._messages
        if self._packed is not None:
            messages, _ = whole(zlib.decompress(self._packed))
        return [record for message in messages for record in _decoder.decode(message).records]


_decoder: Final = msgspec.msgpack.Decoder(Records)
