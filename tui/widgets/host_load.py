"""How used the host is: its resources in the USE manner, each CPU, and how the target scales on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.report_gains import scaling
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, percent
from perfwatch.tui.widgets.cpu_bars import cpu_lines, cpu_words
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import Saturation
    from perfwatch.tui.messages import Frame

_ROOMY: Final = 90
_BAR: Final = 10
_SHORT_BAR: Final = 5
_READABLE: Final = 24
"""In fewer cells, words go to a line of their own."""


class HostLoad(SectionPanel):
    """Over the last seconds of the view."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the resources, the CPUs one by one, and the law of scaling."""
        view = frame.view
        bar = _BAR if width >= _ROOMY else _SHORT_BAR
        head = f"{'used':>{bar + 4}}  {'saturated':>9}  {'errors':>6}"
        yield Section("resources", head, [line for one in view.saturation for line in _resource(one, bar, width)])
        yield Section("cpus", cpu_words(view.lately.cpus), cpu_lines(view.lately.cpus, width))
        law = [] if view.scalability is None else sentences(scaling(view.scalability), width)
        yield Section("scalability", "over the session", law)


def _resource(one: Saturation, bar: int, width: int) -> list[Text]:
    used, saturated = (NONE if part is None else percent(part) for part in (one.utilisation, one.saturation))
    lead = Text.assemble(
        (f"{one.resource:<9}", palette.TEXT),
        gauge(one.utilisation, bar, heat(one.utilisation)),
        (f"{used:>6}", palette.STRONG),
        (f"  {saturated:>9}", palette.ALARM if (one.saturation or 0.0) > 0.5 else palette.TEXT),  # noqa: PLR2004
        (f"  {NONE if one.errors is None else one.errors:>6}", palette.ALARM if one.errors else palette.TEXT),
        "  ",
    )
    if width - lead.cell_len >= _READABLE:
        return wrapped(lead, one.text, width, palette.QUIET)
    return [lead, *wrapped(Text("  "), one.text, width, palette.QUIET)]
