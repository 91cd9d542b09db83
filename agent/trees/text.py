"""A call tree as text: pyinstrument's console renderer, with times and shares as perfwatch writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pyinstrument.renderers import ConsoleRenderer

from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.report_cells import cells, fit
from perfwatch.agent.trees.reasons import described

if TYPE_CHECKING:
    from pyinstrument.frame import Frame
    from pyinstrument.session import Session

_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")
"""What the renderer colours with; names hold no escape any more."""
_END: Final = "\x1b[0m"


def tree_text(session: Session, width: int, *, color: bool = False) -> str:
    """Return the tree as lines of at most `width` cells; what is below 1 % of it counts to its caller only."""
    drawn = _Tree(unicode=True, color=color).render(session)
    return "".join(f"{_cut(line.rstrip(), width)}\n" for line in drawn.splitlines() if line.strip())


class _Tree(ConsoleRenderer):
    def render_preamble(self, session: Session) -> str:  # noqa: ARG002 - pyinstrument's signature
        """Leave the heading to the report."""
        return ""

    def frame_description(self, frame: Frame, **_: Any) -> str:
        """Describe one line: `391 ms  76 %  Cache.get  cache.py:61`."""
        colors = self.colors
        spent = f"{self._ansi_color_for_time(frame.time)}{duration(frame.time * 1e9)}{colors.end}"
        share = percent(self.frame_proportion_of_total_time(frame.time))
        name, place = described(frame)
        shown = f"{self._ansi_color_for_name(frame)}{name}{colors.end}"
        return f"{spent}  {share}  {shown}  {colors.faint}{place}{colors.end}"


def _cut(line: str, width: int) -> str:
    """Cut a coloured line at a width, with an ellipsis."""
    pieces = _STYLE.split(line)
    if cells("".join(pieces[::2])) <= width:
        return line
    kept, room = "", width
    for text, style in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if cells(text) > room - 1:
            return kept + fit(text, room).rstrip() + (_END if len(pieces) > 1 else "")
        kept, room = kept + text + style, room - cells(text)
    return kept
