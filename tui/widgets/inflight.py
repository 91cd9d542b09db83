"""Requests that have not ended, the oldest first: what hangs shows while it hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.text import Text

from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import arrival_of
from perfwatch.tui import palette
from perfwatch.tui.format import clean, duration_ns, fit, span
from perfwatch.tui.palette import INKS
from perfwatch.tui.widgets.endpoints import name_of
from perfwatch.tui.widgets.requests import Widths
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from perfwatch.agent.model import OpenRequest, View

_NS = 1_000_000_000


class Hanging(msgspec.Struct, frozen=True):
    """An open request, and how long it has been open and in its present state."""

    request: OpenRequest
    age_ns: int
    state_ns: int

    @classmethod
    def of(cls, request: OpenRequest, view: View) -> Hanging:
        """Measure a request at the moment up to which it is booked."""
        now_ns = view.now_ns if view.in_flight_at_ns is None else view.in_flight_at_ns
        arrived = arrival_of(request)
        return cls(request, max(0, now_ns - arrived), max(0, now_ns - request.state_since_ns))


class OpenRows(RowList[Hanging]):
    """Requests in flight; keys are ids."""

    def heading(self, width: int) -> Text:
        """Name the columns."""
        widths = Widths.fitting(width)
        return Text.assemble(
            self.title("in flight", widths.first + widths.name),
            (f"{'open for':>9}  state", palette.QUIET),
        )

    def row(self, item: Hanging, width: int) -> Text:
        """Show one request."""
        widths = Widths.fitting(width)
        request, ink = item.request, INKS[item.request.state]
        thread = f"thread {request.tid}"
        old = item.age_ns >= _NS
        text = Text.assemble(
            (fit(thread if len(thread) < widths.first else str(request.tid), widths.first), palette.QUIET),
            (name_of(request.method, request.target, widths.name), palette.TEXT),
            (f"{duration_ns(item.age_ns):>9}  ", f"bold {palette.ALARM}" if old else palette.TEXT),
            (f"{ink.glyph} {fit(ink.name, widths.cause)} ", ink.colour),
        )
        return text.append(fit(doing(request, item.state_ns), widths.why), palette.QUIET)

    def empty(self) -> str:
        """Say that the server is idle."""
        return "none"


def doing(request: OpenRequest, state_ns: int) -> str:
    """Say what an open request does at this moment, and for how long."""
    lasting = span(state_ns / _NS) if state_ns >= _NS else duration_ns(state_ns)
    place = telling(request.stack)
    here = "" if place is None else f" in {clean(at(place.function, place.file, place.line))}"
    if request.peer:
        return f"for {lasting}{here}, on {clean(request.peer)}"
    if here:
        return f"for {lasting}{here}"
    where = f" in {clean(request.call)}" if request.call else ""
    detail = f" {clean(request.detail)}" if request.detail else ""
    return f"for {lasting}{where}{detail}"
