"""How blobs are compressed: LZMA where Python has it, as it makes them a tenth smaller than zlib at a like cost.

The first byte of a blob says which; `x`: a raw LZMA2 stream, `z`: zlib.
"""

from __future__ import annotations

import zlib
from typing import Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.stored import Damaged

try:
    import lzma
except ImportError:  # a Python that was built without liblzma
    lzma = None  # type: ignore[assignment]

_ZLIB_LEVEL: Final = 6
_LZMA_PRESET: Final = 1
"""What comes after it makes blobs 1 % smaller, and takes three times as long."""
_BEST_PRESET: Final = 6
_DICT_BYTES: Final = 1 << 20
"""With it, either preset is unpacked alike; `pb`, which is for what comes in fours of bytes, stands in the stream."""


def compress(data: bytes, *, at_leisure: bool = False) -> bytes:
    """Return data compressed; a little more where there is time for it."""
    if lzma is None:
        return b"z" + zlib.compress(data, _ZLIB_LEVEL)
    return b"x" + lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(_BEST_PRESET if at_leisure else _LZMA_PRESET))


def decompress(blob: bytes, most: int) -> bytes:
    """Return what was compressed, never more than `most` bytes; Damaged for anything else."""
    if blob[:1] == b"z":
        return unzip(memoryview(blob)[1:], most)
    if blob[:1] != b"x":
        raise Damaged
    if lzma is None:
        raise PerfwatchError("this Python has no module lzma, which the recording needs", "use a Python that has it")
    expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters())
    try:
        data = expand.decompress(memoryview(blob)[1:], most)
    except lzma.LZMAError:
        raise Damaged from None
    if not expand.eof or expand.unused_data:
        raise Damaged
    return data


def unzip(data: bytes | memoryview, most: int) -> bytes:
    """Return what zlib compressed, never more than `most` bytes; Damaged, or zlib.error, for anything else."""
    expand = zlib.decompressobj()
    expanded = expand.decompress(data, most)
    if not expand.eof or expand.unused_data:
        raise Damaged
    return expanded


def _filters(preset: int = _LZMA_PRESET) -> list[dict[str, int]]:
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": _DICT_BYTES, "pb": 0}]
