"""What is known of the Python code around the requests: stacks of threads, the interpreter's lock, its collector."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.correlator.spans import Spans
from perfwatch.probes import frames

if TYPE_CHECKING:
    from perfwatch.probes.frames import GcPause, PythonSample, ThreadStacks

CodeRecord: TypeAlias = frames.ThreadStacks | frames.PythonSample | frames.GcPause | frames.Span
_PAUSES: Final = 4096
_READINGS: Final = 256
_MAX_PROCESSES: Final = 256


class Code:
    """The newest of each; bounded."""

    def __init__(self) -> None:
        self.pauses: deque[GcPause] = deque(maxlen=_PAUSES)
        """In order of delivery."""
        self.stacks: deque[ThreadStacks] = deque(maxlen=_READINGS)
        """In order of delivery."""
        self.interpreters: Recent[int, PythonSample] = Recent(_MAX_PROCESSES)
        """The last reading of each process."""
        self.spans = Spans()

    def take(self, record: CodeRecord) -> None:
        """Keep a record."""
        match record:
            case frames.GcPause():
                self.pauses.append(record)
            case frames.ThreadStacks():
                self.stacks.append(record)
            case frames.PythonSample():
                self.interpreters.put(record.pid, record)
            case frames.Span():
                self.spans.take(record)
