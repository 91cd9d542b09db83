"""A request over time: one row for each step, its words at the left, its place on the axis at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from perfwatch.agent.call_bars import drawn
from perfwatch.agent.course_step import Step, fitted
from perfwatch.tui import palette
from perfwatch.tui.draw import runs
from perfwatch.tui.format import clean, duration, duration_ns, fit
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.tui.palette import Ink

_NS_PER_MS = 1_000_000
_NICE = (1, 2, 5)
_NAME = 10
_FIGURES = 23
"""Cells of glyph, name and length."""
_ROOM = 12
"""Rows where it is not told how many there may be."""
SOMEWHERE = palette.Ink("·", palette.FAINT, "somewhere here", "not told one by one: it lies anywhere among these")
REST = palette.Ink("…", palette.QUIET, "the rest", "steps too short to be shown one by one")


class Waterfall(RowList[Step]):
    """Keys are the numbers of the rows; choosing one leads to who is to blame for it."""

    KEYS_OF = "the steps of a request"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "culprit of this step", show=False)]

    class Pointed(Message):
        """The cursor is on another step, or it is another: `detail` tells all of it."""

        def __init__(self, detail: Text) -> None:
            super().__init__()
            self.detail = detail

    _room = _ROOM

    def begin(self) -> None:
        """Have no steps yet."""
        super().begin()
        self._steps: tuple[Step, ...] = ()
        self._length_ns = 1
        self._is_each = False

    def plot(self, steps: Sequence[Step], length_ns: int, *, is_new: bool) -> None:
        """Take the steps of a request; of another one (`is_new`) the cursor goes to the longest."""
        self._steps, self._length_ns = tuple(steps), max(1, length_ns)
        self._refill(is_new=is_new)

    def fit_into(self, room: int) -> None:
        """Put steps together where there are more than so many rows."""
        if room != self._room:
            self._room = room
            self._refill(is_new=not self._is_each)

    def show_each(self) -> None:
        """Show each step by itself, or put together as it fits."""
        self._is_each = not self._is_each
        self._refill(is_new=True)

    def _refill(self, *, is_new: bool) -> None:
        steps = self._steps if self._is_each else fitted(self._steps, self._room)
        self.show([(str(number), step) for number, step in enumerate(steps)])
        if is_new and steps:
            longest = max(range(len(steps)), key=lambda number: (not steps[number].parts, steps[number].spent_ns))
            self._move_to(longest)
        self.refresh()
        self._point()

    def _move_to(self, index: int) -> None:
        super()._move_to(index)
        self._point()

    def _point(self) -> None:
        step = self.pointed
        self.post_message(self.Pointed(Text() if step is None else told_in_full(step)))

    # Painting

    def heading(self, width: int) -> Text:
        """Draw the time axis above the bars."""
        left, bars = _split(width)
        merged = sum(step.count for _, step in self._rows) - len(self._rows)
        key = "e together" if self._is_each else "e each" if merged or len(self._steps) > len(self._rows) else ""
        text = Text.assemble(("where the time went  ", palette.STRONG))
        text.append(key[:1], f"bold {palette.ACCENT}").append(key[1:], palette.QUIET)
        text.truncate(left, overflow="ellipsis", pad=True)
        return text.append(scale(self._length_ns / _NS_PER_MS, bars), palette.QUIET)

    def row(self, item: Step, width: int) -> Text:
        """Show one step."""
        left, bars = _split(width)
        ink = ink_of(item)
        text = Text.assemble(
            (f"{ink.glyph} {fit(ink.name, _NAME)}", ink.colour),
            (f"{duration_ns(item.spent_ns):>8}  ", palette.STRONG),
            (fit(clean("  ".join(_words(item))), max(0, left - _FIGURES)), palette.QUIET),
            " ",
        )
        return text.append_text(self._bar(item, bars))

    def _bar(self, item: Step, width: int) -> Text:
        found = ((ink, begin, end) for ink, stretches in _inked(item) for begin, end in stretches)
        cells = drawn(found, self._length_ns, width)
        return runs([(" ", palette.FAINT) if ink is None else (ink.glyph, ink.colour) for ink in cells])

    def empty(self) -> str:
        """Say that nothing is known."""
        return "no step of it was recorded"


def ink_of(step: Step) -> Ink:
    """Return how a step is drawn."""
    if step.parts:
        return REST
    return palette.UNACCOUNTED if step.bucket is None else palette.INKS[step.bucket]


def told_in_full(step: Step) -> Text:
    """Say all of a step; of the rest what it is made of."""
    ink = ink_of(step)
    text = Text.assemble((f"{ink.glyph} {ink.name} ", ink.colour), (duration_ns(step.spent_ns), palette.STRONG))
    if step.parts:
        return text.append("  ").append_text(Text("  ").join(map(_short, step.parts)))
    text.append(f"  at +{duration_ns(step.begin_ns)}" if step.stretches and not step.is_sum else "", palette.QUIET)
    for part in _words(step):
        text.append(f"  {clean(part)}", palette.TEXT)
    return text


def _words(step: Step) -> Iterator[str]:
    """Say on whom before where: that is what one looks for."""
    if step.parts:
        yield f"{step.count} shorter ones"
        return
    if step.count > 1:
        yield f"{step.count} x"
    yield from (part for part in (step.what, step.whom) if part)
    if step.place:
        yield f"in {step.place}" if " in " not in step.place else step.place


def _short(step: Step) -> Text:
    ink = ink_of(step)
    return Text.assemble((f"{ink.glyph} {ink.name} ", ink.colour), (duration_ns(step.spent_ns), palette.TEXT))


def _inked(step: Step) -> Iterator[tuple[Ink, tuple[tuple[int, int], ...]]]:
    """Yield what to draw; of a sum only dots: it lies somewhere there."""
    if step.parts:
        yield from ((ink_of(part), part.stretches) for part in step.parts if not part.is_sum)
    else:
        yield SOMEWHERE if step.is_sum else ink_of(step), step.stretches


def _split(width: int) -> tuple[int, int]:
    """Share the width between the words and the bars."""
    left = min(86, max(34, width * 55 // 100))
    return left, max(1, width - left)


def scale(length_ms: float, width: int) -> str:
    """Write round times at their places on an axis, as many as fit well."""
    step = next((step for step in _round_steps() if length_ms / step * 10 <= width), length_ms)
    line = " " * width
    for number in range(int(length_ms / step) + 1):
        label = duration(number * step) if number else "0"
        at = int(number * step / length_ms * width) if length_ms else 0
        if at + len(label) < width:
            line = line[:at] + label + line[at + len(label) :]
    return line


def _round_steps() -> list[float]:
    return [nice * 10.0**power for power in range(-2, 9) for nice in _NICE]
