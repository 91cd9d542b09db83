"""`perfwatch middleware`: the file is what is tested, complete, and never written over by mistake."""

from __future__ import annotations

import subprocess

import telling
from recording import PERFWATCH

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


def test_it_knows_nothing_of_perfwatch():
    assert "import perfwatch" not in SOURCE
    assert "from perfwatch" not in SOURCE
