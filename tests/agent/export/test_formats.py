"""The frame of exports: the command, its file, its selection, and what is missing."""

import stat
import sys
from contextlib import suppress

import exporting
import fake_records
import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export import formats
from perfwatch.agent.export.formats import FORMATS, Format, load
from perfwatch.probes.records import ServedRequest


@pytest.fixture
def file(tmp_path):
    return exporting.recorded(tmp_path / "shop.perfwatch")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_its_owners_alone_and_is_what_the_output_would_be(name, file, tmp_path):
    out = tmp_path / "out"
    ended = exporting.run(file, "--format", name, "-o", out)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"wrote {out}\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_bytes() == exporting.run(file, "--format", name).stdout_bytes == exporting.exported(file, name)
    with pytest.raises(PerfwatchError, match=r"exists already.*--overwrite"):
        exporting.run(file, "--format", name, "-o", out)
    assert exporting.run(file, "--format", name, "-o", out, "--overwrite").exit_code == 0


def test_no_link_is_followed(file, tmp_path):
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("mine")
    out.symlink_to(victim)
    for more in ([], ["--overwrite"]):
        with pytest.raises(PerfwatchError, match="exists"):
            exporting.run(file, "--format", "collapsed", "-o", out, *more)
    assert victim.read_text() == "mine"


def test_a_part_of_the_recording(file):
    assert b"Cache.get" in exporting.run(file, "--format", "collapsed", "--request", "2").stdout_bytes
    later = exporting.run(file, "--format", "collapsed", "--from", "+2s", "--to", "end").stdout_bytes
    assert b"Cache.get" not in later
    assert b"json.dumps" in later
    with pytest.raises(PerfwatchError, match=r"no request is of that endpoint and time .*POST /order/{}"):
        exporting.run(file, "--format", "collapsed", "--endpoint", "PATCH")
    assert exporting.run(file, "--format", "collapsed", "--from", "yesterday").exit_code == 2


def test_without_stacks_it_says_why(tmp_path):
    bare = exporting.recorded(tmp_path / "bare", fake_records.generate(10), fake_records.session_info())
    out = tmp_path / "out"
    with pytest.raises(PerfwatchError, match="no stacks were recorded"):
        exporting.run(bare, "--format", "collapsed", "-o", out)
    assert not out.exists()
    assert list(tmp_path.glob(".perfwatch-*")) == []


def test_a_missing_library_is_one_line_with_its_remedy(monkeypatch):
    monkeypatch.setitem(FORMATS, "collapsed", Format("", "", extra="pictures"))
    monkeypatch.setitem(sys.modules, "perfwatch.agent.export.collapsed", None)
    with pytest.raises(PerfwatchError, match=r"--format collapsed needs .*pip install 'perfwatch\[pictures\]'"):
        load("collapsed")
    monkeypatch.setitem(formats.FORMATS, "collapsed", Format("", ""))
    with pytest.raises(ModuleNotFoundError):
        load("collapsed")


@settings(max_examples=25)
@given(st.lists(sessions.ANY_RECORD, max_size=4), st.lists(sessions._of(ServedRequest), min_size=1, max_size=3))
def test_any_recording_is_written_or_refused_in_one_line(tmp_path_factory, records, requests):
    path = exporting.recorded(tmp_path_factory.mktemp("any") / "session", [*records, *requests])
    for name in FORMATS:
        with suppress(PerfwatchError):
            assert exporting.exported(path, name)
