"""Text in terminal cells: untrusted strings made harmless, cut and padded by the width that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterable

_ELLIPSIS: Final = "…"


def clean(text: str) -> str:
    r"""Escape what is no visible character: controls, direction marks, surrogates (`\x1b`, `\u202e`)."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _hidden(char) else char for char in text)


def cells(text: str) -> int:
    """Return how many cells a clean string takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fit(text: str, width: int) -> str:
    """Cut a clean string to a width, with an ellipsis, and pad it."""
    taken = cells(text)
    if taken <= width:
        return text + " " * (width - taken)
    if width < 1:
        return ""
    kept, taken = "", 0
    for char in text:
        taken += _width(char)
        if taken > width - 1:
            break
        kept += char
    return kept + _ELLIPSIS + " " * (width - 1 - cells(kept))


def wrap(text: str, width: int) -> list[str]:
    """Break a clean string at its spaces into lines of at most `width` cells; longer words are broken too."""
    lines = [""]
    for word in _broken(text.split(), width):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def bar(parts: Iterable[tuple[str, float]], width: int) -> str:
    """Draw shares (glyph, 0 or more) as one stacked bar; rounding favours the largest remainders."""
    drawn = [(glyph, max(part, 0.0)) for glyph, part in parts]
    total = sum(part for _, part in drawn)
    if total <= 0:
        return " " * width
    exact = [part / total * width for _, part in drawn]
    whole = [int(share) for share in exact]
    by_rest = sorted(range(len(drawn)), key=lambda at: (whole[at] - exact[at], at))
    for at in by_rest[: width - sum(whole)]:
        whole[at] += 1
    return "".join(glyph * count for (glyph, _), count in zip(drawn, whole, strict=True))


def _broken(words: Iterable[str], width: int) -> Iterable[str]:
    for word in words:
        rest = word
        while cells(rest) > width:
            head = rest[: max(width // 2, 1)] if not rest.isascii() else rest[:width]
            yield head
            rest = rest[len(head) :]
        yield rest


def _hidden(char: str) -> bool:
    return not char.isprintable() and char != " "


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def _width(char: str) -> int:
    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1
