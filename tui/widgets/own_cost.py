"""What perfwatch itself costs, against its budget, and how exactly it measures for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import clean, count
from perfwatch.tui.widgets.sections import Section, SectionPanel, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.model_queues import OwnCost
    from perfwatch.tui.messages import Frame

_BAR: Final = 20
_EXACT: Final = "every request is followed in the kernel, and each nanosecond of it is booked"
_SAMPLED: Final = "states of threads are read many times a second: waits between two readings are not seen"


class OwnCostPanel(SectionPanel):
    """Of the collector: the screens are another thread, and are not in it while a recording is shown."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the cost, the fidelity, and what was lost."""
        cost, view = frame.view.own_cost, frame.view
        yield Section("own cost", "of one core, over the last second", [] if cost is None else list(_cost(cost)))
        yield Section("fidelity", frame.info.fidelity, list(_fidelity(frame.info, width)))
        lost = [_lost(probe, number) for probe, number in view.losses]
        yield Section("lost", "events that a probe could not deliver", lost)


def _lost(probe: str, number: int) -> Text:
    return Text.assemble((f"{count(number):>8}  ", palette.WARN), (clean(probe), palette.TEXT))


def _cost(cost: OwnCost) -> Iterator[Text]:
    if cost.cpu is not None:
        used = cost.cpu / cost.budget if cost.budget else None
        over = cost.cpu > cost.budget
        yield Text.assemble(
            gauge(used, _BAR, palette.ALARM if over else palette.LINE),
            (f"  {said.share(cost.cpu)}", palette.ALARM if over else palette.STRONG),
            (f" of its budget of {said.share(cost.budget)}", palette.QUIET),
            ("  over it" if over else "", palette.ALARM),
        )
    if cost.cpu_mean is not None:
        yield Text(f"{said.share(cost.cpu_mean)} over the session, {said.binary(cost.rss_bytes)} of memory")


def _fidelity(info: SessionInfo, width: int) -> Iterator[Text]:
    yield from wrapped(Text(), _EXACT if info.fidelity == "exact" else _SAMPLED, width, palette.QUIET)
    if info.fidelity == "exact":
        return
    ledger = next((probe for probe in info.probes if probe.name == "ledger"), None)
    parts = () if ledger is None else (("why:", ledger.reason), ("not known:", ledger.lost), ("do:", ledger.remedy))
    for label, text in parts:
        if text:
            yield from wrapped(Text(f"  {label} ", style=palette.QUIET), text, width, palette.TEXT)
