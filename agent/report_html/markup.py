"""HTML by construction: what is not known to be markup is text, and is escaped.

No element gets a `style`: the page's policy forbids it. Colours are classes, sizes are attributes of SVG.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.correlator.wording import cut
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID: Final = frozenset({"meta", "input"})
_MAX_TEXT: Final = 2_001
"""Characters of one untrusted text; a longer one is cut."""


class Html(str):
    """Markup."""

    __slots__ = ()


Child: TypeAlias = "str | Html | None"
Value: TypeAlias = "str | float | bool | None"


def told(text: str) -> Html:
    """Return untrusted text as HTML: harmless, and of a bounded length."""
    return Html(escape(clean(cut(text, _MAX_TEXT))))


def element(name: str, /, *children: Child, **attributes: Value) -> Html:
    """Return an element; of attributes `class_` is `class`, `aria_label` is `aria-label`. None leaves one out."""
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """Put markup and texts one after the other."""
    return Html("".join(one if isinstance(one, Html) else told(one) for one in children if one))


def lines(texts: Iterable[str]) -> Html:
    """Return texts, each on a line of its own."""
    return Html("\n".join(told(one) for one in texts if one))


def listed(items: Iterable[Child], class_: str | None = None) -> Html:
    """Return a list; nothing where it would be empty."""
    rows = joined(element("li", one) for one in items)
    return element("ul", rows, class_=class_) if rows else Html()


def section(anchor: str, title: str, *children: Child) -> Html:
    """Return a section below its heading; nothing where it would be empty."""
    inside = joined(children)
    return element("section", element("h2", title), inside, id=anchor) if inside else Html()


def table(heads: Iterable[str], rows: Iterable[Iterable[Child]], numbers: frozenset[int] = frozenset()) -> Html:
    """Return a table that scrolls within itself where it is too wide; `numbers` are its columns of figures."""
    body = joined(_row("td", row, numbers) for row in rows)
    if not body:
        return Html()
    head = element("thead", _row("th", heads, numbers))
    inner = element("table", head, element("tbody", body))
    return element("div", inner, class_="scroll", tabindex="0", role="group", aria_label="table")


def folded(title: Child, *children: Child, is_open: bool = False, class_: str | None = None) -> Html:
    """Return what can be unfolded."""
    return element("details", element("summary", title), *children, open=is_open, class_=class_)


def _row(name: str, cells: Iterable[Child], numbers: frozenset[int]) -> Html:
    scope = "col" if name == "th" else None
    made = (
        element(name, cell, class_="number" if number in numbers else None, scope=scope)
        for number, cell in enumerate(cells)
    )
    return element("tr", *made)


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{value:.6g}"' if isinstance(value, float) else f' {name}="{told(str(value))}"'
