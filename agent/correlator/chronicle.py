"""What happened around the requests: the target's changes, losses, listening sockets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from perfwatch.probes.records import Loss, TargetChange
from perfwatch.probes.samples import ClockReading

if TYPE_CHECKING:
    from perfwatch.probes.records import ListenerSample

_MAX_EVENTS: Final = 200
_MAX_NAMES: Final = 64
_MAX_TEXT: Final = 200
_TOLD_NS: Final = 1_000_000_000


class Chronicle:
    """Events in order of delivery, and the totals that go with them."""

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns
        self.events: deque[tuple[int, str]] = deque(maxlen=_MAX_EVENTS)
        self.lost = 0
        self.last_loss_ns: int | None = None
        self.target_gone: str | None = None
        self._clock: ClockReading | None = None
        self._losses: dict[str, int] = {}
        self._listeners: dict[str, tuple[int, int]] = {}

    @property
    def losses(self) -> tuple[tuple[str, int], ...]:
        """(probe, events lost), in order of the first loss."""
        return tuple(self._losses.items())

    @property
    def listeners(self) -> tuple[tuple[str, int, int], ...]:
        """(address, deepest accept queue of the session, its present limit)."""
        return tuple((address, *queue) for address, queue in self._listeners.items())

    def note(self, record: TargetChange | Loss | ClockReading) -> None:
        """Note what happened."""
        match record:
            case TargetChange():
                self.change(record)
            case Loss():
                self.loss(record)
            case ClockReading():
                self.clock(record)

    def change(self, change: TargetChange) -> None:
        """Note a change of the target's process tree."""
        detail = f": {change.detail[:_MAX_TEXT]}" if change.detail else ""
        if change.change == "gone":
            after_s = max(change.at_ns - self._started_ns, 0) / 1e9
            self.target_gone = f"the target ended after {after_s:.1f} s{detail}"
            self.events.append((change.at_ns, self.target_gone))
            return
        if change.change in ("attached", "executed"):
            self.target_gone = None
        self.events.append((change.at_ns, f"process {change.pid} {change.change}{detail}"))

    def clock(self, reading: ClockReading) -> None:
        """Note a suspend, and a wall clock that was set; slewing is nothing to be told of."""
        before, self._clock = self._clock, reading
        if before is None:
            return
        slept_ns = reading.suspended_ns - before.suspended_ns
        set_ns = reading.unix_ns - before.unix_ns - (reading.at_ns - before.at_ns) - slept_ns
        if slept_ns >= _TOLD_NS:
            self.events.append((reading.at_ns, f"the host was suspended for {_length(slept_ns)}"))
        if abs(set_ns) >= _TOLD_NS:
            way = "forward" if set_ns > 0 else "back"
            self.events.append((reading.at_ns, f"the wall clock was set {way} by {_length(abs(set_ns))}"))

    def loss(self, loss: Loss) -> None:
        """Note events that were lost."""
        self.lost += loss.lost
        self.last_loss_ns = loss.at_ns
        probe = loss.probe if loss.probe in self._losses or len(self._losses) < _MAX_NAMES else "other"
        self._losses[probe] = self._losses.get(probe, 0) + loss.lost
        reason = f": {loss.reason[:_MAX_TEXT]}" if loss.reason else ""
        self.events.append((loss.at_ns, f"{loss.probe} lost {loss.lost} events{reason}"))

    def listener(self, sample: ListenerSample) -> None:
        """Note how deep an accept queue was."""
        if sample.address not in self._listeners and len(self._listeners) >= _MAX_NAMES:
            return
        deepest, _ = self._listeners.get(sample.address, (0, 0))
        self._listeners[sample.address] = (max(deepest, sample.backlog), sample.backlog_max)


def _length(length_ns: int) -> str:
    seconds = length_ns // 1_000_000_000
    if seconds < 60:  # noqa: PLR2004 - a minute's
        return f"{length_ns / 1e9:.1f} s"
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
