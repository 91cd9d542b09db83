"""Titled sections below each other: the base of the pages that tell much of one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from perfwatch.agent.report_cells import wrap
from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.tui.messages import Frame

_INDENT = 3


class Section(NamedTuple):
    """A heading, what else its line says, and the lines below it."""

    title: str
    head: str
    lines: list[Text]


class SectionPanel(Panel):
    """As high as its sections; those without a line are left out."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the sections; their lines are at most `width` cells."""
        raise NotImplementedError

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Set the sections below each other, with a line between them."""
        room = max(1, width - 2 * _INDENT)
        told = [_set(section, room) for section in self.sections(frame, room) if section.lines]
        return joined([line for section in told for line in (*section, Text())][:-1])


def wrapped(lead: Text, sentence: str, width: int, style: str = palette.TEXT, *, hang: int | None = None) -> list[Text]:
    """Set an untrusted sentence after its lead; the further lines hang below it, or are indented by `hang` cells."""
    below = lead.cell_len if hang is None else hang
    first, *rest = wrap(clean(sentence), max(1, width - max(below, lead.cell_len)))
    return [lead.append(first, style), *(Text(" " * below + line, style=style) for line in rest)]


def sentences(texts: Iterable[str], width: int) -> list[Text]:
    """Set sentences below each other."""
    return [line for text in texts for line in wrapped(Text(), text, width, hang=2)]


def _set(section: Section, width: int) -> list[Text]:
    title = f"{section.title}  "
    head = Text.assemble(
        " " * _INDENT,
        (title, palette.STRONG),
        (fit(section.head, max(0, width - len(title))), palette.QUIET),
    )
    return [head, *(_fitted(line, width) for line in section.lines)]


def _fitted(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return Text.assemble(" " * _INDENT, line)
