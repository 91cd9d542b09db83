"""Time as cells: which cell of the timeline a moment falls into, and back; pure."""

from __future__ import annotations

from typing import Final

import msgspec

_STEPS_MS: Final = (
    *(100, 200, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000),
)


class Axis(msgspec.Struct, frozen=True):
    """Cells of one step each; the newest moment is in the last cell.

    Cells lie on multiples of the step: a mark stays with its neighbours while the axis moves on.
    """

    first_ns: int
    last_ns: int
    width: int
    step_ns: int

    @classmethod
    def spanning(cls, first_ns: int, last_ns: int, width: int) -> Axis:
        """Choose the smallest step with which the whole stream fits."""
        width = max(width, 1)
        span_ns = max(last_ns - first_ns, 0)
        steps = (step * 1_000_000 for step in _STEPS_MS)
        step = next((step for step in steps if step * (width - 1) >= span_ns), span_ns // max(width - 1, 1) + 1)
        return cls(first_ns, last_ns, width, step)

    def cell(self, at_ns: int) -> int | None:
        """Which cell this moment is in; None outside."""
        cell = self._place(at_ns)
        return cell if 0 <= cell < self.width and self.first_ns <= at_ns <= self.last_ns else None

    def at(self, cell: int) -> int:
        """Return the moment in the middle of a cell, clamped to the stream."""
        return self._within(self.span(cell)[0] + self.step_ns // 2)

    def nearest(self, at_ns: int) -> int:
        """Which cell a moment is in, or the outermost on its side."""
        return min(max(self._place(at_ns), self.begin), self.width - 1)

    def edge(self, cell: int) -> int:
        """Return the moment at which a cell begins, clamped to the stream."""
        return self._within(self.span(cell)[0])

    def span(self, cell: int) -> tuple[int, int]:
        """Return where a cell begins, and where the next one does."""
        begin_ns = (self.last_ns // self.step_ns - (self.width - 1 - cell)) * self.step_ns
        return begin_ns, begin_ns + self.step_ns

    @property
    def begin(self) -> int:
        """The first cell that belongs to the stream."""
        return self.cell(self.first_ns) or 0

    def _place(self, at_ns: int) -> int:
        """Which cell a moment is in, were there cells at both sides for all time."""
        return self.width - 1 - (self.last_ns // self.step_ns - at_ns // self.step_ns)

    def _within(self, at_ns: int) -> int:
        return min(max(at_ns, self.first_ns), self.last_ns)
