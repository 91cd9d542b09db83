"""The report as one HTML file that needs nothing else: summary and ledgers, call trees, the text report.

Every string goes through `told`. Beyond that the page forbids itself everything but its own scripts, by their hash: no
request leaves it, and nothing that a name might smuggle in would run.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from perfwatch.agent.report_html_calls import STYLE as CALLS_STYLE
from perfwatch.agent.report_html_calls import called, downstream
from perfwatch.agent.report_html_parts import STYLE, deadlocks, endpoints, head, opportunities, scales, told, verdict
from perfwatch.agent.report_text import to_text
from perfwatch.agent.trees import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.report_contract import Report
    from perfwatch.agent.report_trees import Tree

_TEXT_WIDTH: Final = 120
_HINT: Final = (
    "Click a line to close what is below it, or the arrow keys; library code is folded. Its timeline is a flame graph: "
    "the order of its stacks has no meaning."
)


def to_html(report: Report, trees: Sequence[Tree], no_trees: str) -> str:
    """Return the page; `no_trees` says why, where there are none."""
    application = page.load_application() if trees else page.Application("", "")
    scripts = [application.script, page.SCRIPT] if trees else []
    body = [
        head(report),
        verdict(report),
        deadlocks(report),
        endpoints(report),
        opportunities(report),
        called(report),
        downstream(report),
        scales(report),
        "<h2>Call trees</h2>",
        f"<p class='quiet'>{told(_HINT if trees else no_trees)}</p>",
        *(
            page.tree_element(f"{tree.title}: {tree.spent_on}", tree.session, is_open=not at)
            for at, tree in enumerate(trees)
        ),
        f"<details><summary>The whole report as text</summary><pre>{told_lines(report)}</pre></details>",
        *(f"<script>{script}</script>" for script in scripts),
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        f"<title>{told(_title(report))}</title>\n"
        f"<style>{application.style}\n{STYLE}{CALLS_STYLE}{page.STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def told_lines(report: Report) -> str:
    """Return the text report, escaped; its lines are clean already."""
    return "\n".join(map(told, to_text(report, _TEXT_WIDTH).splitlines()))


def _title(report: Report) -> str:
    return f"perfwatch: {report.session.server or report.session.command} (pid {report.session.pid})"


def _policy(scripts: Iterable[str]) -> str:
    """Return what the page may do; styles stand in the elements that pyinstrument draws."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    allowed = f"script-src {hashes}; " if hashes else ""
    return f"default-src 'none'; {allowed}style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
