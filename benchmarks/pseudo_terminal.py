"""A program in a pseudo terminal, and as much of a terminal as it takes to see when a key was answered."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TOKEN: Final = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H|\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[^\[]|(?P<line>\n)|(?P<text>[^\x1b\n]+)"
)
_TAIL: Final = re.compile(r"\x1b[^A-Za-z]*$")
"""The beginning of a sequence whose end was not read yet."""
READ_BYTES: Final = 1 << 20
_TO_LISTEN_S: Final = 0.000_2
"""So long the thread that reads waits at most for the one that makes out what stands where."""


class PseudoTerminal:
    """Holds what stands in each line, roughly: text is put where the cursor was moved to; colours are passed over."""

    def __init__(self, command: Sequence[str], width: int, height: int) -> None:
        self._rest = ""
        self._row = self._column = 0
        self.lines = [" " * width for _ in range(height)]
        self.bytes_read = 0
        self._pieces: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._handle, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._own = tempfile.TemporaryDirectory()
        own = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), self._own.name)
        environment = {**os.environ, **own, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # where it is installed it is compiled once
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Read at once what comes, until the program has ended: to make out what stands where takes longer."""
        with contextlib.suppress(OSError):
            while data := os.read(self._handle, READ_BYTES):
                self._pieces.put((time.monotonic(), data))

    def press(self, key: bytes) -> None:
        """Send the bytes of a key."""
        os.write(self._handle, key)

    def until(self, condition: Callable[[PseudoTerminal], bool], timeout_s: float = 20.0) -> float:
        """Read until the screen fulfils a condition; returns when what fulfils it came, on the monotonic clock."""
        came_s, end = time.monotonic(), time.monotonic() + timeout_s
        while not condition(self):
            if (found := self.read(end - time.monotonic())) is None:
                raise TimeoutError("\n".join(self.lines))
            came_s = found
        return came_s

    def read(self, timeout_s: float) -> float | None:
        """Take the next piece that comes within so long; returns when it came, None if none did."""
        try:
            came_s, data = self._pieces.get(timeout=max(timeout_s, 0))
        except queue.Empty:
            return None
        self.bytes_read += len(data)
        self._take(self._decoder.decode(data))
        return came_s

    def read_for(self, seconds: float) -> None:
        """Take all that comes in so long."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            self.read(left_s)

    def has(self, text: str) -> bool:
        """Tell whether a text stands in a line."""
        return any(text in line for line in self.lines)

    def row_of(self, text: str, after: int = 0) -> int | None:
        """Return the first line from a given one on that has a text."""
        return next((row for row in range(after, len(self.lines)) if text in self.lines[row]), None)

    def _take(self, text: str) -> None:
        text = self._rest + text
        cut = _TAIL.search(text)
        self._rest = cut[0] if cut else ""
        for token in _TOKEN.finditer(text, 0, cut.start() if cut else len(text)):
            if token["row"]:
                self._row, self._column = int(token["row"]) - 1, int(token["column"]) - 1
            elif token["line"]:
                self._row, self._column = self._row + 1, 0
            elif token["text"]:
                self._put(token["text"].replace("\r", ""))

    def _put(self, text: str) -> None:
        if 0 <= self._row < len(self.lines):
            line = self.lines[self._row]
            self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)

    def close(self) -> None:
        """End the program."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._handle)
        self._own.cleanup()


@contextlib.contextmanager
def pseudo_terminal(command: Sequence[str], width: int, height: int) -> Iterator[PseudoTerminal]:
    """Run a command until the end of the block."""
    turn_s = sys.getswitchinterval()
    sys.setswitchinterval(_TO_LISTEN_S)
    opened = PseudoTerminal(command, width, height)
    try:
        yield opened
    finally:
        opened.close()
        sys.setswitchinterval(turn_s)
