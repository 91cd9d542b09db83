"""What the doctor found: the machine, then each probe, and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.doctor import Check, Diagnosis, ProbeCheck
    from perfwatch.tui.messages import Frame

WAITING: Final = "the doctor is looking at this machine ..."
_NOT_ASKED: Final = "d asks what this machine and the target allow at this moment, and what would help"
_CONCLUSIONS: Final = {
    "exact": "perfwatch can attach here, with the exact ledger",
    "sampled": "perfwatch can attach here in sampled fidelity: its verdicts are less certain",
    "none": "perfwatch cannot attach here",
}
_COLOURS: Final = {
    "ok": palette.QUIET,
    "available": palette.QUIET,
    "untested": palette.WARN,
    "limited": palette.WARN,
    "missing": palette.ALARM,
    "unavailable": palette.ALARM,
}


class DoctorPanel(SectionPanel):
    """It says nothing by itself: somebody asks."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Diagnosis | str = _NOT_ASKED

    def tell(self, found: Diagnosis | str) -> None:
        """Take what was found, or one line that says why there is nothing."""
        self._found = found
        self.repaint()

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:  # noqa: ARG002 - it is about the machine
        """Yield the conclusion, then what was looked at."""
        found = self._found
        if isinstance(found, str):
            yield Section("doctor", "", sentences([found], width))
            return
        checks = [line for one in found.checks for line in _check(one, width)]
        yield Section("doctor", _CONCLUSIONS[found.fidelity], checks)
        yield Section("what could be measured", "", [line for one in found.probes for line in _probe(one, width)])


def _check(one: Check, width: int) -> Iterator[Text]:
    yield from wrapped(_lead(one.name, one.status), one.found, width, palette.TEXT)
    yield from _gaps(one.lost, one.remedy, width)


def _probe(one: ProbeCheck, width: int) -> Iterator[Text]:
    yield from wrapped(_lead(one.name, one.status), one.reason or one.measures, width, palette.QUIET)
    yield from _gaps(one.lost, one.remedy, width)


def _lead(name: str, status: str) -> Text:
    return Text.assemble((fit(clean(name), 15), palette.TEXT), (f"{status:<12} ", _COLOURS[status]))


def _gaps(lost: str | None, remedy: str | None, width: int) -> Iterator[Text]:
    for label, text in (("not known:", lost), ("do:", remedy)):
        if text:
            yield from wrapped(Text(f"  {label} ", style=palette.QUIET), text, width, palette.QUIET)
