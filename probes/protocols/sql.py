"""SQL without its literals: `SELECT * FROM t WHERE id = 7` becomes `SELECT * FROM t WHERE id = ?`.

One pass, token by token. Strings, numbers, parameters and all of their notations become `?`, lists of them one `?`,
comments and line breaks a space. What `SET` sets is a literal too, also where it is a mere word. Whether a quote behind
a backslash ends a string depends on settings of the server and on the character set, which nobody knows from outside:
the operation ends there. So does a statement of which not all is there, behind its first literal: where it is
cut depends on how long that is, and statements of one shape shall look the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from perfwatch.probes.protocols.turn import CUT, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

Dialect: TypeAlias = Literal["postgresql", "mysql"]

# No alternative can begin where another one of the same token can go on: the matching is linear.
_WORD: Final = re.compile(r"[^\W\d][\w$]*")
_NUMBER: Final = re.compile(r"\.?\d[\w.]*(?:(?<=[eE])[+-]\d[\w.]*)?")
_DOLLAR_TAG: Final = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_PARAMETER: Final = re.compile(r"\$\d+")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_STRING_PREFIXES: Final = frozenset({"e", "b", "x", "n"})
_SETTERS: Final = frozenset({"set", "alter"})
_LIST: Final = re.compile(r"\?(?:, \?)+")
_ROWS: Final = re.compile(r"\(\?\)(?:, \(\?\))+")


@lru_cache(maxsize=1024)
def without_literals(text: str, dialect: Dialect, *, cut: bool) -> str:
    """Return the statement without its literals; `cut`: it goes on where the text ends."""
    scanned = "".join(_Scanner(text, dialect, cut=cut).pieces())
    spaced = " ".join(scanned.replace(",", " , ").replace("(", "( ").replace(")", " )").split())
    joined = spaced.replace(" ,", ",").replace("( ", "(").replace(" )", ")")
    folded = _ROWS.sub("(?)", _LIST.sub("?", joined)).rstrip("; ")
    return marked(folded.rstrip(", ") if cut else folded, cut=cut)


class _Scanner:
    """Walks over one text."""

    def __init__(self, text: str, dialect: Dialect, *, cut: bool) -> None:
        self._text, self._at, self._cut = text, 0, cut
        self._mysql = dialect == "mysql"
        self._verb = ""  # the statement's first word
        self._sets = False  # what follows `=` or TO is a literal

    def pieces(self) -> Iterator[str]:
        """Yield the parts of the result; ends where a literal's end is not to be told."""
        while self._at < len(self._text):
            piece = self._piece()
            yield piece
            if piece.endswith(CUT):
                return

    def _piece(self) -> str:
        char = self._text[self._at]
        if char == "'" or (char == '"' and self._mysql):
            return self._string(char, escapes=False)
        if char in '"`':
            return self._quoted_name(char)
        if self._comment_begins():
            return self._comment()
        if char == "$" and not self._mysql and (tag := _DOLLAR_TAG.match(self._text, self._at)):
            return self._until(tag.group(), tag.end())
        return self._plain(char)

    def _plain(self, char: str) -> str:
        if char == "$":
            if parameter := _PARAMETER.match(self._text, self._at):
                return self._take(parameter.end(), "?")
            return "?" + CUT  # a tag that is cut, or nothing that SQL knows
        if number := _NUMBER.match(self._text, self._at):
            return self._literal(number.end())
        if word := _WORD.match(self._text, self._at):
            return self._word(word.group(), word.end())
        if char == "=" and self._sets:
            return self._set_value("= ?")
        if char == ";":
            self._verb, self._sets = "", False
        return self._take(self._at + 1, char)

    def _word(self, word: str, end: int) -> str:
        lower, following = word.lower(), self._text[end : end + 1]
        if following == "'" and lower in _STRING_PREFIXES:
            self._at = end
            return self._string("'", escapes=lower == "e" and not self._mysql)
        if self._sets and lower == "to":
            return self._set_value("TO ?")
        self._verb = self._verb or lower
        self._sets = self._sets or (lower == "set" and self._verb in _SETTERS)
        return self._take(end, word)

    def _set_value(self, becomes: str) -> str:
        """Leave out what is set, which may be mere words, and all that follows."""
        return self._take(len(self._text), becomes + CUT if self._cut or ";" in self._text[self._at : -1] else becomes)

    def _string(self, quote: str, *, escapes: bool) -> str:
        end = self._at + 1
        while True:
            end = self._text.find(quote, end)
            if end < 0:
                return "?" + CUT
            slashes = self._slashes_before(end)
            if slashes and (self._text[end - slashes - 1] > "\x7f" or (slashes % 2 and not escapes)):
                return "?" + CUT
            if slashes % 2:
                end += 1
            elif self._text[end + 1 : end + 2] == quote:
                end += 2
            else:
                return self._literal(end + 1)

    def _slashes_before(self, end: int) -> int:
        start = end
        while self._text[start - 1] == "\\":
            start -= 1
        return end - start

    def _quoted_name(self, quote: str) -> str:
        end = self._text.find(quote, self._at + 1)
        return self._take(end + 1, self._text[self._at : end + 1]) if end >= 0 else CUT

    def _comment_begins(self) -> bool:
        two = self._text[self._at : self._at + 2]
        if two == "/*":
            return True
        if self._mysql:
            return two[:1] == "#" or (two == "--" and not self._text[self._at + 2 : self._at + 3].strip())
        return two == "--"

    def _comment(self) -> str:
        if self._text[self._at] != "/":
            return self._until("\n", self._at + 1, " ")
        depth, at = 1, self._at + 2
        while depth and (edge := _COMMENT_EDGE.search(self._text, at)):
            depth += 1 if edge.group() == "/*" and not self._mysql else -1 if edge.group() == "*/" else 0
            at = edge.end()
        return self._take(len(self._text) if depth else at, " ")

    def _until(self, edge: str, start: int, becomes: str = "?") -> str:
        end = self._text.find(edge, start)
        if becomes == " ":
            return self._take(end + 1 if end >= 0 else len(self._text), becomes)
        return self._literal(end + len(edge)) if end >= 0 else becomes + CUT

    def _literal(self, end: int) -> str:
        return self._take(end, "?" + CUT if self._cut else "?")

    def _take(self, end: int, becomes: str) -> str:
        self._at = end
        return becomes
