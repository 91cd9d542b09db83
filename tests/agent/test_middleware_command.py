"""`perfwatch middleware`: the file is what is tested, complete, and never written over by mistake."""

from __future__ import annotations

import os
import subprocess

import telling
from ledgering import script
from recording import PERFWATCH

from perfwatch.probes.readers.doors import VARIABLE

FILE = "perfwatch_middleware.py"
SOURCE = (telling.MIDDLEWARE / FILE).read_text()


def run(*arguments):
    command = [PERFWATCH, "middleware", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_it_goes_to_standard_output():
    ended = run()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, SOURCE, "")


def test_it_goes_into_a_directory_and_over_another_file_only_if_asked(tmp_path):
    ended = run("-o", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", f"wrote {tmp_path / FILE}\n")
    assert (tmp_path / FILE).read_text() == SOURCE
    (tmp_path / FILE).write_text("mine")
    ended = run("-o", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == f"perfwatch: {tmp_path / FILE} exists already (--overwrite replaces it)\n"
    assert (tmp_path / FILE).read_text() == "mine"
    assert run("-o", tmp_path, "--overwrite").returncode == 0
    assert (tmp_path / FILE).read_text() == SOURCE


def test_a_directory_that_is_not_there_is_said_in_one_line(tmp_path):
    ended = run("-o", tmp_path / "nowhere")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"perfwatch: cannot write {tmp_path}/nowhere/{FILE}: No such file or directory")


def test_why_nothing_is_listened_to_is_said_at_once(tmp_path):
    place = tmp_path / "perfwatch" / "spans.sock"
    place.parent.mkdir(mode=0o755)
    told = ["--spans", "--duration", "0.1", "-o", tmp_path / "session"]
    with script("print('up'); input()") as (process, _):
        ended = subprocess.run(
            [PERFWATCH, "record", "--pid", str(process.pid), *told],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, VARIABLE: str(place)},
        )
    assert ended.returncode == 0, ended.stderr
    assert f"no spans: {place.parent} has to belong to user {os.geteuid()} alone" in ended.stderr
    assert VARIABLE in ended.stderr
    assert not list(place.parent.iterdir())


def test_it_knows_nothing_of_perfwatch():
    assert "import perfwatch" not in SOURCE
    assert "from perfwatch" not in SOURCE
