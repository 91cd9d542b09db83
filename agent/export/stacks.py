"""Time by endpoint, code and reason: what the formats of stacks are made of; exact, in nanoseconds.

It is the latency of the judged requests, the slow ones, all of it: what they waited for stands as a last frame
(`[lock]`), time on a CPU is the function's own. Names come from the target, and are made harmless here.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.wording import file_name
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_cells import clean
from perfwatch.agent.trees.absence import why_no_stacks
from perfwatch.agent.trees.paths import path_of
from perfwatch.agent.trees.reasons import Reason, reason_of
from perfwatch.probes.frames import MAX_FRAME_CHARS, Frame

if TYPE_CHECKING:
    from perfwatch.agent.export.exported import Exported

_KNOWN_FRAMES: Final = 65_536


class Path(NamedTuple):
    """A way through the code of one endpoint, and why time was spent at its end."""

    endpoint: str
    frames: tuple[Frame, ...]
    """The outermost first."""
    reason: Reason

    @property
    def leaf(self) -> str | None:
        """What stands below the last frame: `[lock]`; None for time on a CPU."""
        return None if self.reason == "on_cpu" else f"[{self.reason}]"


def summed(exported: Exported) -> Counter[Path]:
    """Return how many nanoseconds each path took; PerfwatchError where no code is known."""
    spent: Counter[Path] = Counter()
    is_known = False
    for request in exported.requests():
        endpoint = clean(" ".join(request.endpoint))
        for stack in request.stacks:
            is_known = is_known or bool(stack.frames)
            path = Path(endpoint, tuple(_harmless(frame) for frame in path_of(stack)), reason_of(stack))
            spent[path] += stack.spent_ns
    if not is_known:
        raise PerfwatchError(*why_no_stacks(exported.info))
    return +spent


def spelled(frame: Frame) -> str:
    """Return a frame as py-spy spells it: `Cache.get (cache.py:61)`."""
    if not frame.file:
        return frame.function
    place = file_name(frame.file)
    return f"{frame.function} ({place}:{frame.line})" if frame.line > 0 else f"{frame.function} ({place})"


@lru_cache(_KNOWN_FRAMES)
def _harmless(frame: Frame) -> Frame:
    function, file = (clean(text[:MAX_FRAME_CHARS]) for text in (frame.function, frame.file))
    return Frame(function, file, max(frame.line, 0), frame.is_native)
