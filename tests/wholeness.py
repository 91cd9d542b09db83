"""Whether a page is whole: what is opened in it is closed."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "input"}


class Elements(HTMLParser):
    """The elements of a page, what stands in its style and script, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.own, self._open = [], {}, []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in {"style", "script"}:
            self.own[self._open[-1]] = data
