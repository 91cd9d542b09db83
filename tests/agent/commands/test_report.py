"""`perfwatch report` and its call trees, from the command line; the stacks are put in place of the correlator's."""

import json
import re
import stat
import subprocess
import sys

import fake_records
import pytest
import serving
import stacked
from click.testing import CliRunner
from recording import PERFWATCH, SPARE_S, recording

from perfwatch.agent import report_reading
from perfwatch.agent.cli import cli
from perfwatch.agent.commands.tree_options import wants_color
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report import correlate
from perfwatch.agent.report_trees import tree_of
from perfwatch.agent.selection import latest
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load


@pytest.fixture
def file(tmp_path):
    """A recording of 30 s, without stacks."""
    path = tmp_path / "shop.perfwatch"
    with SessionWriter(path, fake_records.session_info()) as writer:
        for record in fake_records.generate(30):
            writer.write(record)
        writer.commit()
        writer.close("the time was over")
    return path


@pytest.fixture
def _with_stacks(monkeypatch):
    def correlated(info, records):
        view, judged = correlate(info, records)
        return stacked.with_endpoint_stacks(view), [stacked.with_stacks(request) for request in judged]

    monkeypatch.setattr(report_reading, "correlate", correlated)


def run(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)], catch_exceptions=False)


def printed(*arguments):
    ended = run(*arguments)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout


@pytest.mark.usefixtures("_with_stacks")
def test_the_tree_stands_alone_and_text_and_json_stay_as_they_were(file):
    tree = printed(file, "--tree")
    assert tree.startswith("── call tree ──")
    assert "Cache.get  cache.py:61" in tree
    assert "── verdict" not in tree
    assert "── call tree" not in printed(file)
    report = json.loads(printed(file, "--json"))
    assert report["schema"] == "perfwatch.report/1"
    frames = report["endpoints"][0]["frames"]
    assert frames == [
        {"function": "Cache.get", "file": "/srv/shop/shop/cache.py", "line": 61, "share": 0.76, "called": None}
    ]
    assert {one["frames"][0]["called"] for one in report["slow_requests"]} == {None, "sorted"}


@pytest.mark.usefixtures("_with_stacks")
@pytest.mark.parametrize(
    ("narrowing", "title"),
    [
        (["--endpoint", "POST /order/{}"], "POST /order/{}: 32.1 s in 74 judged requests"),
        (["--endpoint", "search"], "GET /search: 11.5 s in 94 judged requests"),
        (["--endpoint", "search", "--from", "+10s", "--to", "+20s"], "GET /search: "),
        (["--from", "14:13:25", "--to", "14:13:26"], "2 endpoints: "),
        (["--from", "5s ago"], "2 endpoints: "),
        (["--from", "-5s"], "2 endpoints: "),
    ],
)
def test_narrowing_makes_the_tree_of_less(file, narrowing, title):
    text = printed(file, *narrowing)
    assert text.splitlines()[1].startswith(title)
    assert int(text.splitlines()[1].split(" in ")[1].split()[0]) < 168
    assert text == printed(file, "--tree", *narrowing)


@pytest.mark.usefixtures("_with_stacks")
def test_one_request_by_the_id_that_the_report_lists(file):
    listed = next(line for line in printed(file).splitlines() if "POST /order/" in line and "#" in line)
    number = listed.split("#")[1].split()[0]
    assert f" /order/{8000 + int(number)}: " in printed(file, "--request", number).splitlines()[1]


@pytest.mark.usefixtures("_with_stacks")
def test_for_other_programs(file):
    assert json.loads(printed(file, "--tree", "--as", "json"))["root_frame"]["function"] == "2 endpoints"


@pytest.mark.usefixtures("_with_stacks")
def test_a_page_is_written_for_its_owner_alone_and_replaces_nothing_unasked(file, tmp_path):
    page = tmp_path / "shop.html"
    ended = run(file, "--html", page)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"wrote {page}\n")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert page.read_text().count('<svg class="flame"') == 3
    with pytest.raises(PerfwatchError, match=r"exists already.*--overwrite"):
        run(file, "--html", page)
    printed(file, "--html", page, "--overwrite", "--endpoint", "search")
    assert page.read_text().count('<svg class="flame"') == 1
    assert '<section id="course"' in page.read_text()


def test_a_ticket_is_printed_or_written_for_its_owner_alone(file, tmp_path):
    ticket = tmp_path / "ticket.md"
    ended = run(file, "--markdown", ticket)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"wrote {ticket}\n")
    assert stat.S_IMODE(ticket.stat().st_mode) == 0o600
    assert ticket.read_text() == printed(file, "--markdown", "-")
    assert "| `POST /order/{}` |" in ticket.read_text()
    with pytest.raises(PerfwatchError, match=r"exists already.*--overwrite"):
        run(file, "--markdown", ticket)


def test_a_page_without_stacks_is_written_all_the_same(file, tmp_path):
    printed(file, "--html", tmp_path / "shop.html")
    text = (tmp_path / "shop.html").read_text()
    assert "no stacks were recorded" in text
    assert "POST /order/{}" in text
    assert printed(file, "--html", "-") == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json", "--tree"], "--tree --as json"),
        (["--json", "--endpoint", "search"], "--tree --as json"),
        (["--tree", "--from", "soon"], "'soon' is not a time"),
        (["--from", "14:13:30", "--to", "14:13:25"], "--from is later than --to"),
        (["--tree", "--as", "svg"], "svg"),
    ],
)
def test_wrong_usage(file, arguments, told):
    ended = run(file, *arguments)
    assert ended.exit_code == 2
    assert told in ended.stderr


def test_a_recording_without_stacks_is_told_in_one_line(file):
    ended = subprocess.run([PERFWATCH, "report", file, "--tree"], capture_output=True, text=True, timeout=SPARE_S)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("perfwatch: no stacks were recorded (")
    assert ended.stderr.count("\n") == 1


@pytest.mark.usefixtures("_with_stacks")
@pytest.mark.parametrize(
    ("name", "value", "coloured"), [("X", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)]
)
def test_colours_are_for_terminals_that_want_them(monkeypatch, name, value, coloured):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert wants_color() is coloured
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert wants_color() is False


@pytest.mark.ledger
def test_of_a_real_recording_the_tree_adds_up_and_names_the_code_that_slept():
    with serving.http_server() as server, recording(server.pid) as recorder:
        with Load(server.address, [Endpoint(Call("/sleep/{n}"), clients=2, pause_s=0.01)]) as load:
            load.wait(1.5)
        recorder.finish()
        read = report_reading.read_session(recorder.file)
        requests = latest(read.judged)
        tree = tree_of(read.info, requests)
        text = printed(recorder.file, "--tree", "--endpoint", "/sleep")
    assert len(requests) > 20
    assert round(tree.session.root_frame().time * 1e9) == sum(request.ledger.total_ns for request in requests)
    line = int(re.search(r"sleep  planted\.py:(\d+)\n", text)[1])
    assert "time.sleep(" in (serving.APPS / "planted.py").read_text().splitlines()[line - 1]
    assert "[sleep]  slept on a timer" in text
