"""Draw docs/report.png: the top of the HTML report of a recording, by Chromium. Run by `make picture`."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perfwatch.agent.report_drawn import drawn_of
from perfwatch.agent.report_html.document import to_html
from perfwatch.agent.report_reading import read_session
from perfwatch.agent.selection import latest

if TYPE_CHECKING:
    from perfwatch.agent.report_contract import Report

PICTURE: Final = Path(__file__).parent / "report.png"
SIZE: Final = "1100,1130"


def draw(file: Path) -> None:
    """Draw it."""
    read = read_session(file)
    page = to_html(read.report, drawn_of(read.report, read.info, read.view, latest(read.judged)))
    with tempfile.TemporaryDirectory() as directory:
        shown = Path(directory) / "report.html"
        shown.write_text(page.replace(read.report.session.command, _command(read.report)))
        options = [f"--screenshot={PICTURE}", f"--window-size={SIZE}", f"--user-data-dir={directory}/profile"]
        options += ["--hide-scrollbars", "--headless", "--no-sandbox", "--disable-gpu"]
        subprocess.run(["chromium", *options, shown.as_uri()], check=True, capture_output=True)


def _command(report: Report) -> str:
    """Return the command as it is anywhere: without the folders of this machine."""
    words = report.session.command.split()
    return " ".join([Path(words[0]).name, *words[1:]])
