"""The page as text: it says what the report says, is complete in itself, and nothing of the target is markup in it."""

import base64
import hashlib
import re

import asking as a
import making as m
import msgspec
import pytest
import reported
from wholeness import Elements

from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_html.document import Drawn, to_html

BARE = Drawn((), "no stacks <here>", {})
REFERRING = {"src", "action", "data", "srcset", "background", "poster", "xlink:href", "formaction"}


def page_of(made):
    return to_html(*made)


def sections(html):
    return re.findall(r'<section id="([\w-]+)"', html)


def test_it_says_what_the_report_says():
    report, drawn = reported.shop()
    html = to_html(report, drawn)
    for part in (report.verdict.summary, "POST /order/{}", "GET /search", "place_order", "Cache.get", "600 requests"):
        assert part in html
    assert sections(html) == [
        *("verdict", "course", "endpoints", "requests", "code", "calls", "in-flight", "queues", "resources", "memory"),
        *("recording", "text"),
    ]
    assert "<b>POST /order/{}: 32.1 s in 74 judged requests</b>" in html
    assert "lock 78 %, calls 16 %" in html
    assert "/shop.slice: 120 MiB of 256 MiB left; full in 48 min" in html


@pytest.mark.parametrize("make", [reported.shop, reported.poisoned])
def test_it_refers_to_nothing_outside_and_runs_only_what_it_names(make):
    elements = Elements(page_of(make()))
    assert not [attrs for _, attrs in elements.found if REFERRING & attrs.keys()]
    assert not [attrs for _, attrs in elements.found if any(name.startswith("on") or name == "style" for name in attrs)]
    links = [attrs["href"] for tag, attrs in elements.found if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)
    policy = next(attrs["content"] for tag, attrs in elements.found if "http-equiv" in attrs)
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in elements.own.items()
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not [text for text in elements.own.values() if "http" in text or "@import" in text or "url(" in text]


def test_links_lead_to_sections_and_requests_that_are_there():
    html = page_of(reported.shop())
    links = re.findall(r'href="#([\w-]+)"', html)
    assert set(links) <= set(re.findall(r' id="([\w-]+)"', html))


def test_who_is_to_blame_is_a_link_where_the_page_shows_it():
    held = m.served(1, 1000, lock=600, waits=(m.wait("lock", 600, waker=m.waker(2)),), target="/waits")
    holder = m.served(2, 1010, sleep=700, target="/holds")
    view, judged = correlate(m.info(), [held, holder])
    report = build(m.info(), view, judged)
    one = next(one for one in report.slow_requests if one.id == 1)
    assert [link.request for link in one.chain] == [2]
    html = to_html(report, BARE)
    assert 'href="#request-2"' in html
    assert 'href="#request-2"' not in to_html(msgspec.structs.replace(report, slow_requests=[one]), BARE)


def test_hostile_names_are_text_in_every_place():
    html = page_of(reported.poisoned())
    assert reported.MARK not in html
    assert html.count("&lt;b id=&quot;injected&quot;&gt;") > 40
    assert "\x1b" not in html
    assert "\u2028" not in html


def test_calls_and_who_kept_the_loop_are_told_and_drawn():
    culprit = m.served(9, 900, sleep=580, target="/block")
    record = a.asks(m.served(1, 1000, loop=300, calls=300), a.call(900, 30, connect=60), culprits=(a.culprit(9, 300),))
    view, judged = correlate(m.info(), [culprit, record])
    html = to_html(build(m.info(), view, judged), BARE)
    assert f"<td>{a.SELECT}</td><td>{a.POSTGRES} postgresql</td>" in html
    assert "kept by GET /block 300 ms" in html
    drawn = re.findall(r'class="c-part-\w+" x="(\S+?)%" width="(\S+?)%"', html)
    assert drawn == [("83.333", "10.000"), ("93.333", "5.000")]
    assert f"<li>1 x 90 ms {a.SELECT}</li>" in html


def test_without_code_and_course_it_says_why():
    view, judged = correlate(m.info(), [m.served(1, 1000, lock=600)])
    html = to_html(build(m.info(), view, judged), BARE)
    assert "no stacks &lt;here&gt;" in html
    assert "course" not in sections(html)
    assert '<svg class="flame"' not in html


def test_of_a_session_without_requests_there_is_a_page():
    view, judged = correlate(m.info(), [])
    html = to_html(build(m.info(), view, judged), BARE)
    assert sections(html) == ["verdict", "code", "recording", "text"]
    Elements(html)


def test_it_stays_small_whatever_was_recorded():
    """500 endpoints and 10,000 judged requests with long names: what is listed is bounded, what is left out counted."""
    report, drawn = reported.shop()
    endpoint, slow = report.endpoints[0], report.slow_requests[0]
    endpoints = [msgspec.structs.replace(endpoint, route=f"/{number}/" + "x" * 5_000) for number in range(500)]
    requests = [
        msgspec.structs.replace(
            slow, id=number, target="/" + "y" * 5_000, route=f"/{number % 500}", calls=slow.calls * 20
        )
        for number in range(10_000)
    ]
    flames = list(drawn.flames) * 4
    large = msgspec.structs.replace(report, endpoints=endpoints, slow_requests=requests)
    html = to_html(large, drawn._replace(flames=flames))
    assert "and 400 more endpoints" in html
    assert "50 of 10000 judged requests: " in html
    assert len(html) < 4_000_000
