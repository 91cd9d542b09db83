"""The speedscope application, as its npm package brings it, with a file opened in a real browser."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import pytest
from browsing import CHROMIUM, document_of

APPLICATION = Path(__file__).parent.parent / ".venv/npm/node_modules/speedscope/dist/release/index.html"
needs_speedscope = pytest.mark.skipif(
    CHROMIUM is None or not APPLICATION.exists(), reason="needs chromium and npm's speedscope: run tests/install-tools"
)
_DRAWS = ("--virtual-time-budget=10000", "--enable-unsafe-swiftshader", "--use-angle=swiftshader")
_CELL = re.compile(r"<td[^>]*>(.*?)</td>", re.DOTALL)


def rows_shown(content, name, directory):
    """Return the rows of the tables that speedscope shows of a file: its profiles, and its functions with their times.

    Its own command opens files in the same way: as a script that holds them.
    """
    script = directory / "loading.js"
    told = json.dumps(base64.b64encode(content).decode())
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(name)}, {told})")
    address = f"{APPLICATION.as_uri()}#localProfilePath={script}&view=sandwich"
    document = document_of(address, directory, *_DRAWS)
    rows = [[_text(cell) for cell in _CELL.findall(row)] for row in document.split("<tr")[1:]]
    assert rows, _text(document)[-500:]
    return rows


def _text(element):
    return html.unescape(re.sub(r"<[^>]+>", " ", element)).strip()
