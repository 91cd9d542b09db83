"""Untrusted text in Markdown (CommonMark with GitHub's tables): it stays text, whatever a tracker makes of Markdown.

What is a name is set as code, where trackers see neither markup nor mentions nor references. In a sentence markup is
escaped by backslashes, which are gone when trackers look for `@names`, `#123` and addresses: there a word joiner
(U+2060, invisible) parts what would be one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import cut
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~&!#$^]")
_LIST: Final = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")
"""What would begin a list, or a line below a heading."""
_REFERENCE: Final = re.compile(
    r"(?<=[@#!~%&$^])(?=[\w\"])|(?<=\w)(?=@)|(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=\bGH-)(?=\d)", re.IGNORECASE
)
_JOINER: Final = "\u2060"
_MAX_TEXT: Final = 1_000
_MAX_CODE: Final = 300


def prose(text: str) -> str:
    """Return a sentence as one line; at the beginning of a line, something of ours has to stand before it."""
    joined = _REFERENCE.sub(_JOINER, cut(clean(text).strip(), _MAX_TEXT))
    return _LIST.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", joined))


def code(text: str) -> str:
    r"""Return a name as code, one line, also within a table: there a bar cannot be told, it becomes `\x7c`."""
    kept = cut(clean(text), _MAX_CODE).replace("|", r"\x7c").strip()
    if not kept:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", kept)), default=0))
    space = " " if kept.startswith("`") or kept.endswith("`") else ""
    return f"{fence}{space}{kept}{space}{fence}"


def bullets(lines: Iterable[str]) -> list[str]:
    """Return a list of what is Markdown already."""
    return [f"- {line}" for line in lines if line]


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table of what is Markdown already; heads that end in a colon are those of figures, set to the right."""
    names = list(heads)
    body = [_row(row) for row in rows]
    rules = ["--:" if name.endswith(":") else "---" for name in names]
    return [_row(name.rstrip(":") for name in names), _row(rules), *body] if body else []


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
