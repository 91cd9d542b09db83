"""The HTML report: one file, complete in itself, in which nothing of the target is markup or runs."""

import base64
import hashlib
import json
import re
import socket
from html.parser import HTMLParser

import asking as a
import fake_records
import making as m
import msgspec
import pytest
import stacked
from browsing import document_of, needs_browser

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import StackTime
from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_html import to_html
from perfwatch.agent.report_trees import Tree, endpoint_trees
from perfwatch.agent.selection import latest
from perfwatch.agent.trees import page
from perfwatch.agent.trees.session import session_of
from perfwatch.probes.frames import Frame

INFO = fake_records.session_info()
MARK = '<b id="injected">'
ELEMENTS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "i", "ul", "li", "div", "span"} | {
    *("table", "tr", "th", "td", "details", "summary", "pre", "script")
}


def shop():
    view, judged = correlate(INFO, fake_records.generate(30))
    requests = [stacked.with_stacks(request) for request in latest(judged)]
    report = build(INFO, stacked.with_endpoint_stacks(view), requests)
    return report, to_html(report, endpoint_trees(INFO, requests), "none")


def poisoned(port=9):
    """A page whose every name would like to be markup."""
    evil = (
        f"</script></style></pre>{MARK}<img src=http://127.0.0.1:{port}/x onerror='document.title=1'>\"'&\u2028\x1b[2J"
    )
    info = m.info(command=evil, hostname=evil, server=evil, python=evil, listeners=(evil,))
    record = m.served(1, 1000, lock=600, target="/" + evil, method=evil)
    call = a.call(500, 100, peer=evil, local=evil, operation=evil)
    record = a.asks(record, call, culprits=(a.culprit(1, 50, "/" + evil, evil),))
    view, judged = correlate(info, [record])
    endpoint = msgspec.structs.replace(view.endpoints[0], route=evil, method=evil)
    report = build(info, msgspec.structs.replace(view, endpoints=(endpoint,)), judged)
    frames = (Frame(evil, evil, 1), Frame(evil[::-1], "/" + evil, 2))
    session = session_of([StackTime(frames, "lock", False, 10**9)], evil)
    return to_html(report, [Tree(evil, evil, session)] * 2, evil)


class Elements(HTMLParser):
    """The elements of a page, and the texts of its scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append((self.found[-1][1].get("type"), data))

    def handle_endtag(self, tag):
        self._inside = None


def test_it_says_what_the_report_says():
    report, html = shop()
    for part in (report.verdict.summary, "POST /order/{}", "GET /search", "place_order", "Cache.get", "600 requests"):
        assert part in html
    titles = re.findall(r"<summary>(.*?)</summary>", html)
    assert titles[0].startswith("POST /order/{}: 32.1 s in 74 judged requests: lock 78 %, calls 16 %")
    assert len(titles) == 3


def test_the_data_of_a_tree_adds_up():
    _, html = shop()
    data = [json.loads(text) for kind, text in Elements(html).scripts if kind == "application/json"]
    for tree in data:
        assert tree["frame_tree"]["time"] == pytest.approx(tree["session"]["duration"], abs=1e-6)
        below = sum(child["time"] for child in tree["frame_tree"]["children"])
        assert below == pytest.approx(tree["session"]["duration"], abs=1e-5)


@pytest.mark.parametrize("make", [lambda: shop()[1], poisoned])
def test_it_refers_to_nothing_outside_and_runs_only_what_it_names(make):
    html = make()
    elements = Elements(html)
    allowed = {"href", "src", "action", "data", "srcset", "background"}
    assert not [attrs for _, attrs in elements.found if allowed & attrs.keys()]
    assert {tag for tag, _ in elements.found} <= ELEMENTS
    policy = next(attrs["content"] for tag, attrs in elements.found if tag == "meta" and "content" in attrs)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    run = [text for kind, text in elements.scripts if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert len(run) == 2
    addresses = {found for text in run for found in re.findall(r"https?://[^\"'`]*", text)}
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "//fonts." not in html


def test_calls_and_who_kept_the_loop_are_told_and_drawn():
    culprit = m.served(9, 900, sleep=580, target="/block")
    record = a.asks(m.served(1, 1000, loop=300, calls=300), a.call(900, 30, connect=60), culprits=(a.culprit(9, 300),))
    view, judged = correlate(m.info(), [culprit, record])
    html = to_html(build(m.info(), view, judged), [], "none")
    assert f"{a.SELECT}<p class='quiet'>{a.POSTGRES} postgresql</p>" in html
    assert "loop 300 ms, kept by GET /block 300 ms" in html
    assert re.findall(r"left:(\S+?)%;width:(\S+?)%", html) == [("83.333", "10.000"), ("93.333", "5.000")]
    assert "<h2>Downstream</h2>" in html
    assert f"calls 1 x 90 ms {a.SELECT}</p>" in html


def test_hostile_names_are_text_in_every_place():
    html = poisoned()
    assert MARK not in html
    assert html.count("&lt;b id=&quot;injected&quot;&gt;") > 15
    assert "\x1b" not in html
    assert "\u2028" not in html


def test_without_stacks_it_says_why_and_has_no_script():
    view, judged = correlate(m.info(), [m.served(1, 1000, lock=600)])
    html = to_html(build(m.info(), view, judged), [], "no stacks <here>")
    assert "no stacks &lt;here&gt;" in html
    assert "<script" not in html
    assert "script-src" not in html


def test_a_pyinstrument_without_its_page_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(page.pyinstrument_html, "__file__", str(tmp_path / "html.py"))
    with pytest.raises(PerfwatchError, match=r"page is not installed.*pip install"):
        page.load_application()
    (tmp_path / "html_resources").mkdir()
    (tmp_path / "html_resources" / "app.css").write_text("@import '//fonts.example.org/x'; a {}")
    (tmp_path / "html_resources" / "app.js").write_text("f('https://cdn.example.org/a.js?b=c&d', 1 // 2.0.x\n)")
    assert page.load_application() == page.Application("f('', 1 // 2.0.x\n)", "@import ''; a {}")
    (tmp_path / "html_resources" / "app.js").write_text("'</SCRIPT>'")
    with pytest.raises(PerfwatchError, match="cannot be embedded"):
        page.load_application()


# --- in a browser


@needs_browser
def test_a_browser_draws_the_first_tree(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(shop()[1])
    document = document_of(file, tmp_path)
    assert document.count('class="call-stack-view') == 1
    drawn = document.split('class="call-stack-view')[1].split("</details>")[0]
    for part in ("place_order", "[lock]", "blocked on another lock", "cache.py:61", "6 frames hidden (threading, "):
        assert part in drawn
    assert "<title>perfwatch: gunicorn (pid 4312)</title>" in document


@needs_browser
def test_opening_a_tree_puts_the_other_one_away(tmp_path):
    file = tmp_path / "report.html"
    steps = """<script>addEventListener("load", () => {
        const trees = [...document.querySelectorAll("details.tree")];
        trees[1].querySelector("summary").click();
        setTimeout(() => {
            const drawn = (tree) => tree.querySelector(".drawn").childElementCount;
            const state = (tree) => [tree.open, drawn(tree), tree.querySelector("pre").hidden];
            document.body.dataset.state = JSON.stringify(trees.map(state));
        }, 300);
    });</script>"""
    file.write_text(re.sub(r"<meta http-equiv[^>]*>", "", shop()[1]).replace("</body>", f"{steps}</body>"))
    state = re.search(r'data-state="([^"]*)"', document_of(file, tmp_path))[1]
    assert json.loads(state.replace("&quot;", '"')) == [[False, 0, False], [True, 1, True]]


@needs_browser
@pytest.mark.parametrize("has_policy", [True, False])
def test_no_name_of_the_target_runs_or_is_fetched_in_a_browser(tmp_path, has_policy):
    file = tmp_path / "report.html"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        html = poisoned(server.getsockname()[1])
        file.write_text(html if has_policy else re.sub(r"<meta http-equiv[^>]*>", "", html))
        document = document_of(file, tmp_path)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert 'class="call-stack-view' in document
    assert MARK not in document
    assert "<title>perfwatch: &lt;/script&gt;" in document
