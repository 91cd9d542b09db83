"""The endpoints, the costliest first, each with its ledger as a stacked bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text

from perfwatch.agent.model import Endpoint
from perfwatch.tui import palette
from perfwatch.tui.draw import stacked
from perfwatch.tui.format import clean, count, duration, fit, fit_path, percent
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.why import verdict_text

if TYPE_CHECKING:
    from perfwatch.agent.model import Verdict

_TITLE: Final = "where their time goes"


class _Columns(NamedTuple):
    """Widths of the columns; 0 where one is left out."""

    name: int
    slow: int
    p50: int
    bar: int
    cause: int

    @classmethod
    def fitting(cls, width: int) -> _Columns:
        """Give the name and the bar what the figures leave over; narrow terminals lose p50 and the share."""
        cause = 15 if width >= 90 else 10  # noqa: PLR2004
        slow, p50 = (11, 8) if width >= 72 else (0, 0)  # noqa: PLR2004
        left = width - slow - p50 - 9 - cause - 6
        name = min(40, max(14, left * 45 // 100))
        return cls(name, slow, p50, max(0, left - name), cause)


class EndpointRows(RowList[Endpoint]):
    """Keys are `key_of` an endpoint."""

    KEEPS_ROWS: ClassVar[bool] = True

    def heading(self, width: int) -> Text:
        """Name the columns."""
        columns = _Columns.fitting(width)
        figures = f"{'slow/all':>{columns.slow}}" if columns.slow else ""
        figures += f"{'p50':>{columns.p50}}" if columns.p50 else ""
        return Text.assemble(
            self.title("endpoints", columns.name),
            (f"   {figures}{'p95':>9}  ", palette.QUIET),
            (fit(_TITLE if columns.bar > len(_TITLE) else "time", columns.bar) + " cause", palette.QUIET),
        )

    def row(self, item: Endpoint, width: int) -> Text:
        """Show one endpoint."""
        columns = _Columns.fitting(width)
        verdict, ledger = item.verdict, item.ledger
        text = Text.assemble(
            (name_of(item.method, item.place, columns.name), palette.TEXT),
            (f" {palette.LETTER[verdict.principle]} ", f"bold {palette.COLOUR[verdict.principle]}"),
            " ",
        )
        if columns.slow:
            slow = f"{count(item.slow_count)}/{count(item.count)}"
            text.append(f"{slow:>{columns.slow}}", palette.TEXT if item.slow_count else palette.QUIET)
        if columns.p50:
            text.append(f"{duration(item.latency_ms.p50):>{columns.p50}}", palette.QUIET)
        text.append(f"{duration(item.latency_ms.p95):>9}  ", palette.TEXT)
        text.append_text(stacked(palette.inks(ledger.booked_ns, ledger.unaccounted_ns), columns.bar))
        return text.append(f" {cause_of(verdict, columns.cause)}", palette.COLOUR[verdict.principle])

    def as_text(self, key: str) -> str | None:
        """Write an endpoint with its verdict."""
        if (item := self.item(key)) is None:
            return None
        latency = item.latency_ms
        figures = f"p50 {duration(latency.p50)}, p95 {duration(latency.p95)}, {item.slow_count} of {item.count} slow"
        return "\n".join((f"{clean(item.method)} {clean(item.place)}   {figures}", *verdict_text(item.verdict)))

    def empty(self) -> str:
        """Say that there is nothing yet."""
        return "none yet"


def key_of(endpoint: tuple[str, str]) -> str:
    """Return the key of a (method, route as it is shown)."""
    return f"{endpoint[0]} {endpoint[1]}"


def name_of(method: str | None, path: str | None, width: int) -> str:
    """Write method and path in so many cells; paths stand below each other."""
    verb = fit(clean(method or "?"), 5) if len(clean(method or "?")) < 5 else clean(method or "?")[:7] + " "  # noqa: PLR2004
    return fit(verb + fit_path(clean(path or "(path not seen)"), max(0, width - len(verb))), width)


def cause_of(verdict: Verdict, width: int) -> str:
    """Name the mechanism, with its share where there is room."""
    if verdict.mechanism is None:
        return fit(verdict.principle, width)
    name = f"{verdict.mechanism} {percent(verdict.share)}"
    return fit(name if len(name) <= width else verdict.mechanism, width)
