"""The page in a real browser: it complains of nothing, asks nobody, and is there on screens, phones and paper."""

import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
import reported
from browsing import needs_browser
from driving import browser

from perfwatch.agent.report_html.document import to_html

pytestmark = needs_browser
AXE = Path(__file__).parents[3] / ".venv/npm/node_modules/axe-core/axe.min.js"
FIRST = "document.querySelector('.flame')"
SHOWN = f"[...{FIRST}.querySelectorAll('.block')].filter((one) => one.checkVisibility({{checkVisibilityCSS: true}}))"
"""The blocks of the first graph that can be seen."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = tmp_path_factory.mktemp("browser")
    with browser(directory) as one:
        one.directory = directory
        yield one


@pytest.fixture
def shop(page):
    """The shop's page, opened anew."""
    file = page.directory / "shop.html"
    if not file.exists():
        file.write_text(to_html(*reported.shop()))
    page.look()
    page.open(file)
    yield page
    assert page.complaints == []
    assert set(page.requests) == {file.as_uri()}


@pytest.fixture(autouse=True)
def _fresh(page):
    page.complaints.clear()
    page.requests.clear()


def test_everything_is_styled_and_folds(shop):
    assert shop.value("document.title") == "perfwatch: gunicorn (pid 4312)"
    assert shop.value("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
    assert shop.value("getComputedStyle(document.querySelector('.c-lock')).fill") == "rgb(229, 108, 21)"
    assert not shop.value("document.querySelector('.request details').open")
    hidden = "document.querySelector('.request .bar').checkVisibility()"
    assert not shop.value(hidden)
    shop.value("document.querySelector('.request summary').click()")
    assert shop.value(hidden)


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 27)")])
def test_it_is_light_or_dark_as_one_likes(shop, scheme, colour):
    shop.look(scheme=scheme)
    assert shop.value("getComputedStyle(document.documentElement).backgroundColor") == colour


@pytest.mark.skipif(not AXE.exists(), reason="needs npm's axe-core: run tests/install-tools")
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_no_fault_in_it(shop, scheme):
    """Deque's rules for WCAG 2.1, A and AA, and its best practices; all unfolded, but only a few of what is alike."""
    shop.look(scheme=scheme)
    alike = ".request:nth-of-type(n+3), .chart:nth-of-type(n+3), #text"
    shop.value(f"document.querySelectorAll('{alike}').forEach((one) => one.remove())")
    shop.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    shop.value(AXE.read_text() + "; true")
    found = shop.value("axe.run().then((told) => told.violations.map((one) => [one.id, one.nodes[0].html]))")
    assert found == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(shop, width):
    shop.look(width=width)
    shop.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert shop.value("innerWidth") == width
    assert shop.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_click_zooms_into_a_block_and_escape_goes_back(shop):
    whole = shop.value(f"{SHOWN}.length")
    block = f"[...{FIRST}.querySelectorAll('.block')].find((one) => one.querySelector('text').textContent === 'search')"
    shop.value(f"{block}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert shop.value(f"{block}.getAttribute('width')") == "100%"
    names = shop.value(f"{SHOWN}.map((one) => one.querySelector('text').textContent)")
    assert {"all", "search", "rank"} <= set(names)
    assert "place_order" not in names
    shop.value(f"{block}.focus()")
    shop.press("Escape")
    assert shop.value(f"{SHOWN}.length") == whole
    assert float(shop.value(f"{block}.getAttribute('width')").rstrip("%")) < 50


def test_keys_walk_through_a_graph_and_enter_zooms(shop):
    shop.value(f"{FIRST}.querySelector('.block').focus()")
    at = "document.activeElement.querySelector('text').textContent"
    walked = [shop.value(at)]
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"):
        shop.press(key)
        walked.append(shop.value(at))
    assert walked[0] == "all"
    assert walked[2:] == ["place_order", "search", "place_order", walked[1]]
    shop.press("ArrowDown")
    shop.press("Enter")
    assert shop.value("document.activeElement.getAttribute('width')") == "100%"
    assert shop.value(f"{FIRST}.querySelectorAll('[tabindex=\"0\"]').length") == 1


def test_a_search_finds_functions_and_files(shop):
    shop.value(
        "(() => { const find = document.querySelector('.tools input'); find.value = 'CACHE.py';"
        "find.dispatchEvent(new Event('input')); })()"
    )
    assert shop.value("document.querySelector('.tools [role=status]').textContent") == "1 found"
    assert shop.value("document.querySelector('.flame .found text').textContent") == "Cache.get"


def test_a_place_of_a_chart_can_be_pointed_at(shop):
    assert shop.value("document.querySelectorAll('.plot').length") == 6
    words = shop.value("document.querySelector('.plot .point:nth-of-type(5) title').textContent")
    assert re.match(r"\d\d:\d\d:\d\d\np50 .+ ms\np95 .+ ms", words)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext (Debian: poppler-utils)")
def test_on_paper_it_is_light_and_what_was_folded_is_there(shop):
    shop.look(scheme="dark")
    file = shop.directory / "shop.pdf"
    shop.value("addEventListener('beforeprint', () => { document.title = getComputedStyle(document.body).color; })")
    shop.paper(file)
    told = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, timeout=60, check=True)
    assert shop.value("document.title") == "rgb(27, 31, 34)"
    assert "Calls of one request, on average" in told.stdout
    assert "The whole report as text" not in told.stdout
    assert shop.value("document.querySelectorAll('main details[open]').length") == 1


def test_it_can_be_read_without_scripts(shop):
    shop.ask("Emulation.setScriptExecutionDisabled", value=True)
    shop.open(shop.directory / "shop.html")
    assert shop.value(f"{SHOWN}.length") > 10
    assert shop.value("document.querySelectorAll('.tools').length") == 0
    shop.ask("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("has_policy", [True, False])
def test_no_name_of_the_target_runs_or_is_fetched(page, has_policy):
    html = to_html(*reported.poisoned())
    file = page.directory / "poisoned.html"
    file.write_text(html if has_policy else re.sub(r"<meta http-equiv[^>]*>", "", html))
    page.open(file)
    page.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.value("document.querySelectorAll('#injected, img').length") == 0
    assert page.value("document.title").startswith("perfwatch: </script>")
    assert page.complaints == []
    assert set(page.requests) == {file.as_uri()}


def test_a_picture_is_drawn(shop):
    """Not how beautiful it is, but that there is something in it: many colours, light ones and dark ones."""
    file = shop.directory / "shop.png"
    shop.picture(file)
    assert len(set(rows_of(file))) > 200


def rows_of(file):
    """The rows of a PNG, still filtered: of an empty picture nearly all would be alike."""
    data, at, packed = file.read_bytes(), 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        width = int.from_bytes(data[at + 8 : at + 12]) if kind == b"IHDR" else width  # noqa: F821
        depth = data[at + 17] if kind == b"IHDR" else depth  # noqa: F821
        at += 12 + length
    raw, each = zlib.decompress(packed), 1 + width * {2: 3, 6: 4}[depth]
    return [raw[place : place + each] for place in range(0, len(raw), each)]
