"""What the service says: a line an event, on stderr, where a journal or a container's log takes it."""

from __future__ import annotations

import sys
from contextlib import suppress

from perfwatch.agent.target import printable


def say(line: str) -> None:
    """Say it; where nobody can take it, such as a log on a full disk, the recording goes on."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"perfwatch: {printable(line)}\n")
        sys.stderr.flush()
