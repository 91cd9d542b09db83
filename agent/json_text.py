"""Values as JSON that may be read on a terminal: what it would obey or hide is escaped, as JSON allows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from re import Match

# Those below 0x20 are escaped in any JSON; U+009B begins a sequence like ESC [, and the others turn or hide text.
_OBEYED: Final = re.compile(r"[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def json_text(value: object) -> str:
    """Return a value as JSON, indented, with a newline at its end."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _OBEYED.sub(_escape, text) + "\n"


def _escape(found: Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
