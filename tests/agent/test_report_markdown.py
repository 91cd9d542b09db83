"""The incident ticket: what it says, and that no name of the target breaks out of it."""

import cmarkgfm
import making as m
import msgspec
import pytest
import reported
from cmarkgfm.cmark import Options

from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_markdown import to_markdown

TABLE = ("table", "thead", "tbody", "tr", "th", "td")


def html_of(text):
    return cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)


def test_it_says_what_is_slow_where_why_who_and_what_to_do():
    report, _ = reported.shop()
    text = to_markdown(report)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles[0] == "# " + report.verdict.summary.replace("_", "\\_")
    assert [title.removeprefix("## ").split(":")[0] for title in titles if title.startswith("## ")] == [
        *("Where", "Why", "Who", "What to do", "Endpoints", "Slowest requests (10 of 168 judged)", "The recording"),
    ]
    for part in (
        f"- **How bad** {report.requests.slow_count} of 600 requests slow",
        "`76 % Cache.get() at cache.py:61`",
        "| `POST /order/{}` |",
        "exact, Python 3.12.4, perfwatch 0.1.0",
        "no events were lost",
        *(advice.replace("`", "\\`") for advice in report.verdict.advice[:1]),
    ):
        assert part in text


def test_the_tables_have_a_row_for_each_and_the_figures_of_the_report():
    report, _ = reported.shop()
    html = html_of(to_markdown(report))
    assert html.count("<table>") == 2
    assert html.count("<tr>") == 2 + len(report.endpoints) + 10
    first = report.endpoints[0]
    row = f'<td align="right">{first.slow_count}</td>\n<td align="right">{first.count}</td>'
    assert row in html


def test_a_chain_is_a_list_in_a_list():
    report, _ = reported.poisoned()
    lines = to_markdown(report).splitlines()
    at = lines.index("## Who")
    assert lines[at + 2].startswith("- thread ")
    assert lines[at + 3].startswith("  - thread ")


def test_hostile_names_stay_text_and_break_no_table():
    report, _ = reported.poisoned()
    text = to_markdown(report)
    html = html_of(text)
    for tag in ("<script", "<img", "<b ", "<a ", "</pre"):
        assert tag not in html
    usual = html_of(to_markdown(reported.shop()[0]))
    assert html.count("<table>") == usual.count("<table>") == 2
    for name in ("thead", "th"):
        assert html.count(f"<{name}") == usual.count(f"<{name}"), name
    assert html.count("<td") == 8 + 6
    assert "@everyone" not in html.replace("<code>", "").split("</code>")[-1]
    assert "\n/close" not in text
    assert "\x1b" not in text


def test_names_outside_of_code_neither_mention_nor_refer():
    report, _ = reported.poisoned()
    html = html_of(to_markdown(report))
    outside = "".join(part.rpartition("<code>")[0] if "<code>" in part else part for part in html.split("</code>"))
    assert outside.count("everyone") > 3
    for found in ("@everyone", "#1", "www.evil", "http://evil", "a@evil"):
        assert found not in outside, found


@pytest.mark.parametrize("records", [[], [m.served(1, 1000, ms=5)]])
def test_of_little_there_is_a_short_ticket(records):
    view, judged = correlate(m.info(), records)
    text = to_markdown(build(m.info(), view, judged))
    assert text.startswith("# ")
    assert "## Endpoints" in text or not records
    assert "## The recording" in text


def test_a_long_report_makes_a_short_ticket():
    report, _ = reported.shop()
    endpoints = [msgspec.structs.replace(report.endpoints[0], route="/" + "x" * 3000)] * 500
    requests = [msgspec.structs.replace(report.slow_requests[0], target="/" + "y" * 3000)] * 5000
    text = to_markdown(msgspec.structs.replace(report, endpoints=endpoints, slow_requests=requests))
    assert len(text) < 60_000  # what a ticket takes: GitHub's 65,536
    assert "And 480 more." in text
