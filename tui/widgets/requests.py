"""Finished requests that were judged: when, which, how long, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text

from perfwatch.agent.model import Request
from perfwatch.tui import palette
from perfwatch.tui.format import clean, clock, duration_ns, fit, percent
from perfwatch.tui.widgets.endpoints import cause_of, name_of
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.why import verdict_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import SessionInfo, Verdict

_WORDY = 72
_WIDE = 88
_WIDER = 110
_SHARED = 15
"""A cause so wide has room for the longest mechanism and its share."""


class Widths(NamedTuple):
    """How requests share a line; 0 for a column that is left out."""

    first: int
    name: int
    cause: int
    why: int

    @classmethod
    def fitting(cls, width: int) -> Widths:
        """Give name and reason what the figures leave over; a narrow line has no reason."""
        first, cause = 14 if width >= _WIDE else 10, _SHARED if width >= _WIDER else 10
        left = width - first - 11 - 2 - cause - 1
        if width < _WORDY:
            return cls(first, left, cause, 0)
        name = min(40, max(14, left * 40 // 100))
        return cls(first, name, cause, left - name)

    def without_cause(self) -> Widths:
        """Leave the cause out in favour of name and reason: where both are short, the reason says both."""
        more = self.cause + 1
        return Widths(self.first, self.name + more // 4, 0, self.why + more - more // 4)


class RequestRows(RowList[Request]):
    """Judged requests, the newest first; keys are ids."""

    KEEPS_ROWS: ClassVar[bool] = True

    _info: SessionInfo | None = None

    def take(self, requests: Iterable[Request], info: SessionInfo) -> None:
        """Take requests in order of delivery."""
        self._info = info
        self.show([(str(request.record.id), request) for request in requests][::-1])

    def heading(self, width: int) -> Text:
        """Name the columns."""
        widths = _widths(width)
        cause = fit("  cause", widths.cause + 3) if widths.cause else "  "
        return Text.assemble(
            self.title("slow requests", widths.first + widths.name),
            (f"{'took':>9}  {cause}", palette.QUIET),
            ("why" if widths.why else "", palette.QUIET),
        )

    def row(self, item: Request, width: int) -> Text:
        """Show one request."""
        widths = _widths(width)
        record, verdict = item.record, item.verdict
        moment = "" if self._info is None else clock(self._info.unix_s(record.ended_ns), ms=width >= _WIDE)
        text = Text.assemble(
            (fit(moment, widths.first), palette.QUIET),
            (name_of(record.method, record.target, widths.name), palette.TEXT),
            (f"{duration_ns(item.ledger.total_ns):>9}  ", palette.STRONG),
        )
        if verdict is None:
            return text
        colour = palette.COLOUR[verdict.principle]
        text.append(f"{palette.LETTER[verdict.principle]} ", f"bold {colour}")
        text.append(f"{cause_of(verdict, widths.cause)} " if widths.cause else "", colour)
        return text.append(fit(clean(_reasons(verdict, widths)), widths.why), palette.QUIET)

    def as_text(self, key: str) -> str | None:
        """Write a request with its verdict."""
        if (item := self.item(key)) is None:
            return None
        record = item.record
        moment = "" if self._info is None else f"   {clock(self._info.unix_s(record.ended_ns), ms=True)}"
        took = duration_ns(item.ledger.total_ns)
        line = f"{clean(record.method or '?')} {clean(record.target or '(path not seen)')}   {took}{moment}"
        return "\n".join((line, *(verdict_text(item.verdict) if item.verdict else ())))

    def empty(self) -> str:
        """Say that nothing was slow so far."""
        return "none so far"


def _widths(width: int) -> Widths:
    widths = Widths.fitting(width)
    return widths.without_cause() if _WORDY <= width < _WIDE else widths


def _reasons(verdict: Verdict, widths: Widths) -> str:
    """Return the summary, and the facts behind it as far as there is room; no share that the cause has already."""
    reasons, room = verdict.summary, widths.why
    if widths.cause >= _SHARED:
        reasons = reasons.replace(f" ({percent(verdict.share)})", "", 1)
    for fact in verdict.evidence[1:]:
        if len(reasons) + 2 + len(fact.text) <= room:
            reasons += f"; {fact.text}"
    return reasons
