"""Pieces of a text report: headings, hanging paragraphs, times."""

from __future__ import annotations

from datetime import UTC, datetime

from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.report_cells import cells, clean, wrap


def rule(title: str, width: int) -> str:
    """Return a heading."""
    return f"── {title} ".ljust(width, "─")


def block(lead: str, text: str, width: int) -> list[str]:
    """Set text after a lead, its further lines below its first."""
    first, *rest = wrap(clean(text), width - cells(lead))
    return [lead + first, *(" " * cells(lead) + line for line in rest)]


def shown_ms(value_ms: float) -> str:
    """Return milliseconds as a person says them."""
    return duration(value_ms * 1e6)


def moment(unix_s: float, form: str) -> str:
    """Return a time of day (UTC) in a `strftime` form; `?` for what is none."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):
        return "?"


def time_of_day(unix_s: float) -> str:
    """Return a time of day (UTC) to the millisecond."""
    return moment(unix_s, "%H:%M:%S.%f")[:12]
