"""Call trees inside an HTML page: pyinstrument's web application, without what it would fetch from the network.

The application draws one tree at a time (its arrow keys know of only one), when it is opened. The tree's text stands
there without scripts too. Names of the target are data: they reach the page as JSON in which no markup is left,
or escaped.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pyinstrument.renderers import html as pyinstrument_html

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_cells import clean
from perfwatch.agent.trees.text import tree_text

if TYPE_CHECKING:
    from pyinstrument.session import Session

STYLE: Final = """
.tree > summary { cursor: pointer; padding: 6px 0; font-weight: 600; }
.tree .drawn { position: relative; height: 60vh; min-height: 320px; resize: vertical; overflow: hidden; }
.tree pre { overflow: auto; }
"""
SCRIPT: Final = """"use strict";
let shown = null;
function put_away() {
  if (shown === null) return;
  shown.application?.$destroy?.();
  shown.drawn.replaceChildren();
  shown.drawn.hidden = true;
  shown.text.hidden = false;
  shown = null;
}
function show(tree) {
  for (const other of document.querySelectorAll("details.tree[open]")) if (other !== tree) other.open = false;
  put_away();
  const title = document.title;
  const [drawn, text] = [tree.querySelector(".drawn"), tree.querySelector("pre")];
  drawn.hidden = false;
  const data = JSON.parse(tree.querySelector("script").textContent);
  shown = { tree, drawn, text, application: pyinstrumentHTMLRenderer.render(drawn, data) };
  text.hidden = true;
  document.title = title;
}
for (const tree of document.querySelectorAll("details.tree")) {
  tree.addEventListener("toggle", () => {
    const is_shown = shown !== null && shown.tree === tree;
    if (tree.open && !is_shown) show(tree);
    if (!tree.open && is_shown) put_away();
  });
  if (tree.open) show(tree);
}
"""
_WIDTH: Final = 160
_REMOTE: Final = re.compile(r"(?:https?:|(?<=[\"'`(]))//(?!www\.w3\.org/)[\w-]+(?:\.[\w-]+)+[^\"'`\s\\)]*")
"""An address outside of the page; those at w3.org are names of XML vocabularies, nothing is fetched there."""
_MARKUP: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""What could end a script element, as JSON escapes; outside of its strings JSON has none of them."""


class Application(NamedTuple):
    """pyinstrument's web application."""

    script: str
    style: str


def load_application() -> Application:
    """Read the application from the installed pyinstrument, and take out every address outside of the page."""
    resources = Path(pyinstrument_html.__file__).parent / "html_resources"
    try:
        script, style = ((resources / name).read_text(encoding="utf-8") for name in ("app.js", "app.css"))
    except OSError as error:
        remedy = "pip install --force-reinstall 'pyinstrument>=5'"
        raise PerfwatchError(f"pyinstrument's page is not installed: {error}", remedy) from None
    local = Application(_REMOTE.sub("", script), _REMOTE.sub("", style))
    if "</script" in local.script.lower() or "</style" in local.style.lower():
        raise PerfwatchError("this version of pyinstrument has a page that cannot be embedded", "use another version")
    return local


def tree_element(title: str, session: Session, *, is_open: bool) -> str:
    """Return one tree as an element that can be opened: its data, and its text for where scripts do not run."""
    shown = escape(clean(title))
    text = escape(tree_text(session, _WIDTH))
    return (
        f'<details class="tree"{" open" if is_open else ""}><summary>{shown}</summary>\n'
        f'<script type="application/json">{data_of(session)}</script>\n'
        f'<div class="drawn" hidden></div>\n<pre>{text}</pre>\n</details>\n'
    )


def data_of(session: Session) -> str:
    """Return what the application draws, as JSON that may stand in a script element."""
    return pyinstrument_html.JSONForHTMLRenderer().render(session).translate(_MARKUP)
