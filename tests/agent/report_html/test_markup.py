"""Markup is made by construction: text is escaped wherever it stands."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.report_cells import clean
from perfwatch.agent.report_html.markup import Html, element, folded, joined, lines, listed, section, table, told


class Read(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_out_as_it_was_in_an_element_and_in_an_attribute(text):
    read = Read(element("p", text, title=text))
    assert [tag for tag, _ in read.tags] == ["p"]
    assert read.text == clean(text)
    assert read.tags[0][1]["title"] == clean(text)


def test_attributes_are_named_as_html_has_them_and_left_out_where_there_is_none():
    made = element("svg", class_="bar", aria_label='"', viewBox="0 0 1 1", hidden=True, x=0.5, y=0, z=None, open=False)
    assert made == '<svg class="bar" aria-label="&quot;" viewBox="0 0 1 1" hidden x="0.5" y="0"></svg>'


def test_a_long_text_is_cut():
    assert len(told("x" * 10_000)) == 2001
    assert told("x" * 10_000).endswith("…")


@pytest.mark.parametrize("empty", [listed([]), table(["a"], []), section("a", "A", None, ""), lines(["", ""])])
def test_what_would_be_empty_is_nothing(empty):
    assert empty == ""


def test_what_is_markup_is_not_escaped_again():
    assert joined(("<", Html("<b></b>"), None)) == "&lt;<b></b>"
    assert folded("a & b", "c", is_open=True) == "<details open><summary>a &amp; b</summary>c</details>"
    assert '<td class="number">&lt;1</td>' in table(["n"], [["<1"]], frozenset({0}))
