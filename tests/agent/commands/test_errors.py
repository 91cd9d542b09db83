"""docs/errors.md and docs/files.md are true: real failures say what stands there, with the exit code that it names."""

import importlib.util
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import fake_records
import pytest

from perfwatch.agent import bookmarks
from perfwatch.agent.cli import main
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.writer import SessionWriter

DOCS = Path(__file__).parents[3] / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="errors", scope="module")
def load_errors():
    return load("make_errors")


@pytest.fixture(name="session")
def write_session(tmp_path):
    path = tmp_path / "some.perfwatch"
    with SessionWriter(path, fake_records.session_info()) as writer:
        for record in fake_records.generate(3):
            writer.write(record)
        writer.close("the time was over")
    return path


@pytest.fixture(name="ended")
def run_in_this_process(monkeypatch, capsys):
    """The command line: called with arguments, it returns exit code, output and messages."""

    def ended(*arguments):
        monkeypatch.setattr(sys, "argv", ["perfwatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return ended


FAILURES = [
    ["report", "{tmp}/missing"],
    ["report", "/dev/null"],
    ["report", "{tmp}"],
    ["report", "{tmp}/empty"],
    ["report", "{tmp}/text"],
    ["report", "{tmp}/other.db"],
    ["report", "{tmp}/newer"],
    ["report", "{tmp}/none"],
    ["report", "{tmp}/changed"],
    ["session", "redact", "{tmp}/some.perfwatch", "-o", "{tmp}/some.perfwatch", "--overwrite"],
    ["session", "redact", "{tmp}/some.perfwatch", "-o", "{tmp}/text"],
    ["session", "redact", "{tmp}/some.perfwatch", "-o", "{tmp}/nowhere/x"],
    ["record", "--pid", "4194304", "--without", "nothing"],
    ["record", "--pid", "4194304", "--without", "ledger"],
    ["record", "--pid", "4194304", "--without", "host"],
    ["record", "--pid", "4194304", "--rate", "disk"],
    ["record", "--pid", "4194304", "--rate", "disk=100000"],
    ["record", "--pid", "4194304"],
    ["middleware", "-o", "{tmp}/nowhere"],
    ["1"],
]


@pytest.mark.parametrize("arguments", FAILURES, ids=" ".join)
def test_a_failure_says_what_the_page_says(arguments, errors, session, tmp_path, ended):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no session " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE t (x)")
    for name, statement in {
        "newer": f"PRAGMA user_version = {layout.VERSION + 1}",
        "none": "PRAGMA user_version = 0",
        "changed": "CREATE TABLE another (x)",
    }.items():
        (tmp_path / name).write_bytes(session.read_bytes())
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute(statement)
    code, out, err = ended(*(one.format(tmp=tmp_path) for one in arguments))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    said = line.removeprefix("perfwatch: ")
    known = [one for one in errors.messages() if one.kind == "Failures" and errors.pattern(one).fullmatch(said)]
    assert known, said


@pytest.mark.parametrize(
    "arguments",
    [
        *(["report"], ["report", "x", "--json", "--tree"], ["report", "x", "--keep", "y"], ["record"], ["nothing"]),
        *(["session"], ["session", "nothing"], ["completion", "tcsh"], ["record", "--pid", "0"], ["export", "x"]),
    ],
    ids=" ".join,
)
def test_a_wrong_usage_is_2(arguments, ended):
    code, out, err = ended(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: " in err


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["doctor", "--help"], ["completion", "bash"]], ids=" ".join
)
def test_what_was_asked_for_is_0(arguments, ended):
    assert ended(*arguments)[0] == 0


def test_the_page_names_the_exit_codes(errors):
    page = (DOCS / "errors.md").read_text()
    for code, text in (*errors.EXITS, *errors.RUN_EXITS):
        assert f"| {code} | {text} |" in page


def test_files_are_what_the_page_says(session):
    page = (DOCS / "files.md").read_text()
    head = session.read_bytes()[:100]
    assert head.startswith(b"SQLite format 3\0")
    assert head[68:72] == b"PWSE"
    assert "`PWSE` at byte 68" in page
    assert f"format {layout.VERSION}" in page
    assert session.stat().st_mode & 0o777 == 0o600
    bookmarks.write(bookmarks.beside(session), [bookmarks.Bookmark(5_000_000_000, "a spike")])
    beside = session.with_name(session.name + ".bookmarks.json")
    assert beside.stat().st_mode & 0o777 == 0o600
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert json.loads(example) == json.loads(beside.read_text())
