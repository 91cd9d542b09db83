"""Untrusted text in Markdown, read back by two parsers: GitHub's own (cmark-gfm), and markdown-it."""

from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from perfwatch.agent.markdown_text import bullets, code, prose, table
from perfwatch.agent.report_cells import clean

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NASTY = st.text(st.sampled_from(" `*_[]()<>|~&!#$@\\-+=.:/1ahtpsw\n\t\"'{}^"), max_size=40)
ATTACKS = (
    "<script>alert(1)</script>",
    "[click](http://evil.example.com)",
    "![x](http://evil.example.com/x.png)",
    "@everyone and @org/team, see #1, GH-2, !3, owner/repo#4",
    "http://evil.example.com/ https://e.example.com www.evil.example.com a@evil.example.com",
    "a | b \\| c",
    "``` `` `",
    "|\n|---|\n| x |",
    "1. one",
    "- one",
    "=====",
    "&lt;b&gt; &#64;x",
    "*a* _b_ ~~c~~ **d**",
    "trailing \\",
    "`",
)


class Read(HTMLParser):
    """The elements of a document, the text of its cells, and all its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self._inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in {"td", "li"}:
            self.texts.append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag in {"td", "li"}:
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.texts[-1] += data


def github(text):
    """As GitHub shows it, before it looks for names and numbers in what is text."""
    return cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)


def markdown_it(text):
    """As others show it, with addresses made links."""
    return _it.render(text)


_it = MarkdownIt("gfm-like", {"html": True})
_it.linkify.set({"fuzzy_link": False})


def meant(text):
    """How a text is to look; spaces as one."""
    return " ".join(clean(text).split())


def seen(text):
    """How it looks: without the joiners, which are invisible."""
    return " ".join(text.replace("\u2060", "").split())


@pytest.mark.parametrize("parse", [github, markdown_it])
@given(text=st.one_of(ANY, NASTY, st.sampled_from(ATTACKS)))
def test_a_sentence_in_a_list_is_nothing_but_its_text(parse, text):
    read = Read(parse("\n".join(bullets([prose(text) or "\\-", "after"]))))
    assert read.tags[:2] == ["ul", "li"]
    assert set(read.tags) == {"ul", "li"}
    assert seen(read.texts[0]) == (meant(text) or "-")


@pytest.mark.parametrize("parse", [github, markdown_it])
@given(text=st.one_of(ANY, NASTY, st.sampled_from(ATTACKS)))
@example(text="a \\| b")
def test_a_cell_stays_a_cell_whatever_stands_in_it(parse, text):
    read = Read(parse("\n".join(table(["name", "why", "n:"], [[code(text), prose(text), "7"], ["x", "y", "8"]]))))
    assert [tag for tag in read.tags if tag != "code"] == ["table", "thead", "tr", "th", "th", "th", "tbody"] + [
        "tr",
        "td",
        "td",
        "td",
    ] * 2
    assert read.texts[2:] == ["7", "x", "y", "8"]
    assert seen(read.texts[1]) == meant(text)
    assert seen(read.texts[0]) == meant(text).replace("|", "\\x7c")


@pytest.mark.parametrize(
    "text", ["@everyone", "see #12", "GH-12", "!3", "~label", "http://e.example.com", "www.e.example.com"]
)
def test_what_trackers_look_for_is_parted(text):
    for made in (github, markdown_it):
        html = made(f"- {prose(text)}")
        assert text not in html
        assert html.replace("\u2060", "").count(text) == 1


def test_code_has_a_fence_that_its_text_has_not():
    assert code("a") == "`a`"
    assert code("a `b` ``c``") == "``` a `b` ``c`` ```"
    assert code("a|b") == r"`a\x7cb`"
    assert code(" \n") == r"`\x0a`"
    assert code("") == ""
    assert len(code("x" * 1000)) == 302
