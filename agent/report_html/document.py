"""The page, put together of its sections; its policy lets nothing but its own style and script do anything.

No request leaves it, and nothing that a name might smuggle in would run: both are named by their hashes.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.report_html import colours
from perfwatch.agent.report_html.calls import downstream
from perfwatch.agent.report_html.course import course
from perfwatch.agent.report_html.endpoints import endpoints, opportunities
from perfwatch.agent.report_html.flames import Flame, code
from perfwatch.agent.report_html.markup import Html, element, folded, told
from perfwatch.agent.report_html.memory import memory
from perfwatch.agent.report_html.queues import queues, resources
from perfwatch.agent.report_html.recorded import in_flight, recorded
from perfwatch.agent.report_html.requests import Detail, requests
from perfwatch.agent.report_html.summary import head, verdict
from perfwatch.agent.report_slowest import slowest
from perfwatch.agent.report_text import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from perfwatch.agent.report_contract import Report

_TEXT_WIDTH: Final = 110
MAX_REQUESTS: Final = 50
_OWN: Final = Path(__file__).parent
_CONTENTS: Final = (
    ("verdict", "Verdict"),
    ("course", "Over time"),
    ("endpoints", "Endpoints"),
    ("requests", "Slow requests"),
    ("code", "Code"),
    ("calls", "Calls"),
    ("queues", "Queues"),
    ("resources", "Resources"),
    ("memory", "Memory"),
    ("recording", "Recording"),
)


class Drawn(NamedTuple):
    """What the page draws beside the report."""

    flames: Sequence[Flame]
    absent: str
    """Why there are none."""
    details: Mapping[int, Detail]
    """Of some requests, by id."""


def to_html(report: Report, drawn: Drawn) -> str:
    """Return the page."""
    style = Html(colours.css() + (_OWN / "page.css").read_text(encoding="utf-8"))
    script = Html((_OWN / "page.js").read_text(encoding="utf-8"))
    slow = slowest(report.slow_requests, MAX_REQUESTS)
    linked = {one.id for one in slow}
    sections = [
        verdict(report, linked),
        course(report),
        endpoints(report, linked),
        opportunities(report),
        requests(report, slow, drawn.details),
        code(drawn.flames, drawn.absent),
        downstream(report),
        in_flight(report),
        queues(report),
        resources(report),
        memory(report),
        recorded(report),
        _as_text(report),
    ]
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", _title(report)),
            element("style", style),
        ),
        element("body", head(report), _contents(sections), element("main", *sections), element("script", script)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _contents(sections: Sequence[Html]) -> Html:
    """Return links to the sections that there are."""
    links = (
        element("a", name, href=f"#{anchor}")
        for anchor, name in _CONTENTS
        if any(one.startswith(f'<section id="{anchor}"') for one in sections)
    )
    return element("nav", *links, aria_label="Sections")


def _as_text(report: Report) -> Html:
    """Return the text report; its lines are clean already."""
    text = Html("\n".join(map(told, to_text(report, _TEXT_WIDTH).splitlines())))
    return element("section", folded("The whole report as text", element("pre", text)), id="text")


def _title(report: Report) -> str:
    return f"perfwatch: {report.session.server or report.session.command} (pid {report.session.pid})"


def _policy(style: str, script: str) -> str:
    own_style, own_script = map(_hash, (style, script))
    return f"default-src 'none'; style-src {own_style}; script-src {own_script}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
