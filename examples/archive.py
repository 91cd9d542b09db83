"""A file that is read from the disk itself, past the page cache: what a report over old data does."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import time
from typing import Final, Self

SIZE_BYTES: Final = 16 << 20
READ_BYTES: Final = 4 << 20
AIM_S: Final = 0.08
MAX_READS: Final = 400
DIRECTORIES: Final = ("/var/tmp", tempfile.gettempdir())  # /tmp is often in memory


class Archive:
    """An unlinked file on a disk; `read` takes about `AIM_S`, however fast the disk is.

    O_DIRECT wants a buffer and offsets that are aligned: an anonymous mapping is aligned to pages.
    """

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is open for reading; it is read once, to see how much makes `AIM_S`."""
        self._descriptor = descriptor
        self._reads = 8
        started = time.monotonic()
        self.read()
        self._reads = max(1, min(MAX_READS, int(8 * AIM_S / (time.monotonic() - started))))

    @classmethod
    def in_temporary_file(cls) -> Self:
        """Write the file where O_DIRECT is allowed; where that is nowhere, it is read from memory, fast."""
        for directory, flag in (
            *((directory, os.O_DIRECT) for directory in DIRECTORIES),
            (DIRECTORIES[-1], 0),
        ):
            with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=directory) as file:
                file.write(os.urandom(READ_BYTES) * (SIZE_BYTES // READ_BYTES))
                file.flush()
                os.fsync(file.fileno())
                return cls(os.open(file.name, os.O_RDONLY | flag))
        raise OSError(f"no file can be written in {' or '.join(DIRECTORIES)}")

    def read(self) -> int:
        """Read pieces of it from the disk; returns the bytes read."""
        with mmap.mmap(-1, READ_BYTES) as buffer:
            offsets = (index * READ_BYTES % SIZE_BYTES for index in range(self._reads))
            return sum(os.preadv(self._descriptor, [buffer], offset) for offset in offsets)
