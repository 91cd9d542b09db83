"""The block devices: how busy, how many requests, how long each took, what they moved; and who was held up by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, fit, percent, rate
from perfwatch.tui.widgets.host_share import pressure
from perfwatch.tui.widgets.sections import Section, SectionPanel, wrapped
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import DiskQueue
    from perfwatch.tui.messages import Frame

_BAR: Final = 6
_INDENT: Final = 11
_ROOMY: Final = 80


class DiskLoad(SectionPanel):
    """Over the last seconds of the view."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the devices, the busiest first."""
        queues = frame.view.queues
        head = f"{'busy':>15}{'now':>6}{'mean':>6}{'99 %':>9}"
        lines = [line for one in queues.disks for line in _disk(one, width)]
        wide = "requests under way, and within what time"
        yield Section("devices", f"{head}   {wide if width >= _ROOMY else 'under way, and time'}", lines)
        yield pressure(queues)


def _disk(one: DiskQueue, width: int) -> Iterator[Text]:
    p99 = NONE if one.p99_ms is None else said.took(one.p99_ms)
    now = NONE if one.in_flight is None else str(one.in_flight)
    yield Text.assemble(
        (fit(clean(one.device), _INDENT), palette.STRONG),
        gauge(one.utilisation, _BAR, heat(one.utilisation)),
        (f"{percent(one.utilisation):>7}", palette.STRONG),
        (f"{now:>6}{one.depth:>6.1f}{p99:>9}", palette.TEXT),
    )
    if one.read_bytes_s or one.written_bytes_s or one.reads_s or one.writes_s:
        yield _side("read", one.read_ms, one.reads_s, one.read_bytes_s)
        yield _side("written", one.write_ms, one.writes_s, one.written_bytes_s)
    if one.file_systems:
        yield from wrapped(
            Text("  the target's files: ", style=palette.QUIET), ", ".join(one.file_systems), width, palette.QUIET
        )


def _side(name: str, each_ms: float | None, requests_s: float | None, bytes_s: float) -> Text:
    each = NONE if each_ms is None else said.took(each_ms)
    requests = NONE if requests_s is None else rate(requests_s)
    return Text.assemble(
        (f"  {name:<9}", palette.QUIET),
        (f"{requests:>9}", palette.TEXT),
        (f"  {each:>8} each", palette.TEXT),
        (f"{said.octets(bytes_s) + '/s':>12}", palette.TEXT),
    )
